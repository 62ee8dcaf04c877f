"""The slots an appointment takes: nobody else's while it does, and shown as busy.

That a slot is taken is said by the appointments that refer to it; `Slot.status` follows them
(https://hl7.org/fhir/R4/slot.html). A slot that says `overbooked` may be taken more than once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.store import Selects
from fhirserver.diary.appointment.states import occupying, slot_status
from fhirserver.interaction.context import Draft
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity
from fhirserver.search.parse import criteria

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fhirserver.interaction.context import Context
    from fhirserver.search.expression import Query

    Json = Mapping[str, Any]

SHOWN = frozenset({"free", "busy", "busy-tentative"})
_BUSIEST = ("busy", "busy-tentative", "free")


def slots_of(ctx: Context, appointment: Json) -> list[str]:
    """Ids of the slots of this server that an appointment refers to."""
    found: list[str] = []
    for each in appointment.get("slot", []):
        slot = identity(each, ctx.local_bases, "Slot")
        if slot is not None and slot[1] not in found:
            found.append(slot[1])
    return found


def taken(ctx: Context, appointment: Json | None) -> list[str]:
    """The slots it takes, in the state it is in."""
    if appointment is None or slot_status(str(appointment.get("status"))) is None:
        return []
    return slots_of(ctx, appointment)


def takers(ctx: Context, slot: str) -> Query:
    """The appointments that take a slot."""
    return criteria(
        ctx.registry,
        "Appointment",
        f"slot=Slot/{slot}&status={','.join(occupying())}",
        local_bases=ctx.local_bases,
        now=ctx.clock(),
    )


async def taken_by(ctx: Context, slot: str) -> dict[str, str]:
    """Id and status of each appointment that takes a slot."""
    page = await ctx.as_server.store.search(takers(ctx, slot))
    return {v.id: str(decode_stored(v.content or b"{}").get("status")) for v in page.versions}


def only(ctx: Context, slot: str, ids: Iterable[str]) -> Selects:
    """The precondition that these appointments, and no others, take the slot."""
    pairs = frozenset(("Appointment", id) for id in ids)
    return Selects(takers(ctx, slot), pairs, server=True)


def status_of(statuses: Iterable[str]) -> str:
    """What a slot shows that appointments in these states take."""
    shown = {slot_status(status) or "free" for status in statuses}
    return next((status for status in _BUSIEST if status in shown), "free")


async def change_of_slot(ctx: Context, slot: str, statuses: Iterable[str]) -> Draft | None:
    """The slot as it is to be shown, when that is a change. What the agenda's owner has blocked
    (busy-unavailable) stays so."""
    version = await ctx.as_server.store.read("Slot", slot)
    if version is None or version.content is None:
        return None
    resource = decode_stored(version.content)
    wanted = status_of(statuses)
    if resource.get("status") == wanted or resource.get("status") not in SHOWN:
        return None
    return Draft("PUT", "Slot", slot, {**resource, "status": wanted}, version.version, server=True)
