"""Whose a resource is, and who wrote it, as expressions on its index entries.

terminology/access/resource-types.json names the parameters. A resource with a subject belongs to
its subject alone: that another patient wrote or performed it gives that patient's readers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import (
    NOTHING,
    all_of,
    any_of,
    negate,
    numbered,
    refers,
    refers_to_type,
)
from fhirserver.access.decision.tables import resource_types
from fhirserver.search.expression import Chain, Everything, Identity, Nothing
from fhirserver.search.through_contained import named

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


@dataclass(frozen=True, slots=True)
class People:
    """The patients a right extends to. With `id` it is that one alone, and `selects` is the
    verdict on it (Everything or Nothing); without, `selects` is asked of each Patient."""

    selects: Expression
    id: str | None = None


NOBODY = People(NOTHING)

#: Where documents carry those who wrote them (search/through_contained.py), and as what.
_CARRIED = {"DocumentReference": ("author", "custodian"), "List": ("source",)}
_KINDS = {
    Role.PROFESSIONAL: ("Practitioner", "PractitionerRole"),
    Role.SYSTEM: ("Organization",),
    Role.CITIZEN: ("Patient",),
}


def belongs(type: str, people: People) -> Expression:
    """Resources of `type` that are data of `people`."""
    if isinstance(people.selects, Nothing):
        return NOTHING
    if type == "Patient":
        return _patient(people)
    if type == "Device":
        return _points("patient", people)
    if type == "AuditEvent":
        return about("entity", people)
    record = resource_types().record.get(type)
    if record is None:
        return NOTHING
    found = any_of(*(_points(code, people) for code in record.subject))
    if record.otherwise:
        nobody = negate(any_of(*(refers_to_type(code, "Patient") for code in record.subject)))
        found = any_of(
            found, all_of(any_of(*(_points(code, people) for code in record.otherwise)), nobody)
        )
    return found


def authored(type: str, situation: Situation) -> Expression:
    """Resources of `type` that the caller has written."""
    record = resource_types().record.get(type)
    if record is None:
        return NOTHING
    references = situation.authors
    found = [refers(code, references) for code in record.author]
    system = situation.caller.role is Role.SYSTEM
    if type == "DocumentReference" and system:
        found.append(refers("custodian", references))
    for code in _CARRIED.get(type, ()):
        if code != "custodian" or system:
            found += _carried(code, situation)
    return any_of(*found)


def _carried(code: str, situation: Situation) -> list[Expression]:
    """By contained author or identifier alone: `authorship.wrote` as an expression."""
    kinds = _KINDS.get(situation.caller.role, ())
    found = [numbered(f"{code}:identifier", situation.numbers)]
    found += [numbered(named(code, kind, "identifier"), situation.numbers) for kind in kinds]
    if "PractitionerRole" in kinds:
        found.append(refers(named(code, "PractitionerRole", "practitioner"), situation.authors))
    return found


def about(code: str, people: People) -> Expression:
    """What points by its parameter `code` to one of `people`."""
    return NOTHING if isinstance(people.selects, Nothing) else _points(code, people)


def _patient(people: People) -> Expression:
    if people.id is None:
        return people.selects
    return all_of(Identity((people.id,)), people.selects)


def _points(code: str, people: People) -> Expression:
    if people.id is not None:
        return all_of(refers(code, (("Patient", people.id),)), people.selects)
    if isinstance(people.selects, Everything):
        return refers_to_type(code, "Patient")
    return Chain(code, ("Patient",), people.selects)
