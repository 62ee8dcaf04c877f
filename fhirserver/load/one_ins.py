"""French numbers in what is loaded, as the space demands them of every write (docs/space.md).

Their form and key are looked at where a resource is prepared. That one Patient has an INS is
looked at for a whole group before it is committed, and held to by the commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.store import Selects
from fhirserver.errors import Unprocessable
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Compare, Kind, Match, Query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Change

#: System and value of a national health identity.
Ins = tuple[str, str]

TAKEN = "there is a Patient with this INS already"

#: Where no system begins so, nothing is looked at: loads of other countries pay nothing.
_FRENCH = (b"1.2.250.1", b"esante", b"sirene.fr")


def check(data: bytes, resource: dict[str, Any]) -> None:
    """Raise Unprocessable when a French number is wrong. `data`: the resource as it came."""
    if not any(mark in data for mark in _FRENCH):
        return
    from fhirserver.space.identifier import checked_types, identifier_issues
    from fhirserver.space.identity import patient_issues

    type = resource["resourceType"]
    if type not in checked_types():
        return
    issues = identifier_issues(type, resource)
    if type == "Patient":
        issues += patient_issues(resource)
    if issues:
        raise Unprocessable(issues=tuple(issues))


def ins_of(change: Change) -> tuple[Ins, ...]:
    """The national health identities in use of a Patient that is to be written."""
    content = change.content
    if change.type != "Patient" or content is None or _FRENCH[0] not in content.tail:
        return ()
    from fhirserver.space.identifier import each_identifier, is_national

    resource = decode_stored(content.stamp(1, ""))
    national = (each for _, each in each_identifier(resource) if is_national(each))
    return tuple((each["system"], each["value"]) for each in national)


async def bearers_of(ctx: Context, asked: Iterable[Ins]) -> dict[Ins, frozenset[str]]:
    """The ids of the Patients in the store that have each INS."""
    from fhirserver.space.identifier import each_identifier

    values = tuple(sorted({value for _, value in asked}))
    where = Match("ins", Kind.TOKEN, Compare("code", "in", values))
    query = Query(("Patient",), where, count=len(values) * 2)
    found: dict[Ins, frozenset[str]] = {}
    for version in (await ctx.store.search(query)).versions:
        resource = decode_stored(version.content or b"{}")
        for _, each in each_identifier(resource):
            ins = str(each.get("system")), str(each.get("value"))
            found[ins] = found.get(ins, frozenset()) | {version.id}
    return found


def held(ins: Ins, ids: frozenset[str]) -> Selects:
    """That nobody else has come to the INS until the commit."""
    from fhirserver.space.identity import bearers

    return Selects(bearers(*ins), frozenset(("Patient", id) for id in ids), server=True)
