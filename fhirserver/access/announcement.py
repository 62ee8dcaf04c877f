"""Tells a citizen to see a professional about what waits to be announced to them.

A document labelled INVISIBLE_PATIENT is kept from the citizen until a professional has told them
of it, a month at most (`decision/labels.py`). When two weeks have gone by without, they are told to
ask for an appointment: by a notice that says neither what waits nor how much. There is one for all
documents of a day. Nothing is told of what is hidden from representatives as well, nor of a space
that is closed.

Source: CSP R.1111-53 (two weeks, then one month).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fhirserver.access.decision.build import all_of, any_of, negate, token
from fhirserver.access.decision.codes import (
    INVISIBLE_TO_PATIENT,
    INVISIBLE_TO_REPRESENTATIVES,
    SECRET_CONNECTION,
)
from fhirserver.access.decision.labels import labelled, months_before
from fhirserver.access.every import every
from fhirserver.access.notice.notice import ANNOUNCEMENT, Notice, notice_id
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Both, Compare, Kind, Match, Query, Updated

if TYPE_CHECKING:
    from fhirserver.access.audit.subject import Subjects
    from fhirserver.access.notice.notifier import Notifier
    from fhirserver.search.expression import Expression
    from fhirserver.storage.interface import Store

TYPE = "DocumentReference"
AFTER = timedelta(days=14)
_PAGE = 200


class Announcements:
    """`months`: how long documents wait at most."""

    def __init__(
        self, store: Store, subjects: Subjects, notifier: Notifier, months: int = 1
    ) -> None:
        self._store = store
        self._subjects = subjects
        self._notifier = notifier
        self._months = months

    async def tell(self, now: int) -> None:
        """Everybody who is to be told by now (microseconds). Again does nothing."""
        query = Query((TYPE,), _waiting(now, self._months), count=_PAGE)
        async for version in every(self._store, query):
            if version.content is None:
                continue
            date = decode_stored(version.content).get("date") or instant(version.updated)
            day = str(date)[:10]
            for patient in self._subjects.of(version)[0]:
                if await self._is_open(patient):
                    id = notice_id(patient, ANNOUNCEMENT, day)
                    await self._notifier.tell(Notice(id, ANNOUNCEMENT, patient, now))

    async def _is_open(self, patient: str) -> bool:
        version = await self._store.read("Patient", patient)
        if version is None or version.content is None:
            return False
        resource = decode_stored(version.content)
        dead = resource.get("deceasedBoolean") is True or "deceasedDateTime" in resource
        return resource.get("active") is not False and not dead


def _waiting(now: int, months: int) -> Expression:
    moment = datetime.fromtimestamp(now / 1_000_000, UTC)
    told = microseconds(moment - AFTER)
    over = microseconds(months_before(moment, months))
    dated = Compare("high", "le", told)
    since = Both((dated, Compare("high", "gt", over)))
    return all_of(
        labelled(TYPE, INVISIBLE_TO_PATIENT),
        negate(labelled(TYPE, INVISIBLE_TO_REPRESENTATIVES, SECRET_CONNECTION)),
        token("status", "current"),
        any_of(
            Match("date", Kind.DATE, since),
            all_of(negate(Match("date", Kind.DATE, dated)), Updated(since)),
        ),
    )
