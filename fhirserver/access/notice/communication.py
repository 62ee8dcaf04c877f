"""A notice as Communication (https://hl7.org/fhir/R4/communication.html): that something happened,
not what; who may see more finds it in the space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.notice.notice import (
    ANNOUNCEMENT,
    APP_APPROVAL,
    APPOINTMENT,
    DOCUMENT,
    EMERGENCY,
    FIRST_ACCESS,
    MESSAGE,
    PREVENTION,
    VACCINATION,
)
from fhirserver.model.dates import instant

if TYPE_CHECKING:
    from fhirserver.access.notice.notice import Notice

#: Kind -> words, French first: the language of the space.
WORDS = {
    FIRST_ACCESS: "Un professionnel de santé a consulté votre espace pour la première fois. "
    "(A professional has looked at your space for the first time.)",
    EMERGENCY: "Votre espace a été consulté en urgence. "
    "(Your space was looked at in an emergency.)",
    DOCUMENT: "Un nouveau document est arrivé dans votre espace. "
    "(A new document has arrived in your space.)",
    MESSAGE: "Un nouveau message est arrivé dans votre espace. "
    "(A new message has arrived in your space.)",
    APPOINTMENT: "Vous avez un rendez-vous dans les prochaines 24 heures. "
    "(You have an appointment within the next 24 hours.)",
    VACCINATION: "Une vaccination est recommandée à partir de maintenant. "
    "(A vaccination is recommended from now on.)",
    PREVENTION: "Un examen de prévention est recommandé à partir de maintenant. "
    "(A preventive examination is recommended from now on.)",
    ANNOUNCEMENT: "Un professionnel de santé a des informations à vous donner : prenez "
    "rendez-vous. (A professional has something to tell you: please ask for an appointment.)",
    APP_APPROVAL: "Une application que vous avez autorisée a changé ses conditions : votre accord "
    "est à renouveler. (An app you have authorised has changed its terms: they are to be "
    "approved anew.)",
}


def communication(notice: Notice) -> dict[str, Any]:
    return notification(
        f"Patient/{notice.patient}", notice.kind, WORDS[notice.kind], notice.time, notice.about
    )


def notification(
    patient: str, topic: str, words: str, time: int, about: str = ""
) -> dict[str, Any]:
    """What tells a citizen something. `patient`, `about`: references; `time`: microseconds."""
    to = {"reference": patient}
    made: dict[str, Any] = {
        "resourceType": "Communication",
        "status": "completed",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/communication-category",
                        "code": "notification",
                    }
                ]
            }
        ],
        "subject": to,
        "topic": {"text": topic},
    }
    if about:
        made["about"] = [{"reference": about}]
    made["sent"] = instant(time // 1000 * 1000)
    made["recipient"] = [to]
    made["payload"] = [{"contentString": words}]
    return made
