"""Appointment/$book: book what was proposed or held, IHE [ITI-117]
(https://profiles.ihe.net/ITI/Scheduling/ITI-117.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.diary.appointment import booking
from fhirserver.errors import Invalid
from fhirserver.operation.slot_request import SlotRequest

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.operation.call import Call


async def book(ctx: Context, call: Call) -> Version:
    """The Appointment, booked. On a Slot: of that slot."""
    wanted = SlotRequest(call, "book", resource=True)
    if bool(wanted.reference) == (wanted.resource is not None):
        raise Invalid(
            "Either appointment-reference or appointment-resource is needed.", code="required"
        )
    patient = booking.patient_of(ctx, wanted.patient)
    return await booking.book(ctx, wanted.reference, wanted.resource, patient)
