"""Erasing a space for good: every version of everything in it, and the Binaries of its documents.

A Task of code `erasure` says that it is to be done and that it was; it names the Patient by its
logical id, holds nothing that tells who it was, and stays with the audit trail. What is current
goes at once; what had been deleted before is found by going through all commits, which a job does
for all erasures that wait. Each step can be done again after an interruption. That the person does
not want a space outlasts the erasure (`opposed.py`).

Source: CSP R.1111-36 (express request: within three months; closed: ten years).
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

from fhirserver.access.decision.build import all_of, any_of, token
from fhirserver.access.decision.codes import ACT_CODE, CONSENT_SCOPE, OPT_OUT, PATIENT_PRIVACY
from fhirserver.access.every import every
from fhirserver.access.store import Selects, VersionConflict
from fhirserver.interaction.context import Draft
from fhirserver.interaction.write import attempts, commit
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.version import ABSENT
from fhirserver.search.expression import Both, Compare, Kind, Match, Query, Updated
from fhirserver.space import consents
from fhirserver.space.codes import ERASED, ERASURE, OPPOSED, TASK, WAITING, WITHDRAWN, reason
from fhirserver.space.holdings import binaries, held, is_of, loose
from fhirserver.space.opposed import fingerprints

if TYPE_CHECKING:
    from datetime import datetime

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Expression

DAYS = 90  # the law gives three months
_IS_ERASURE = token("code", ERASURE, system=TASK)
_UNDER_WAY = token("status", "in-progress")
_TO_COME = token("status", WAITING)
_AT_ONCE = 500


def _of(patient: str, states: Expression) -> Query:
    named = Both((Compare("system", "eq", ERASED), Compare("code", "eq", patient)))
    where = all_of(_IS_ERASURE, states, Match("identifier", Kind.TOKEN, named))
    return Query(("Task",), where, count=2)


async def order(ctx: Context, patient: str, why: str, days: int = 0) -> Version:
    """Record that a space is to be erased, once; the Task. `days`: in which that may be taken
    back. `ctx`: the server's own."""

    async def attempt() -> Version:
        query = _of(patient, any_of(_TO_COME, _UNDER_WAY))
        found = (await ctx.store.search(query)).versions
        if found:
            return found[0]
        now = ctx.clock()
        named = [{"system": ERASED, "value": patient}]
        named += [{"system": OPPOSED, "value": each} for each in await _prints(ctx, patient)]
        task = {
            "resourceType": "Task",
            "identifier": named,
            "status": WAITING if days else "in-progress",
            "statusReason": reason(why),
            "intent": "order",
            "code": {"coding": [{"system": TASK, "code": ERASURE}]},
            "authoredOn": instant(microseconds(now)),
            "restriction": {"period": {"start": _day(now, days), "end": _day(now, DAYS)}},
        }
        selects = (Selects(query, frozenset(), server=True),)
        draft = Draft("POST", "Task", ctx.new_id(), task, ABSENT, server=True, selects=selects)
        (version,) = await commit(ctx, [draft])
        return version

    return await attempts(ctx, attempt)


def _day(now: datetime, days: int) -> str:
    return (now + timedelta(days=days)).date().isoformat()


async def is_to_come(ctx: Context, patient: str) -> bool:
    """An erasure is ordered that can still be taken back."""
    return await ctx.as_server.store.count(_of(patient, _TO_COME), 1) > 0


async def taken_back(ctx: Context, patient: str) -> list[Draft]:
    """What is to be written for an erasure that has not begun not to begin."""
    drafts = []
    for version in (await ctx.store.search(_of(patient, _TO_COME))).versions:
        task = decode_stored(version.content or b"{}")
        task |= {
            "identifier": [each for each in task["identifier"] if each["system"] != OPPOSED],
            "status": WITHDRAWN,
            "statusReason": reason("asked-for"),
            "lastModified": instant(microseconds(ctx.clock())),
        }
        drafts.append(Draft("PUT", "Task", version.id, task, version.version, server=True))
    return drafts


async def _begin(ctx: Context) -> None:
    """Begin the erasures whose days to take them back are over."""
    query = Query(("Task",), all_of(_IS_ERASURE, _TO_COME), count=1000)
    today = ctx.clock().date().isoformat()
    async for version in every(ctx.store, query):
        task = decode_stored(version.content or b"{}")
        if task["restriction"]["period"]["start"] <= today:
            begun = {**task, "status": "in-progress"}
            draft = Draft("PUT", "Task", version.id, begun, version.version, server=True)
            with contextlib.suppress(VersionConflict):  # taken back at the last moment
                await commit(ctx, [draft])


async def _prints(ctx: Context, patient: str) -> list[str]:
    version = await ctx.store.read("Patient", patient)
    if version is None or version.content is None:
        return []
    return await fingerprints(decode_stored(version.content))


async def close(ctx: Context, patient: str) -> None:
    """Nothing more comes into the space."""

    async def attempt() -> None:
        version = await ctx.store.read("Patient", patient)
        if version is None or version.content is None:
            return
        resource = decode_stored(version.content)
        if resource.get("active") is True:
            shut = {**resource, "active": False}
            await commit(
                ctx, [Draft("PUT", "Patient", patient, shut, version.version, server=True)]
            )

    await attempts(ctx, attempt)


async def erase_current(ctx: Context, patient: str) -> int:
    """Erase what the space holds now; how many resources that were."""
    found = [version async for version in held(ctx, patient)]
    carried = await binaries(ctx, found)
    named = [(version.type, version.id) for version in found]
    for start in range(0, len(named), _AT_ONCE):
        await ctx.store.erase(named[start : start + _AT_ONCE])
    free = await loose(ctx, carried)
    for start in range(0, len(free), _AT_ONCE):
        await ctx.store.erase(free[start : start + _AT_ONCE])
    return len(named) + len(free)


async def erase_due(ctx: Context) -> None:
    """The job: finish every erasure that is under way."""
    await _begin(ctx)
    page = await ctx.store.search(Query(("Task",), all_of(_IS_ERASURE, _UNDER_WAY), count=1000))
    if not page.versions:
        return
    waiting = {_patient_of(version): version for version in page.versions}
    for patient in waiting:
        await erase_current(ctx, patient)
    await _sweep(ctx, set(waiting))
    for version in waiting.values():
        task = decode_stored(version.content or b"{}")
        done = {**task, "status": "completed", "lastModified": instant(microseconds(ctx.clock()))}
        await commit(ctx, [Draft("PUT", "Task", version.id, done, version.version, server=True)])


async def _sweep(ctx: Context, patients: set[str]) -> None:
    """Erase what had been deleted before: its past versions are still there."""
    marks = {patient: f"Patient/{patient}".encode() for patient in patients}
    gone: dict[tuple[str, str], list[Version]] = {}
    async for version in ctx.store.changes():
        if version.content is None:
            continue
        for patient, mark in marks.items():
            if mark not in version.content and (version.type, version.id) != ("Patient", patient):
                continue
            if is_of(ctx, decode_stored(version.content), patient):
                gone.setdefault((version.type, version.id), []).append(version)
    if not gone:
        return
    kept = {(v.type, v.id) for v in await ctx.store.read_many(list(gone))}
    dead = {identity: past for identity, past in gone.items() if identity not in kept}
    carried = await binaries(ctx, [version for past in dead.values() for version in past])
    await ctx.store.erase(list(dead))
    await ctx.store.erase(await loose(ctx, carried))


def _patient_of(version: Version) -> str:
    task = decode_stored(version.content or b"{}")
    return next(
        (str(i.get("value")) for i in task.get("identifier", []) if i.get("system") == ERASED), ""
    )


async def order_expired(ctx: Context, years: int) -> None:
    """Order the erasure of spaces that have been closed for so many years."""
    now = ctx.clock()
    since = microseconds(now) - int(timedelta(days=365.25 * years).total_seconds()) * 1_000_000
    where = all_of(
        token("status", "active"),
        token("scope", PATIENT_PRIVACY, system=CONSENT_SCOPE),
        token("category", OPT_OUT, system=ACT_CODE),
        Updated(Compare("low", "lt", since)),
    )
    async for version in every(ctx.store, Query(("Consent",), where, count=_AT_ONCE)):
        category, patient = consents.choice_of(ctx, decode_stored(version.content or b"{}"))
        if category == OPT_OUT and await consents.is_closed(ctx, patient):
            await order(ctx, patient, "kept-long-enough")
            await close(ctx, patient)
