"""The health diary: appointments, vaccination, screening, reminders."""

from __future__ import annotations

from fhirserver.diary.appointment.behaviour import SETTLING, AppointmentBehaviour
from fhirserver.diary.appointment.expiry import EXPIRY
from fhirserver.diary.immunization.current import FOLLOWING, VaccinationBehaviour
from fhirserver.interaction.service import Service

SERVICE = Service(
    "diary",
    behaviours=(AppointmentBehaviour(), VaccinationBehaviour()),
    jobs=(SETTLING, EXPIRY, FOLLOWING),
)

__all__ = ["SERVICE"]
