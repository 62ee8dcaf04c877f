"""The audit trail of one server process, put together: what is recorded, made of it, told of it."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from typing import TYPE_CHECKING, cast

import structlog

from fhirserver.access.announcement import Announcements
from fhirserver.access.audit.materialise import Materialiser
from fhirserver.access.audit.retention import prune, pruned_heads
from fhirserver.access.audit.retention import witness as cut_witness
from fhirserver.access.audit.store import CompleteStore
from fhirserver.access.audit.subject import Subjects
from fhirserver.access.audit.trail import Audit, microseconds_now
from fhirserver.access.audit.verify import store_heads, witness
from fhirserver.access.lease import Lease
from fhirserver.model.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.access.audit.materialise import Entries
    from fhirserver.access.notice.notifier import Notifier
    from fhirserver.conformance.registry import Registry
    from fhirserver.storage.interface import Store

#: How often it is looked whether there is time to make AuditEvents.
INTERVAL = 1.0
#: With more records a second than this, AuditEvents wait for a quieter time, but not longer than
#: so many intervals: then so much of each interval is given to them.
BUSY = 50
PATIENCE = 600
SHARE = 0.25
#: So many blocks are looked through for notices in each busy interval.
NOTICED = 20
#: How often it is looked whether records are old enough to be forgotten.
PRUNE_SECONDS = 3600.0
_DAY = 86_400_000_000
#: How often it is looked what has waited long to be announced.
ANNOUNCE_SECONDS = 3600.0
#: How often the ends of the chains are kept beside the log and told to the operator's log.
HEADS_SECONDS = 60.0

_log = structlog.get_logger("fhirserver")


class AuditService:
    """`store`: the engine's; `self.store`: the same with AuditEvents always complete. `days`: how
    long records are kept; 0: for ever."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        entries: Entries,
        *,
        server: str = "",
        clock: Callable[[], int] = microseconds_now,
        notifier: Notifier | None = None,
        days: int = 0,
        invisible_months: int = 1,
    ) -> None:
        self._raw = store
        self._clock = clock
        self._notifier = notifier
        self._days = days
        process = f"{os.getpid()}/{uuid.uuid4()}"
        self._pruning = Lease(store, "audit-prune", process, clock)
        self._announcing = Lease(store, "announcements", process, clock)
        self._told: dict[str, int] = {}
        subjects = Subjects(registry, (server,) if "://" in server else ())
        self.audit = Audit(store, subjects, clock)
        self._announcements = (
            Announcements(store, subjects, notifier, invisible_months) if notifier else None
        )
        self.materialiser = Materialiser(store, entries, subjects, server)
        self.store = cast("Store", CompleteStore(store, self.materialiser))

    async def start(self) -> None:
        """Begin this process's chain by bearing witness of the ends of all others."""
        heads = await store_heads(self._raw)
        cut = await pruned_heads(self._raw)
        now = self._clock()
        await self.audit.append([witness(now, heads), *([cut_witness(now, cut)] if cut else [])])

    async def run(self) -> None:
        """Follow the log until cancelled; then keep the ends of the chains once more."""
        try:
            await self._follow()
        finally:
            with contextlib.suppress(TimeoutError, ConnectionError):
                await self.keep_heads()

    async def _follow(self) -> None:
        waited, before, kept, unpruned = 0, self.audit.appended, 0.0, PRUNE_SECONDS
        silent = ANNOUNCE_SECONDS
        failing = False
        async for _ in rounds(INTERVAL):
            busy = self.audit.appended - before > BUSY * INTERVAL
            before = self.audit.appended
            waited = waited + 1 if busy else 0
            kept += INTERVAL
            unpruned += INTERVAL
            silent += INTERVAL
            try:
                if not busy:
                    await self._catch_up_while_idle()
                elif waited > PATIENCE:
                    await self._catch_up_for_a_while(SHARE * INTERVAL)
                if self._notifier is not None:
                    await self._notifier.catch_up(NOTICED if busy else None)
                if kept >= HEADS_SECONDS:
                    kept = 0.0
                    await self.keep_heads()
                if unpruned >= PRUNE_SECONDS and not busy:
                    unpruned = 0.0
                    await self.prune()
                if silent >= ANNOUNCE_SECONDS and not busy:
                    silent = 0.0
                    await self.announce()
                failing = False
            except Exception as error:  # the store may be away for a while; requests are told
                if not failing:
                    _log.warning("audit trail not followed", error=type(error).__name__)
                failing = True

    async def _catch_up_while_idle(self) -> None:
        """Block by block, so that requests that come meanwhile hardly wait."""
        begin = self.audit.appended
        while self.audit.appended - begin <= BUSY * INTERVAL:
            if not await self.materialiser.catch_up(1):
                return

    async def _catch_up_for_a_while(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and await self.materialiser.catch_up(1):
            pass

    async def announce(self) -> None:
        """Tell citizens of what has waited for two weeks. One process at a time."""
        if self._announcements is not None and await self._announcing.hold(ANNOUNCE_SECONDS / 2):
            await self._announcements.tell(self._clock())

    async def prune(self) -> int:
        """Forget what the log has held for `days`; how many blocks. One process at a time."""
        if not self._days or not await self._pruning.hold(600):
            return 0
        now = self._clock()
        before = now - self._days * _DAY
        try:
            return await prune(self._raw, before, self._made_of, self.audit.append, now)
        finally:
            await self._pruning.release()

    async def _made_of(self, chain: str) -> int:
        """How far events and notices have been made of a chain."""
        made = await self.materialiser.done(chain)
        return made if self._notifier is None else min(made, await self._notifier.done(chain))

    async def keep_heads(self) -> None:
        """Keep the ends of the chains; in the operator's log they are out of reach of whoever
        can change the database."""
        for head in await store_heads(self._raw):
            if head.chain not in self._told or self._told[head.chain] != head.number:
                self._told[head.chain] = head.number
                _log.info("audit head", head=f"{head.chain}:{head.number}:{head.hash}")
