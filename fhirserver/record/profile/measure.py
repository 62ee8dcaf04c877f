"""The 17 measures of the citizen's space, their codes, units and plausible ranges
(ANS, guide Mesures de santé; terminology/record/measures-fr.json)."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.errors import Issue
from fhirserver.model import shipped
from fhirserver.record.profile.kind import codings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.interaction.context import Resource

Code = tuple[str, str]


class Value(msgspec.Struct, frozen=True):
    """What one of `codes` is measured in (UCUM codes), and between what it can lie."""

    codes: tuple[Code, ...]
    units: tuple[str, ...]
    low: float
    high: float


class Measure(msgspec.Struct, frozen=True):
    """`panel`: codes of an Observation that has the values as components."""

    name: str
    title: str
    profiles: tuple[str, ...]
    values: tuple[Value, ...]
    panel: tuple[Code, ...] = ()

    def is_of(self, resource: Resource) -> bool:
        own = set(codings(resource.get("code")))
        return any(own & set(value.codes) for value in self.values) or bool(own & set(self.panel))


class Measures(msgspec.Struct, frozen=True):
    source: str
    version: str
    date: str
    profile_roots: tuple[str, ...]
    unit_system: str
    measures: tuple[Measure, ...]


@cache
def measures() -> Measures:
    return msgspec.json.decode(
        shipped.read("terminology", "record", "measures-fr.json"), type=Measures
    )


def claimed(resource: Resource) -> tuple[Measure, ...]:
    """The measures whose French profiles the Observation claims."""
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    names = set()
    for profile in profiles or ():
        url = str(profile).partition("|")[0]
        for root in measures().profile_roots:
            if url.startswith(root):
                names.add(url.removeprefix(root))
    return tuple(m for m in measures().measures if names & set(m.profiles))


def faults(resource: Resource) -> Iterator[Issue]:
    """What is wrong with an Observation, as far as it is one of the measures."""
    for measure in claimed(resource):
        if not measure.is_of(resource):
            known = [code for value in measure.values for _, code in value.codes]
            listed = ", ".join([*(code for _, code in measure.panel), *known])
            text = (
                f"An Observation of this profile ({measure.title}) has one of the codes {listed}."
            )
            yield _issue("code-invalid", text, "Observation.code")
    if "valueQuantity" in resource or not resource.get("component"):
        yield from _value_faults(resource, "Observation")
    for number, part in enumerate(resource.get("component") or ()):
        if isinstance(part, dict):
            yield from _value_faults(part, f"Observation.component[{number}]")


def _value_faults(holder: Resource, place: str) -> Iterator[Issue]:
    value = _value_of(holder)
    if value is None or "dataAbsentReason" in holder:
        return
    others = [n for n in holder if n.startswith("value") and n[5:6].isupper()]
    if others and others != ["valueQuantity"]:
        text = "This measure is given as a Quantity."
        yield _issue("structure", text, f"{place}.{others[0]}")
        return
    quantity = holder.get("valueQuantity")
    if not isinstance(quantity, dict) or "value" not in quantity:
        yield _issue("required", "This measure needs a value.", f"{place}.valueQuantity")
        return
    allowed = " or ".join(value.units)
    system, unit = quantity.get("system"), quantity.get("code")
    if system != measures().unit_system or unit not in value.units:
        given = unit or quantity.get("unit") or "none"
        text = (
            f"This measure is given in {allowed} (UCUM, {measures().unit_system}), "
            f"not in {str(given)[:40]}."
        )
        where = "code" if "code" in quantity else "unit" if "unit" in quantity else "value"
        yield _issue("code-invalid", text, f"{place}.valueQuantity.{where}")
        return
    if not _lies_in(quantity["value"], value):
        text = (
            f"{str(quantity['value'])[:40]} {unit} cannot be: between {value.low:g} and "
            f"{value.high:g} {allowed} is plausible."
        )
        yield _issue("value", text, f"{place}.valueQuantity.value")


def _lies_in(number: Any, value: Value) -> bool:
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        return False
    return Decimal(str(value.low)) <= Decimal(str(number)) <= Decimal(str(value.high))


def _value_of(holder: Resource) -> Value | None:
    own = set(codings(holder.get("code")))
    for measure in measures().measures:
        for value in measure.values:
            if own & set(value.codes):
                return value
    return None


def _issue(code: str, text: str, place: str) -> Issue:
    return Issue("error", code, text, (place,))
