"""Makes AuditEvent resources of the records in the log.

The id of an AuditEvent is that of its record (chain, block, place), so making it again, after a
crash or in two processes at once, changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.access.audit.carried import subjects_of
from fhirserver.access.audit.concern import concerns
from fhirserver.access.audit.event import audit_event
from fhirserver.access.audit.follow import Follower
from fhirserver.access.audit.record import decode_block
from fhirserver.model.content import content
from fhirserver.model.version import ABSENT, Change
from fhirserver.storage.interface import VersionConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fhirserver.access.audit.record import Record
    from fhirserver.access.audit.subject import Subjects
    from fhirserver.search.entries import Entry
    from fhirserver.storage.interface import Block, Store

    Entries = Callable[[dict[str, Any]], Sequence[Entry]]

KIND = "audit-done"
_LOOKED_AT = 100  # blocks
_STEP = 20  # blocks between looks at the clock
_READERS = 1000  # of whom it is remembered how far the log was looked through for them
_AT_A_TIME = 50  # events made before other requests get their turn


def event_id(block: Block, place: int) -> str:
    return f"{block.chain}-{block.number}-{place}"


def _writes_binaries(record: Record) -> bool:
    """Their documents, which tell whose they are, may be of the same commit."""
    return bool(record.entities) and all(
        entity.startswith("Binary/") and entity.count("/") == 1 for entity in record.entities
    )


class Materialiser:
    """`server`: what the events call this server."""

    def __init__(self, store: Store, entries: Entries, subjects: Subjects, server: str) -> None:
        self._store = store
        self._entries = entries
        self._subjects = subjects
        self._server = server or "fhirserver"
        self._follower = Follower(store, KIND, self._make)
        self._seen: dict[frozenset[str], dict[str, int]] = {}

    async def catch_up(self, most: int | None = None) -> int:
        """Make the events of what was recorded until now (of at most about `most` blocks)."""
        return await self._follower.catch_up(most)

    async def catch_up_within(self, seconds: float) -> bool:
        """Make the events of what was recorded until now, as long as that; whether all are made.
        A little is always done, so that whoever asks again gets there."""
        end = time.monotonic() + seconds
        heads = await self._store.log_heads()
        while True:
            heads = [head for head in heads if await self.done(head.chain) < head.number]
            if not heads:
                return True
            await self.catch_up(_STEP)
            if time.monotonic() >= end:
                return all([await self.done(head.chain) >= head.number for head in heads])

    async def done(self, chain: str) -> int:
        """The number of the block up to which the events of a chain are made."""
        return await self._follower.done(chain)

    async def catch_up_for(self, names: frozenset[str]) -> None:
        """Make the events of what was recorded until now that can name one of `names`; those of
        others may wait. What was looked at for the same names is not looked at again."""
        seen = self._seen.pop(names, {})
        for head in await self._store.log_heads():
            after = seen.get(head.chain, 0)
            if after < head.number:
                after = max(after, await self.done(head.chain))
            while after < head.number:
                blocks = await self._store.read_log(head.chain, after, _LOOKED_AT)
                if not blocks:  # a broken chain: `fhirserver audit verify` tells
                    break
                await self._make(blocks, names)
                after = blocks[-1].number
            seen[head.chain] = after
        self._seen[names] = seen
        if len(self._seen) > _READERS:
            del self._seen[next(iter(self._seen))]

    async def catch_up_with(self, id: str) -> None:
        """Make the event of this id, if there is a record of it."""
        chain, _, rest = id.partition("-")
        number = rest.partition("-")[0]
        if number.isascii() and number.isdecimal() and len(number) < 19:
            await self._make(await self._store.read_log(chain, int(number) - 1, 1))

    async def _make(self, blocks: list[Block], names: frozenset[str] | None = None) -> None:
        units: list[tuple[list[Change], tuple[()]]] = []
        for block in blocks:
            for place, record in enumerate(decode_block(block.content)):
                if record.interaction and (names is None or concerns(record, names)):
                    id = event_id(block, place)
                    units += (([change], ()) for change in await self._changes(id, record))
                if len(units) >= _AT_A_TIME:
                    await self._commit(units)
                    units = []
        await self._commit(units)

    async def _commit(self, units: list[tuple[list[Change], tuple[()]]]) -> None:
        if not units:
            return
        for result in await self._store.commit_many(units):
            if isinstance(result, Exception) and not isinstance(result, VersionConflict):
                raise result
        await asyncio.sleep(0)

    async def _changes(self, id: str, record: Record) -> list[Change]:
        if not record.patient and not record.role:  # nobody reads it as their own
            told = await self._attributed(record) or [record]
            return [self._event(id, place, one) for place, one in enumerate(told)]
        if not record.patient and record.status < 400 and _writes_binaries(record):
            each = [msgspec.structs.replace(record, entities=(e,)) for e in record.entities]
            told = [one for single in each for one in await self._attributed(single) or [single]]
            return [self._event(id, place, one) for place, one in enumerate(told)]
        made = [self._event(id, 0, record)]
        if not record.patient and record.status >= 400:
            # What its patient sees is another event than what who tried sees: that would tell
            # them that there is such a resource, and whose it is.
            told = await self._attributed(record)
            made += [self._event(id, n, one, attributed=True) for n, one in enumerate(told, 1)]
        return made

    def _event(self, id: str, place: int, record: Record, *, attributed: bool = False) -> Change:
        id = f"{id}-{place}" if place else id
        event = audit_event(record, self._server, attributed=attributed)
        return Change("POST", "AuditEvent", id, content(event, id), self._entries(event), ABSENT)

    async def _attributed(self, record: Record) -> list[Record]:
        """A refused request for a resource, recorded for its patients: the citizen sees who tried.
        It costs a look at the resource, so it is done here and not before the refusal."""
        if len(record.entities) != 1:
            return []
        type, _, id = record.entities[0].partition("/")
        version = await self._store.read(type, id)
        if version is not None and version.deleted and version.version > 1:
            version = await self._store.vread(type, id, version.version - 1)
        if version is None:
            return []
        patients, labels = await subjects_of(self._store, self._subjects, version)
        return [
            msgspec.structs.replace(record, patient=patient, labels=labels) for patient in patients
        ]
