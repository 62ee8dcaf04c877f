"""The opening of a space: information, weeks to object, then it opens by itself.

A Task of code `opening` (docs/space.md) is the state machine. It is written when the person is
informed; `restriction.period` is the time to object, from the day of the information. While it is
`requested` the person may object, by a Consent of category OPTOUT or by the Task being `rejected`;
an opposed space is never opened, unless the person asks for it (OPTIN). When the weeks are over a
job sets Patient.active, which is what an open space is, and completes the Task.

Source: CSP R.1111-28 (information, six weeks, opposition), decrees 2021-1047 and 2021-1048.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.access.store import Selects
from fhirserver.errors import Forbidden, Issue, Unprocessable
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity
from fhirserver.search.expression import Query
from fhirserver.space import consents
from fhirserver.space.codes import (
    DEPARTMENT,
    OBJECTED,
    OPENED,
    OPENING,
    TASK,
    WAITING,
    WITHDRAWN,
)
from fhirserver.space.identifier import each_identifier, ins_systems, is_national
from fhirserver.space.identity import keeps_identities
from fhirserver.space.opposed import is_remembered
from fhirserver.space.phases import Phases
from fhirserver.space.refusal import issue, refused
from fhirserver.space.residence import department
from fhirserver.space.traits import trait_issues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Draft, Resource
    from fhirserver.model.version import Version

IS_OPENING = token("code", OPENING, system=TASK)
_STATES = (WAITING, OPENED, OBJECTED, WITHDRAWN)
_NEXT = {WAITING: _STATES, OPENED: (OPENED,), OBJECTED: (OBJECTED,), WITHDRAWN: (WITHDRAWN,)}


def is_opening(task: Resource) -> bool:
    codings = (task.get("code") or {}).get("coding") or []
    return any(c.get("system") == TASK and c.get("code") == OPENING for c in codings)


def patient_of(ctx: Context, task: Resource) -> str:
    """The id of the Patient whose space it is; empty when it is not one of this server."""
    return (identity(task.get("for"), ctx.local_bases, "Patient") or ("", ""))[1]


def of_patient(id: str, *states: str) -> Query:
    where = all_of(IS_OPENING, refers("subject", (("Patient", id),)), token("status", *states))
    return Query(("Task",), where, count=10)


@dataclass(frozen=True, slots=True)
class OpeningBehaviour:
    """The rules of the opening Task, and of Patient.active, which only an opening sets."""

    phases: Phases
    weeks: int
    types = frozenset({"Task", "Patient"})

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        if ctx.server is None:  # the server's own work
            return drafts
        together = {d.id: d.resource for d in drafts if d.type == "Patient" and d.resource}
        written: list[Draft] = []
        for draft in drafts:
            if draft.server or draft.type not in self.types:
                written.append(draft)
            elif draft.type == "Patient":
                written.append(await _keeps_active(ctx, draft))
            else:
                written.append(await self._task(ctx, draft, together))
        return written

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        return None

    async def _task(self, ctx: Context, draft: Draft, together: dict[str, Resource]) -> Draft:
        before = await _stored(ctx, "Task", draft.id)
        was = before is not None and is_opening(before)
        if draft.resource is None or not is_opening(draft.resource):
            if was and ctx.caller.role is not Role.OPEN:
                raise Forbidden("The record of an opening stays.")
            return draft
        if was and before is not None:
            return replace(draft, resource=_changed(before, draft.resource))
        return await self._begun(ctx, draft, together)

    async def _begun(self, ctx: Context, draft: Draft, together: dict[str, Resource]) -> Draft:
        if not keeps_identities(ctx):
            # Before anything is looked at: why a space is not opened is not for everybody.
            raise Forbidden("Openings are written by who keeps identities.")
        task = dict(draft.resource or {})
        patient_id = patient_of(ctx, task)
        patient = together.get(patient_id) or await _stored(ctx, "Patient", patient_id)
        if not patient_id or patient is None:
            raise refused("An opening is for a Patient who is registered here.", "Task.for")
        if task.get("status") != WAITING:
            raise refused(f"An opening begins with status {WAITING}.", "Task.status")
        if patient.get("active") is True:
            raise refused("This space is open already.", "Task.for")
        today = ctx.clock().date()
        home = department(patient)
        said = self.phases.closed_reason(home, today)
        if said:
            raise refused(said, "Task.for")
        issues = identity_issues(patient)
        if issues:
            raise Unprocessable(issues=tuple(issues))
        if await consents.is_closed(ctx, patient_id):
            raise refused("The person has objected to the space.", "Task.for")
        query = of_patient(patient_id, WAITING, OBJECTED)
        found = (await ctx.as_server.store.search(query)).versions
        states = {decode_stored(v.content or b"{}").get("status") for v in found}
        if WAITING in states:
            raise refused("The opening of this space is under way.", "Task.for", code="duplicate")
        objected = OBJECTED in states or await is_remembered(ctx, patient)
        if objected and not await consents.asks_for_it(ctx, patient_id):
            raise refused("The person has objected to the space.", "Task.for")
        task["restriction"] = {
            **(task.get("restriction") or {}),
            "period": self._weeks(task, today),
        }
        if "authoredOn" not in task:
            task["authoredOn"] = instant(microseconds(ctx.clock()))
        kept = [e for e in task.get("extension", []) if e.get("url") != DEPARTMENT]
        task["extension"] = [*kept, {"url": DEPARTMENT, "valueCode": home or "unknown"}]
        held = Selects(query, frozenset((v.type, v.id) for v in found), server=True)
        return replace(draft, resource=task, selects=(*draft.selects, held))

    def _weeks(self, task: Resource, today: date) -> dict[str, str]:
        """The time to object: from the day of the information, so many weeks."""
        given = ((task.get("restriction") or {}).get("period")) or {}
        start = str(given.get("start") or today.isoformat())[:10]
        where = "Task.restriction.period"
        try:
            informed = date.fromisoformat(start)
        except ValueError:
            raise refused("The day of the information is a date.", f"{where}.start") from None
        earliest = informed + timedelta(weeks=self.weeks)
        end = str(given.get("end") or earliest.isoformat())[:10]
        if end < earliest.isoformat():
            text = f"The person has {self.weeks} weeks to object, until {earliest.isoformat()}."
            raise refused(text, f"{where}.end")
        return {"start": informed.isoformat(), "end": end}


def identity_issues(patient: Resource) -> list[Issue]:
    """What an identity lacks to have a space opened for it: an INS, and the five strict traits."""
    national = [each for _, each in each_identifier(patient) if is_national(each)]
    if not national:
        return [issue("A space is opened for an INS.", "Patient.identifier")]
    official = any(ins_systems()[each["system"]].official for each in national)
    return trait_issues(patient, written=official)


def _changed(before: Resource, after: Resource) -> Resource:
    """The Task with what may change of it: its state, its reason, remarks."""
    was, is_ = before.get("status"), after.get("status")
    if is_ not in _NEXT.get(str(was), ()):
        raise refused(f"An opening that is {was} does not become {is_}.", "Task.status")
    if is_ == OPENED and was != OPENED:
        raise refused("A space opens when the weeks to object are over.", "Task.status")
    for name in ("for", "code", "restriction", "extension", "authoredOn"):
        if before.get(name) != after.get(name):
            raise refused("This of an opening does not change.", f"Task.{name}")
    return after


async def _keeps_active(ctx: Context, draft: Draft) -> Draft:
    """Nobody opens a space, their own neither, by writing Patient.active; with no access control
    (`--auth off`) what is written counts."""
    resource = draft.resource
    if resource is None or ctx.caller.role is Role.OPEN:
        return draft
    before = await _stored(ctx, "Patient", draft.id) or {}
    if resource.get("active", False) == before.get("active", False):
        return draft
    if resource.get("active") is True:
        raise refused("A space is opened by an opening (Task), not here.", "Patient.active")
    raise refused("A space is closed by the citizen's Consent (OPTOUT).", "Patient.active")


async def _stored(ctx: Context, type: str, id: str) -> dict[str, Any] | None:
    if not id:
        return None
    version = await ctx.as_server.store.read(type, id)
    return None if version is None or version.content is None else decode_stored(version.content)
