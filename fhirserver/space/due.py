"""Opens the spaces whose weeks to object are over: each once, whichever process does it.

What is written depends on the versions looked at and on no opposition being in force at that
moment, so neither an opposition of the last second nor a second process can be passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import all_of, token
from fhirserver.access.every import every
from fhirserver.access.store import SelectionChanged, VersionConflict
from fhirserver.interaction.context import Draft
from fhirserver.interaction.write import commit
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Compare, Kind, Match, Query
from fhirserver.space import consents
from fhirserver.space.codes import OBJECTED, OPENED, WAITING, WITHDRAWN, reason
from fhirserver.space.opening import IS_OPENING, patient_of
from fhirserver.space.opposed import is_remembered

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version

_AT_A_TIME = 200


async def open_due(ctx: Context) -> None:
    """Settle every opening whose time to object has ended. `ctx`: the server's own."""
    over = Match("deadline", Kind.DATE, Compare("high", "le", microseconds(ctx.clock())))
    where = all_of(IS_OPENING, token("status", WAITING), over)
    async for version in every(ctx.store, Query(("Task",), where, count=_AT_A_TIME)):
        try:
            await settle(ctx, version)
        except (VersionConflict, SelectionChanged):
            continue  # somebody was faster; the next round looks again


async def settle(ctx: Context, version: Version) -> None:
    """Open the space of one Task, or say why not. Raises VersionConflict, SelectionChanged."""
    task = decode_stored(version.content or b"{}")
    id = patient_of(ctx, task)
    held = await ctx.store.read("Patient", id) if id else None
    patient = decode_stored(held.content) if held is not None and held.content else None
    if held is None or patient is None:
        await _finish(ctx, version, task, WITHDRAWN, "no-identity")
    elif patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient:
        await _finish(ctx, version, task, WITHDRAWN, "deceased")
    elif await _is_opposed(ctx, id, patient):
        await _finish(ctx, version, task, OBJECTED, "opposition")
    elif patient.get("active") is True:
        await _finish(ctx, version, task, OPENED, "weeks-over")
    else:
        opened = Draft(
            "PUT",
            "Patient",
            id,
            with_active(patient),
            held.version,
            selects=(consents.unopposed(id, ctx.clock()),),
        )
        done = _finished(ctx, version, task, OPENED, "weeks-over")
        if ctx.store.capabilities.transactions:
            await commit(ctx, [opened, done])
        else:  # the Task last: what is interrupted between is finished in the next round
            await commit(ctx, [opened])
            await commit(ctx, [done])


async def _is_opposed(ctx: Context, id: str, patient: Resource) -> bool:
    if await consents.is_closed(ctx, id):
        return True
    return await is_remembered(ctx, patient) and not await consents.asks_for_it(ctx, id)


async def _finish(ctx: Context, version: Version, task: Resource, state: str, why: str) -> None:
    await commit(ctx, [_finished(ctx, version, task, state, why)])


def _finished(ctx: Context, version: Version, task: Resource, state: str, why: str) -> Draft:
    changed = {
        **task,
        "status": state,
        "statusReason": reason(why),
        "lastModified": instant(microseconds(ctx.clock())),
    }
    return Draft("PUT", "Task", version.id, changed, version.version)


def with_active(patient: Resource) -> Resource:
    """The Patient whose space is open; `active` stands where FHIR has it."""
    if "active" in patient:
        return {**patient, "active": True}
    made: Resource = {}
    for name, value in patient.items():
        if name not in _BEFORE_ACTIVE and "active" not in made:
            made["active"] = True
        made[name] = value
    return {**made, "active": True}


_BEFORE_ACTIVE = frozenset(
    {
        "resourceType", "id", "meta", "implicitRules", "_implicitRules", "language", "_language",
        "text", "contained", "extension", "modifierExtension", "identifier",
    }
)  # fmt: skip
