"""What an examination found: codes, words and amounts of a resource as a result of the programme
(`results` and `thresholds` of `terminology/screening/programme-fr-2026.json`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhirserver.diary.immunization.history import codings

Resource = Mapping[str, Any]

#: Where the types say what was found.
_PLACES = ("interpretation", "valueCodeableConcept", "conclusionCode", "outcome")
_OF_NOTHING = "dataAbsentReason"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The amount from which a test is positive. `unit`: in UCUM."""

    test: str
    unit: str
    least: Decimal


@dataclass(frozen=True, slots=True)
class Results:
    """`names`: the results from the mildest to the gravest; `codes` by (system, code); `texts` in
    lower case."""

    names: tuple[str, ...]
    codes: Mapping[tuple[str, str], str]
    texts: Mapping[str, str]
    thresholds: tuple[Threshold, ...]

    def gravest(self, found: Iterable[str]) -> str | None:
        return max(found, key=self.names.index, default=None)

    def of(self, resource: Resource, test: str, systems: Mapping[str, str]) -> str | None:
        """What the resource says of a test; None when it does not say, or in no known way."""
        parts = [resource, *_listed(resource.get("component"))]
        found = [result for part in parts for result in self._told(part, systems)]
        if not found:
            # An interpretation goes before what an amount would mean.
            found = [result for part in parts for result in self._measured(part, test)]
        return self.gravest(found)

    def _told(self, part: Resource, systems: Mapping[str, str]) -> Iterator[str]:
        for place in (*_PLACES, _OF_NOTHING):
            for concept in _listed(part.get(place)):
                for system, code in codings(concept):
                    result = self.codes.get((systems.get(system, ""), code))
                    if result is not None:
                        yield result
                yield from self._said(concept.get("text"))
        yield from self._said(part.get("valueString"))
        if isinstance(part.get("valueBoolean"), bool):
            yield "positive" if part["valueBoolean"] else "negative"

    def _said(self, text: Any) -> Iterator[str]:
        if isinstance(text, str) and (result := self.texts.get(text.strip().lower())) is not None:
            yield result

    def _measured(self, part: Resource, test: str) -> Iterator[str]:
        quantity = part.get("valueQuantity")
        if not isinstance(quantity, dict) or not isinstance(quantity.get("value"), int | Decimal):
            return
        unit = quantity.get("code") or quantity.get("unit")
        for threshold in self.thresholds:
            if (threshold.test, threshold.unit) == (test, unit):
                yield "positive" if quantity["value"] >= threshold.least else "negative"


def results(table: Mapping[str, Any]) -> Results:
    """The results that a programme's table knows."""
    codes: dict[tuple[str, str], str] = {}
    texts: dict[str, str] = {}
    for rule in table["results"]:
        for system, listed in rule.items():
            if system == "text":
                texts.update((text, rule["result"]) for text in listed)
            elif system != "result":
                codes.update(((system, code), rule["result"]) for code in listed)
    return Results(
        tuple(rule["result"] for rule in table["results"]),
        codes,
        texts,
        tuple(
            Threshold(one["test"], one["unit"], Decimal(one["from"])) for one in table["thresholds"]
        ),
    )


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
