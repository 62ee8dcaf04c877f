"""The rules at each write of an Appointment: its states, and that no slot is taken twice
(https://hl7.org/fhir/R4/appointment.html)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.diary.appointment import slots, states
from fhirserver.errors import Conflict, Forbidden, Issue, Unprocessable
from fhirserver.interaction.service import Job, follow
from fhirserver.interaction.write import attempts, commit
from fhirserver.model.dates import interval
from fhirserver.model.json import decode_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Draft
    from fhirserver.model.version import Version

    Json = dict[str, Any]

_CITIZENS = frozenset({Role.CITIZEN, Role.PROXY})
SECONDS = 2.0


class AppointmentBehaviour:
    types = frozenset({"Appointment"})

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        shown: dict[str, dict[str, str]] = {}  # slot -> appointment -> status, after this commit
        written = []
        for draft in drafts:
            if draft.type == "Appointment":
                draft = await self._checked(ctx, draft, shown)
            written.append(draft)
        if not ctx.store.capabilities.transactions:
            return written  # `after_commit` sees to the slots
        also_written = {(draft.type, draft.id) for draft in drafts}
        for slot, appointments in shown.items():
            if ("Slot", slot) not in also_written:
                change = await slots.change_of_slot(ctx, slot, appointments.values())
                if change is not None:
                    written.append(change)
        return written

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        if not ctx.store.capabilities.transactions:
            for version in versions:
                await settle(ctx.as_server, version)

    async def _checked(self, ctx: Context, draft: Draft, shown: dict[str, dict[str, str]]) -> Draft:
        before = await _stored(ctx, draft.id)
        after = draft.resource
        if after is not None:
            _check_status(ctx, before, after)
        held = slots.taken(ctx, before)
        wanted = slots.taken(ctx, after)
        selects = list(draft.selects)
        for slot in dict.fromkeys((*held, *wanted)):
            if slot not in shown:
                stored = await slots.taken_by(ctx, slot)
                selects.append(slots.only(ctx, slot, stored))
                shown[slot] = dict(stored)
            appointments = shown[slot]
            appointments.pop(draft.id, None)
            if slot in wanted and after is not None:
                if appointments and slot not in held and not await _overbooked(ctx, slot):
                    raise taken_already(slot)
                appointments[draft.id] = str(after["status"])
        return replace(draft, selects=tuple(selects))


def taken_already(slot: str) -> Conflict:
    return Conflict(f"Slot/{slot} is taken by another appointment.")


def _check_status(ctx: Context, before: Json | None, after: Json) -> None:
    was, status = str((before or {}).get("status", "")), str(after.get("status", ""))
    if was and not states.follows(was, status):
        raise _refused(f"An appointment that is {was} cannot become {status}.")
    if ctx.caller.role in _CITIZENS and was != status and not states.for_citizens(status):
        raise Forbidden(f"That an appointment is {status} is for those who keep it to say.")
    start, end = after.get("start"), after.get("end")
    if isinstance(start, str) and isinstance(end, str) and _instant(end) < _instant(start):
        raise _refused("The appointment ends before it starts.", "Appointment.end")


def _instant(text: str) -> int:
    return interval(text)[0]


def _refused(text: str, where: str = "Appointment.status") -> Unprocessable:
    return Unprocessable(issues=(Issue("error", "business-rule", text, (where,)),))


async def _stored(ctx: Context, id: str) -> Json | None:
    version = await ctx.as_server.store.read("Appointment", id)
    if version is None or version.content is None:
        return None
    return decode_stored(version.content)


async def _overbooked(ctx: Context, slot: str) -> bool:
    version = await ctx.as_server.store.read("Slot", slot)
    if version is None or version.content is None:
        return False
    return decode_stored(version.content).get("overbooked") is True


async def settle(ctx: Context, version: Version) -> None:
    """Show the slots of an appointment, and of the version before, as they are taken now."""
    concerned: dict[str, None] = {}
    images = [version]
    if version.version > 1:
        before = await ctx.store.vread(version.type, version.id, version.version - 1)
        images += [before] if before is not None else []
    for image in images:
        for slot in slots.slots_of(ctx, decode_stored(image.content or b"{}")):
            concerned[slot] = None
    for slot in concerned:

        async def attempt(slot: str = slot) -> None:
            taken = await slots.taken_by(ctx, slot)
            change = await slots.change_of_slot(ctx, slot, taken.values())
            if change is not None:
                await commit(ctx, [change], [slots.only(ctx, slot, taken)])

        await attempts(ctx, attempt)


async def _follow(ctx: Context) -> None:
    await follow(ctx, "diary-slots", AppointmentBehaviour.types, settle)


#: Makes good what an interruption left between an appointment and its slots.
SETTLING = Job("diary-slots", SECONDS, _follow)
