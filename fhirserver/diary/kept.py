"""Keeps one computed resource for each patient current: made when first needed, written anew only
when something in it has changed.

The resource is found by an identifier of ours, the patient's logical id as value. What it is made
from is read after it, and it is written on the condition that it is still what was found: of two
writers at once the later one looks again, so the last one has seen everything.

Its labels follow from what it is made from (`labelled.py`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import structlog

from fhirserver.access.decision.guards import labels
from fhirserver.errors import Forbidden
from fhirserver.interaction.context import Draft
from fhirserver.interaction.select import conditional_query, select_one, selects
from fhirserver.interaction.write import attempts, commit, validated
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity
from fhirserver.model.version import ABSENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version

#: Locks of what is being brought up to date, as long as somebody waits.
_turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
_log = structlog.get_logger("fhirserver")
#: Systems of the national health identity (INS): official, temporary, test, demonstration.
NATIONAL_IDENTITIES = frozenset(f"urn:oid:1.2.250.1.213.1.4.{n}" for n in (8, 9, 10, 11))
#: Elements that change with the day or the write alone.
_PASSING = ("id", "meta", "date", "authoredOn", "created")


async def keep(
    ctx: Context,
    patient: str,
    type: str,
    system: str,
    make: Callable[[Context, Resource], Awaitable[Resource | None]],
) -> Version | None:
    """Bring the resource of a space up to date; the version that holds now, None when there is
    none: only a Patient with a national health identity is a space.

    `make` is given the server's view and the Patient; None from it leaves all as it is.
    """
    server = ctx.as_server
    if not await _is_space(server, patient):
        return None
    criteria = f"identifier={system}|{patient}"
    query = conditional_query(server, type, criteria)

    async def attempt() -> Version | None:
        found = await select_one(server, query, criteria)
        version = await server.store.current("Patient", patient)
        if version is None or version.content is None:
            return found
        holder = decode_stored(version.content)
        resource = await make(server, holder) if has_national_identity(holder) else None
        if resource is None:
            return found
        resource = {**resource, "identifier": [{"system": system, "value": patient}]}
        if found is not None and _same(decode_stored(found.content or b"{}"), resource):
            return found
        validated(server, resource)
        draft = (
            Draft("POST", type, server.new_id(), resource, ABSENT)
            if found is None
            else Draft("PUT", type, found.id, resource, found.version)
        )
        (written,) = await commit(server, [draft], [selects(query, *([found] if found else []))])
        return written

    # In this process one after the other, so that no work is thrown away; others are met by the
    # condition of the write.
    turn = _turns.setdefault((type, patient), asyncio.Lock())
    async with turn:
        return await attempts(server, attempt)


async def _is_space(server: Context, patient: str) -> bool:
    version = await server.store.current("Patient", patient)
    if version is None or version.content is None:
        return False
    return has_national_identity(decode_stored(version.content))


def has_national_identity(patient: Mapping[str, Any]) -> bool:
    identifiers = patient.get("identifier")
    return isinstance(identifiers, list) and any(
        isinstance(one, dict) and one.get("system") in NATIONAL_IDENTITIES for one in identifiers
    )


def _same(stored: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    return _lasting(stored) == _lasting(made) and labels(stored) == labels(made)


def _lasting(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in _PASSING}


async def patients_of(ctx: Context, versions: Sequence[Version], element: str) -> set[str]:
    """The patients that versions are about now, and were about before them."""
    found: set[str] = set()
    for version in versions:
        states = [version]
        if version.version > 1:
            before = await ctx.as_server.store.vread(version.type, version.id, version.version - 1)
            states += [before] if before is not None else []
        for state in states:
            reference = decode_stored(state.content or b"{}").get(element)
            patient = identity(reference, ctx.local_bases, "Patient")
            if patient is not None:
                found.add(patient[1])
    return found


async def guard(drafts: Sequence[Draft], ctx: Context, type: str, system: str) -> None:
    """Refuse to anybody but the server to write or delete a resource that bears our identifier."""
    if ctx.server is None:
        return
    for draft in drafts:
        if draft.type != type or draft.server:
            continue
        resource = draft.resource
        if resource is None:  # as the caller sees it: of what is hidden nothing is told
            version = await ctx.store.read(type, draft.id)
            resource = decode_stored(version.content) if version and version.content else {}
        identifiers = resource.get("identifier", [])
        if any(isinstance(i, dict) and i.get("system") == system for i in identifiers):
            raise Forbidden(f"Identifiers of {system} are given by the server alone.")


async def bring_current(
    ctx: Context,
    patients: Iterable[str],
    refresh: Callable[[Context, str], Awaitable[object]],
) -> None:
    """Refresh some patients after a commit. What fails is not the caller's: the write stands, and
    the follower does it again."""
    for patient in sorted(patients):
        try:
            await refresh(ctx, patient)
        except Exception as error:
            _log.warning("diary not brought up to date", patient=patient, error=repr(error))
