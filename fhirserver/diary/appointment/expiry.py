"""Lets go of held slots that nobody has booked in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.diary.appointment.booking import released
from fhirserver.errors import FHIRError
from fhirserver.interaction.service import Job
from fhirserver.interaction.update import update
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.search.parse import criteria

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context

SECONDS = 15.0


async def expire(ctx: Context) -> None:
    """Cancel every pending appointment whose time is over."""
    now = ctx.clock()
    text = f"status=pending&held-until=lt{instant(microseconds(now))}"
    page = await ctx.store.search(criteria(ctx.registry, "Appointment", text, now=now))
    for version in page.versions:
        held = decode_stored(version.content or b"{}")
        reason = {"text": "Not booked in the time it was held for"}
        cancelled = released({**held, "status": "cancelled", "cancelationReason": reason})
        try:
            await update(ctx, "Appointment", version.id, cancelled, if_match=version.version)
        except FHIRError:  # booked, or let go of, at this moment
            continue


EXPIRY = Job("diary-holds", SECONDS, expire)
