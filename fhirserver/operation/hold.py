"""Appointment/$hold: keep a proposed appointment while its booking is made ready, IHE [ITI-116]
(https://profiles.ihe.net/ITI/Scheduling/ITI-116.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.diary.appointment import booking
from fhirserver.errors import Invalid
from fhirserver.operation.slot_request import SlotRequest

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.operation.call import Call


async def hold(ctx: Context, call: Call) -> Version:
    """The Appointment, pending. On a Slot: of that slot."""
    wanted = SlotRequest(call, "hold")
    if not wanted.reference:
        raise Invalid("appointment-reference is needed.", code="required")
    return await booking.hold(ctx, wanted.reference, booking.patient_of(ctx, wanted.patient))
