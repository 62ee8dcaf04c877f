"""What was done: resources of a record as tests of the programme, each with its day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from fhirserver.diary.immunization.history import codings, day_of
from fhirserver.diary.screening.programme import Programme

Resource = Mapping[str, Any]

#: Type -> statuses in which it says that something was done.
_DONE = {
    "Procedure": ("completed",),
    "Observation": ("final", "amended", "corrected", "preliminary"),
    "DiagnosticReport": ("final", "amended", "corrected", "appended", "partial", "preliminary"),
    "DocumentReference": ("current",),
    "Composition": ("final", "amended"),
    "Encounter": ("finished",),
}
TYPES = tuple(_DONE)
#: Where each type says when it was, the most telling place first.
_WHEN = {
    "Procedure": ("performedDateTime", "performedPeriod"),
    "Observation": ("effectiveDateTime", "effectivePeriod"),
    "DiagnosticReport": ("effectiveDateTime", "effectivePeriod", "issued"),
    "DocumentReference": ("context.period", "date"),
    "Composition": ("date",),
    "Encounter": ("period",),
}


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A test that was done. `reference`: by what it is told; `result`: what was found, if told."""

    day: date
    test: str
    reference: str
    result: str | None = field(default=None, compare=False)


def events(record: Iterable[Resource], programme: Programme, on: date) -> list[Event]:
    """The tests done up to day `on`, in order of time; the order of the record does not matter.

    What several resources tell of a test of one day is one event, with the gravest result.
    """
    found: dict[tuple[date, str], list[Event]] = {}
    for resource in record:
        type = resource.get("resourceType")
        if not isinstance(type, str) or resource.get("status") not in _DONE.get(type, ()):
            continue
        day = _day(resource, type, on)
        if day is None or day > on:
            continue
        id = resource.get("id")
        reference = f"{type}/{id}" if isinstance(id, str) else ""
        for test in {*_tests(resource, programme)}:
            result = programme.results.of(resource, test, programme.systems)
            found.setdefault((day, test), []).append(Event(day, test, reference, result))
    return sorted(_one(told, programme) for told in found.values())


def _one(told: list[Event], programme: Programme) -> Event:
    gravest = programme.results.gravest(e.result for e in told if e.result is not None)
    return min(event for event in told if event.result == gravest)


def _tests(resource: Resource, programme: Programme) -> Iterator[str]:
    concepts = [resource.get("code"), resource.get("type")]
    types = resource.get("type")
    concepts += types if isinstance(types, list) else []
    for concept in concepts:
        for system, code in codings(concept):
            yield from programme.tests.get((programme.systems.get(system, ""), code), ())
    contents = resource.get("content")
    for content in contents if isinstance(contents, list) else ():
        format = content.get("format") if isinstance(content, dict) else None
        form = format.get("code") if isinstance(format, dict) else None
        if isinstance(form, str):
            yield from programme.formats.get(form, ())


def _day(resource: Resource, type: str, on: date) -> date | None:
    for place in _WHEN[type]:
        value: Any = resource
        for name in place.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, dict):
            value = value.get("end") or value.get("start")
        day = day_of(value, on)
        if day is not None:
            return day
    return None
