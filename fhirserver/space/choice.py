"""What a citizen's choice to have the space (OPTIN) brings about: it is open from then on.

Closings and oppositions before it end (their Consents become inactive), which shows again what was
kept; a space that had not been opened, or was erased, is opened at once. Where no space may be
opened yet the choice is refused with the reason.

Source: CSP R.1111-36 (closing is undone on request).

On a store without transactions this follows the Consent; a job makes good what was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhirserver.access.decision.codes import OPT_IN, OPT_OUT
from fhirserver.errors import Unprocessable
from fhirserver.interaction.context import Draft
from fhirserver.interaction.service import follow
from fhirserver.interaction.write import attempts, commit
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.space import consents
from fhirserver.space.codes import OPENED, WAITING, reason
from fhirserver.space.due import with_active
from fhirserver.space.erasure import is_to_come, taken_back
from fhirserver.space.opening import identity_issues, of_patient
from fhirserver.space.opposed import forgetting
from fhirserver.space.phases import Phases
from fhirserver.space.refusal import refused
from fhirserver.space.residence import department

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

_CONSENTS = frozenset({"Consent"})


@dataclass(frozen=True, slots=True)
class ChoiceBehaviour:
    phases: Phases
    types = _CONSENTS

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        written = list(drafts)
        named = {(draft.type, draft.id) for draft in drafts}
        for draft in drafts:
            if draft.type != "Consent" or draft.resource is None or draft.server:
                continue
            category, patient = consents.choice_of(ctx, draft.resource)
            if category != OPT_IN:
                continue
            await self._check(ctx, patient)
            if ctx.store.capabilities.transactions:
                for each in await consequences(ctx.as_server, patient):
                    if (each.type, each.id) not in named:
                        named.add((each.type, each.id))
                        written.append(each)
        return written

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        if not ctx.store.capabilities.transactions:
            for version in versions:
                await settle(ctx.as_server, version)

    async def _check(self, ctx: Context, id: str) -> None:
        """Refuse to open a space that may not be opened yet."""
        version = await ctx.as_server.store.read("Patient", id)
        if version is None or version.content is None:
            return
        patient = decode_stored(version.content)
        if patient.get("active") is True or await is_to_come(ctx, id):
            return
        said = self.phases.closed_reason(department(patient), ctx.clock().date())
        if said:
            raise refused(said, "Consent.patient")
        issues = identity_issues(patient)
        if issues:
            raise Unprocessable(issues=tuple(issues))


async def consequences(ctx: Context, patient_id: str, before: int | None = None) -> list[Draft]:
    """What is to be written for the space to be open. `before`: a place in the order of commits;
    closings after it are later choices."""
    drafts = []
    query = consents.in_force_of(patient_id, OPT_OUT, ctx.clock())
    for version in (await ctx.store.search(query)).versions:
        if before is None or version.seq < before:
            ended = {**decode_stored(version.content or b"{}"), "status": "inactive"}
            drafts.append(_server("Consent", version, ended))
    held = await ctx.store.read("Patient", patient_id)
    if held is None or held.content is None:
        return drafts
    patient = decode_stored(held.content)
    if patient.get("active") is True:
        return drafts
    back = await taken_back(ctx, patient_id)
    ids = {draft.id for draft in back}
    drafts += back
    drafts += [draft for draft in await forgetting(ctx, patient) if draft.id not in ids]
    drafts.append(_server("Patient", held, with_active(patient)))
    for version in (await ctx.store.search(of_patient(patient_id, WAITING))).versions:
        task = {
            **decode_stored(version.content or b"{}"),
            "status": OPENED,
            "statusReason": reason("asked-for"),
            "lastModified": instant(microseconds(ctx.clock())),
        }
        drafts.append(_server("Task", version, task))
    return drafts


async def settle(ctx: Context, version: Version) -> None:
    """Make good what a choice to have the space means, where it was written alone."""
    if version.content is None:
        return
    category, patient = consents.choice_of(ctx, decode_stored(version.content))
    if category != OPT_IN:
        return

    async def attempt() -> None:
        current = await ctx.store.read("Consent", version.id)
        if current is None or current.version != version.version:
            return  # a later choice
        for draft in await consequences(ctx, patient, version.seq):
            await commit(ctx, [draft])

    await attempts(ctx, attempt)


async def settle_choices(ctx: Context) -> None:
    """The job: choices whose consequences an interruption has left out."""
    await follow(ctx, "space-choices", _CONSENTS, settle)


def _server(type: str, version: Version, resource: dict[str, object]) -> Draft:
    return Draft("PUT", type, version.id, resource, version.version, server=True)
