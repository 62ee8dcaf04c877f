"""Which records of the audit trail a citizen is told of.

* `first_access`: a professional sees the space who has not seen it before;
* `emergency`: somebody has broken the glass, or an emergency call centre (centre 15) has looked;
* `document`: somebody else has put a document into the space;
* `message`: a professional has written (told by `messaging/notices.py`);
* `appointment`, `vaccination`, `prevention`: reminders (told by `diary/reminders.py`);
* `announcement`: what a professional is to tell has waited for two weeks (told by
  `access/announcement.py`);
* `app_approval`: an app is to be approved anew (told by `catalogue/reapproval.py`).

Nothing is told of what is hidden from the citizen or their representatives, nor of care that a
minor receives in secret (CONNEXION_SECRETE).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhirserver.access.audit.subject import HIDING
from fhirserver.access.caller import Mode, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.access.audit.record import Record

FIRST_ACCESS = "first_access"
EMERGENCY = "emergency"
DOCUMENT = "document"
MESSAGE = "message"
APPOINTMENT = "appointment"
VACCINATION = "vaccination"
PREVENTION = "prevention"
APP_APPROVAL = "app_approval"
ANNOUNCEMENT = "announcement"
KINDS = (
    FIRST_ACCESS,
    EMERGENCY,
    DOCUMENT,
    MESSAGE,
    APPOINTMENT,
    VACCINATION,
    PREVENTION,
    APP_APPROVAL,
    ANNOUNCEMENT,
)

_OUTSIDE = frozenset({Role.PROFESSIONAL, Role.SYSTEM})


@dataclass(frozen=True, slots=True)
class Notice:
    """`id` is the same for the same reason, so a citizen is told once. `time`: microseconds."""

    id: str
    kind: str
    patient: str
    time: int
    about: str = ""  # reference of the document, message or app


def notices_of(record: Record) -> Iterator[Notice]:
    if not record.patient or record.status >= 400 or HIDING.intersection(record.labels):
        return
    if not record.entities:  # nothing was seen: a token given, a search that found nothing
        return
    professional = record.role == Role.PROFESSIONAL and record.user
    if record.mode in (Mode.BRIS_DE_GLACE, Mode.CENTRE_15):
        # One token is one opening of the space.
        who = record.token or f"{record.user} {record.client} {record.id}"
        yield _notice(record, EMERGENCY, record.mode, who)
    elif professional and record.interaction != "create":
        yield _notice(record, FIRST_ACCESS, record.user)
    if record.interaction == "create" and record.role in _OUTSIDE:
        for entity in record.entities:
            if entity.startswith("DocumentReference/"):
                yield _notice(record, DOCUMENT, entity, about=entity)


def _notice(record: Record, kind: str, *reason: str, about: str = "") -> Notice:
    return Notice(
        notice_id(record.patient, kind, *reason), kind, record.patient, record.time, about
    )


def notice_id(patient: str, kind: str, *reason: str) -> str:
    words = "\n".join((patient, kind, *reason))
    return f"notice-{hashlib.sha256(words.encode()).hexdigest()[:40]}"
