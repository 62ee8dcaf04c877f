"""Tells citizens what the audit trail has for them, once each, across restarts and processes.

A notice is first put into an outbox (a grant), then becomes a Communication under an id that
follows from its reason, then an e-mail, then leaves the outbox. A crash anywhere in between is
made good when the same block of the log is worked off again.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import structlog

from fhirserver.access.audit.follow import NEVER, Follower
from fhirserver.access.audit.record import decode_block
from fhirserver.access.audit.subject import hiding_labels
from fhirserver.access.notice.communication import communication
from fhirserver.access.notice.notice import DOCUMENT, KINDS, MESSAGE, Notice, notices_of
from fhirserver.access.notice.sender import is_address
from fhirserver.model.content import content
from fhirserver.model.json import decode_stored
from fhirserver.model.version import ABSENT, Change
from fhirserver.storage.interface import Grant, VersionConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fhirserver.access.notice.sender import Sender
    from fhirserver.search.entries import Entry
    from fhirserver.storage.interface import Block, Store

KIND = "notice-done"
OUTBOX = "notice-outbox"
RETRY_SECONDS = 60.0
_KNOWN = 50_000  # notices this process remembers to be told

_log = structlog.get_logger("fhirserver")


class Notifier:
    """`kinds`: what citizens are told of; `sender` None: only in the space, by no e-mail."""

    def __init__(
        self,
        store: Store,
        entries: Callable[[dict[str, Any]], Sequence[Entry]],
        sender: Sender | None = None,
        kinds: Iterable[str] = KINDS,
    ) -> None:
        self._store = store
        self._entries = entries
        self._sender = sender
        self._kinds = frozenset(kinds)
        self._known: set[str] = set()
        self._follower = Follower(store, KIND, self._tell)
        self._resume_at = 0.0

    async def done(self, chain: str) -> int:
        """The number of the block up to which notices of a chain are told."""
        return await self._follower.done(chain)

    async def catch_up(self, most: int | None = None) -> int:
        await self.retry()
        return await self._follower.catch_up(most)

    async def tell(self, notice: Notice, *, by_mail: bool = True) -> bool:
        """Tell a citizen of something that the audit trail does not have; again does nothing.
        Whether they were told now. Without `by_mail` only in the space."""
        if notice.kind not in self._kinds or notice.id in self._known:
            return False
        told = await self._notify(notice, by_mail)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known.add(notice.id)
        return told

    async def retry(self) -> None:
        """Send what could not be sent, when its time has come."""
        if time.monotonic() >= self._resume_at:
            self._resume_at = math.inf
            await self._resume()

    async def _tell(self, blocks: list[Block]) -> None:
        for block in blocks:
            for record in decode_block(block.content):
                for notice in notices_of(record):
                    await self.tell(notice)

    async def _notify(self, notice: Notice, by_mail: bool) -> bool:
        if await self._suppressed(notice):
            return False
        if await self._store.read("Communication", notice.id) is not None:
            if await self._store.get_grant(OUTBOX, notice.id) is None:
                return False  # told before
        else:
            if by_mail:
                value = notice.patient.encode()
                await self._store.put_grant(Grant(OUTBOX, notice.id, value, NEVER))
            resource = communication(notice)
            change = Change(
                "POST",
                "Communication",
                notice.id,
                content(resource, notice.id),
                self._entries(resource),
                ABSENT,
            )
            try:
                await self._store.commit([change])
            except VersionConflict:
                return False  # another process was faster, and sends
            if not by_mail:
                return True
        await self._send(notice.id, notice.patient)
        return True

    async def _suppressed(self, notice: Notice) -> bool:
        """A document or message may have been hidden since, and a space may be gone."""
        patient = await self._store.read("Patient", notice.patient)
        if patient is None or patient.content is None:
            return True
        if notice.kind not in (DOCUMENT, MESSAGE):
            return False
        type, id = notice.about.split("/")[:2]
        document = await self._store.read(type, id)
        if document is None or document.content is None:
            return True
        return bool(hiding_labels(decode_stored(document.content)))

    async def _send(self, id: str, patient: str) -> None:
        """Send and take out of the outbox; what cannot be sent now stays in it."""
        if self._sender is not None:
            address = await self._address(patient)
            if address:
                try:
                    await self._sender.send(address, id)
                except OSError as error:
                    _log.warning("notice not sent", error=type(error).__name__)
                    self._resume_at = time.monotonic() + RETRY_SECONDS
                    return
        await self._store.drop_grants(kind=OUTBOX, key=id)

    async def _resume(self) -> None:
        """What a crash, or a mail server that was away, has left in the outbox."""
        for grant in await self._store.list_grants(OUTBOX):
            if await self._store.read("Communication", grant.key) is not None:
                await self._send(grant.key, grant.value.decode())

    async def _address(self, patient: str) -> str | None:
        version = await self._store.read("Patient", patient)
        if version is None or version.content is None:
            return None
        for point in decode_stored(version.content).get("telecom", []):
            value = point.get("value", "")
            if point.get("system") == "email" and point.get("use") != "old" and is_address(value):
                return str(value)
        return None
