"""The health diary: appointments, vaccination, screening, reminders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.diary.appointment.behaviour import SETTLING, AppointmentBehaviour
from fhirserver.diary.appointment.expiry import EXPIRY
from fhirserver.diary.following import FOLLOWING
from fhirserver.diary.immunization.current import VaccinationBehaviour
from fhirserver.diary.reminders import reminding
from fhirserver.diary.screening.current import ScreeningBehaviour
from fhirserver.interaction.service import Service

if TYPE_CHECKING:
    from fhirserver.access.notice.notifier import Notifier
    from fhirserver.diary.immunization.calendar import Settings


def service(notifier: Notifier, vaccination: Settings | None = None) -> Service:
    """`notifier`: who tells the citizen. `vaccination`: the choices the calendar leaves open."""
    return Service(
        "diary",
        behaviours=(
            AppointmentBehaviour(),
            VaccinationBehaviour(vaccination),
            ScreeningBehaviour(),
        ),
        jobs=(SETTLING, EXPIRY, FOLLOWING, reminding(notifier)),
    )


__all__ = ["service"]
