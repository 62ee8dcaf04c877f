"""The health diary: appointments, vaccination, screening, reminders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.diary.appointment.behaviour import SETTLING, AppointmentBehaviour
from fhirserver.diary.appointment.expiry import EXPIRY
from fhirserver.diary.immunization.current import FOLLOWING, VaccinationBehaviour
from fhirserver.diary.reminders import reminding
from fhirserver.interaction.service import Service

if TYPE_CHECKING:
    from fhirserver.access.notice.notifier import Notifier


def service(notifier: Notifier) -> Service:
    """`notifier`: who tells the citizen."""
    return Service(
        "diary",
        behaviours=(AppointmentBehaviour(), VaccinationBehaviour()),
        jobs=(SETTLING, EXPIRY, FOLLOWING, reminding(notifier)),
    )


__all__ = ["service"]
