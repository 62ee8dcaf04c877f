"""What was given: Immunizations as doses, refusals and statements of immunity
(https://hl7.org/fhir/R4/immunization.html)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from fhirserver.diary.immunization.codes import ACT_REASON
from fhirserver.diary.immunization.products import NO_TAGS, Product, Products, Tags
from fhirserver.model import dates

Resource = Mapping[str, Any]

#: Reasons that make a dose not count, told by the Immunization itself.
_SUBPOTENT = {"coldchainbreak": "coldchbrk", "recall": "prodrecall", "partial": "subpotent"}


@dataclass(frozen=True, slots=True)
class Vaccination:
    """One Immunization. `day`: when, for a partial date its last day (so that no interval after
    it is shortened); None when undated. `contains`: its antigens; none when nothing is known of
    the vaccine. `faults`: why it cannot count."""

    resource: Resource
    day: date | None
    product: Product | None
    contains: Mapping[str, Tags]
    faults: tuple[str, ...]
    order: tuple[str, ...]

    @property
    def known(self) -> bool:
        return self.product is not None or bool(self.contains)


@dataclass(frozen=True, slots=True)
class History:
    """The Immunizations of a person up to a day. `refused`, `immune`, `precaution`: antigens for
    which a vaccination was recorded as not done, and why."""

    doses: tuple[Vaccination, ...] = ()
    refused: frozenset[str] = frozenset()
    immune: frozenset[str] = frozenset()
    precaution: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Undone:
    refused: set[str] = field(default_factory=set)
    immune: set[str] = field(default_factory=set)
    precaution: set[str] = field(default_factory=set)


def history(immunizations: Iterable[Resource], on: date, products: Products) -> History:
    """What counts on day `on`; the order in which it is given does not matter."""
    doses: list[Vaccination] = []
    undone = _Undone()
    for resource in immunizations:
        status = resource.get("status")
        contains, product = _contents(resource, products)
        if status == "not-done":
            _note(undone, resource, contains)
        elif status == "completed":
            day = _day(resource, on)
            if day is None or day <= on:
                faults = tuple(_faults(resource, day))
                order = _order(resource, day)
                doses.append(Vaccination(resource, day, product, contains, faults, order))
    doses.sort(key=lambda dose: (dose.day or date.min, dose.order))
    return History(
        tuple(doses),
        frozenset(undone.refused),
        frozenset(undone.immune),
        frozenset(undone.precaution),
    )


def codings(concept: Any) -> Iterator[tuple[str, str]]:
    """The (system, code) pairs of a CodeableConcept, whatever was sent."""
    listed = concept.get("coding") if isinstance(concept, dict) else None
    for coding in listed if isinstance(listed, list) else ():
        if isinstance(coding, dict):
            system, code = coding.get("system", ""), coding.get("code")
            if isinstance(system, str) and isinstance(code, str):
                yield system, code


def day_of(text: Any, on: date) -> date | None:
    """The day a date or dateTime names, of a partial one the last day not after `on`."""
    if not isinstance(text, str):
        return None
    try:
        if len(text) >= 10:
            return date.fromisoformat(text[:10])  # the day where it was given, whatever the zone
        low, high = dates.interval(text)
    except ValueError:
        return None
    first = date(1970, 1, 1) + timedelta(days=low // dates.DAY)
    last = date(1970, 1, 1) + timedelta(days=high // dates.DAY - 1)
    return min(last, on) if first <= on else last


def _contents(resource: Resource, products: Products) -> tuple[Mapping[str, Tags], Product | None]:
    """The antigens of a vaccine: those of its most telling code, else its target diseases."""
    found: Product | None = None
    for system, code in codings(resource.get("vaccineCode")):
        product = products.of_coding(system, code)
        if product is not None and (found is None or (product.brand and not found.brand)):
            found = product
    if found is not None:
        return found.contains, found
    contains: dict[str, Tags] = {}
    protocols = resource.get("protocolApplied")
    for protocol in protocols if isinstance(protocols, list) else ():
        targets = protocol.get("targetDisease") if isinstance(protocol, dict) else None
        for target in targets if isinstance(targets, list) else ():
            for system, code in codings(target):
                for key in products.of_disease(system, code):
                    contains[key] = NO_TAGS
    return contains, None


def _day(resource: Resource, on: date) -> date | None:
    return day_of(resource.get("occurrenceDateTime"), on)


def _faults(resource: Resource, day: date | None) -> Iterator[str]:
    if day is None:
        yield "undated"
        return
    if resource.get("isSubpotent") is True:
        reasons = resource.get("subpotentReason")
        known = {
            _SUBPOTENT[code]
            for reason in (reasons if isinstance(reasons, list) else ())
            for _, code in codings(reason)
            if code in _SUBPOTENT
        }
        yield from sorted(known) or ["subpotent"]
    expiry = resource.get("expirationDate")
    if isinstance(expiry, str) and (last := day_of(expiry, date.max)) is not None and last < day:
        yield "expired"


def _note(undone: _Undone, resource: Resource, contains: Mapping[str, Tags]) -> None:
    for system, code in codings(resource.get("statusReason")):
        if system == ACT_REASON and code == "IMMUNE":
            undone.immune.update(contains)
        elif system == ACT_REASON and code == "PATOBJ":
            undone.refused.update(contains)
        elif system == ACT_REASON and code == "MEDPREC":
            undone.precaution.update(contains)


def _order(resource: Resource, day: date | None) -> tuple[str, ...]:
    codes = sorted(f"{s}|{c}" for s, c in codings(resource.get("vaccineCode")))
    return (str(resource.get("occurrenceDateTime")), str(resource.get("id", "")), *codes)
