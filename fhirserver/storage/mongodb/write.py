"""Writing single resources, many at a time.

Each write is one compare-and-set of one document and needs no transaction: the old version is
copied to `history` first (its `_id` is type/id/version, so the copy is made once and never
changes), then the current document is replaced where version and fence are still those that were
read. A crash between the two leaves a copy of the version that is still current, which readers
of the history take for one.

Writes that arrive together share their round trips (group commit); each still succeeds or fails
on its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import Int64
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, ReplaceOne
from pymongo.errors import BulkWriteError

from fhirserver.model.version import ABSENT, Change, Version
from fhirserver.storage.interface import SelectionChanged, Selects
from fhirserver.storage.mongodb.connection import Connection, Document, reaching
from fhirserver.storage.mongodb.dialect import Dialect
from fhirserver.storage.mongodb.document import (
    current_document,
    encoded,
    fetch_chunks,
    identity,
    past_document,
    version_of,
)
from fhirserver.storage.mongodb.heads import (
    changes_nothing,
    check_expectation,
    read_heads,
    unchanged_version,
)
from fhirserver.storage.mongodb.locks import Locks, lock_name
from fhirserver.storage.mongodb.search import Searcher
from fhirserver.storage.mongodb.sequence import Reservation
from fhirserver.storage.mongodb.sequence import Sequence as CommitSequence

#: How many batches may be under way at once.
_BATCHES = 4
#: How often a write whose resource changes under it is tried.
_ATTEMPTS = 200

_DUPLICATE = 11000
_FENCE = {"version": 1, "fence": 1}


class Outrun(Exception):
    """The resource changed between read and write."""


@dataclass(slots=True, eq=False)
class _Write:
    change: Change
    done: asyncio.Future[Version]
    attempts: int = 0
    head: Document | None = None
    document: Document = field(default_factory=dict)
    encoded: RawBSONDocument | None = None
    chunks: list[Document] = field(default_factory=list)

    @property
    def id(self) -> str:
        return identity(self.change.type, self.change.id)

    @property
    def hopes_for_absence(self) -> bool:
        """A new resource is inserted without a look first; if it is there, the server tells."""
        return (
            self.change.expect == ABSENT and self.change.content is not None and not self.attempts
        )

    def resolve(self, version: Version) -> None:
        if not self.done.done():
            self.done.set_result(version)

    def refuse(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Writer:
    """Commits of single changes."""

    def __init__(
        self,
        connection: Connection,
        sequence: CommitSequence,
        locks: Locks,
        searcher: Searcher,
        clock: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._connection = connection
        self._sequence = sequence
        self._locks = locks
        self._searcher = searcher
        self._waiting: list[_Write] = []
        self._batches: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Finish what was taken in."""
        while self._batches:
            await asyncio.gather(*self._batches, return_exceptions=True)

    # --- without preconditions ------------------------------------------------------------------

    async def write(self, change: Change) -> Version:
        """Write one change; it shares its round trips with others that are waiting."""
        write = _Write(change, asyncio.get_running_loop().create_future())
        self._waiting.append(write)
        self._start()
        return await write.done

    def _start(self) -> None:
        most = _BATCHES if self._connection.dialect.atomic_updates else 1
        if self._waiting and len(self._batches) < most:
            task = asyncio.get_running_loop().create_task(self._run())
            self._batches.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._start()

    async def _run(self) -> None:
        await asyncio.sleep(0)  # let everyone who is ready now come along
        batch: dict[str, _Write] = {}
        later: list[_Write] = []
        for write in self._waiting:
            # One write of a resource at a time; the next reads what this one wrote.
            if write.id in batch or len(batch) >= self._connection.dialect.batch:
                later.append(write)
            else:
                batch[write.id] = write
        self._waiting = later
        writes = list(batch.values())
        try:
            with reaching():
                async with self._locks.writes():
                    sought = [write.id for write in writes if not write.hopes_for_absence]
                    heads = await read_heads(self._connection, sought) if sought else {}
                    for write in writes:
                        write.head = heads.get(write.id)
                    outrun = await self._attempt(writes)
        except Exception as error:
            for write in writes:
                write.refuse(error)
            return
        for write in outrun:
            write.attempts += 1
            if write.attempts < _ATTEMPTS:
                self._waiting.append(write)
            else:
                write.refuse(TimeoutError(f"{write.id} changes too fast to be written"))

    # --- with preconditions ---------------------------------------------------------------------

    async def write_where(self, change: Change, selects: Sequence[Selects]) -> Version:
        """Write one change if every precondition holds at that moment (see `locks.py`)."""
        target = identity(change.type, change.id)
        names = {lock_name(precondition.query) for precondition in selects}
        for _ in range(_ATTEMPTS):
            # The head is read before the locks are taken: what fences this writer off later
            # changes it.
            heads = await read_heads(self._connection, [target])
            async with self._locks.selections(names, [target]):
                await self._require(selects)
                write = _Write(change, asyncio.get_running_loop().create_future())
                write.head = heads.get(target)
                async with self._locks.writes():
                    outrun = await self._attempt([write])
                if not outrun:
                    return await write.done
        raise TimeoutError(f"{target} changes too fast to be written")

    async def _require(self, selects: Sequence[Selects]) -> None:
        for precondition in selects:
            if not await self._searcher.holds(precondition):
                raise SelectionChanged(precondition)

    async def require(self, selects: Sequence[Selects]) -> None:
        """A commit of nothing: only its preconditions are looked at."""
        await self._require(selects)

    # --- the write itself -----------------------------------------------------------------------

    async def _attempt(self, writes: list[_Write]) -> list[_Write]:
        """Write all on the heads they carry; return those whose head is outrun."""
        pending: list[_Write] = []
        for write in writes:
            try:
                check_expectation(write.change, write.head)
            except Exception as error:
                write.refuse(error)
                continue
            if changes_nothing(write.change, write.head):
                write.resolve(await unchanged_version(self._connection, write.change, write.head))
            else:
                pending.append(write)
        if not pending:
            return []
        reservation = await self._sequence.reserve(len(pending), self._clock())
        try:
            pending = self._prepare(pending, reservation)
            await self._copy_old(pending)
            outrun = await self._compare_and_set(pending)
        finally:
            kept = await self._sequence.release(reservation)
        written = [write for write in pending if write not in outrun]
        if not kept:
            await self._renumber(written)
        for write in written:
            await fetch_chunks(self._connection, [write.document])
            write.resolve(version_of(write.document))
        return outrun

    def _prepare(self, writes: list[_Write], reservation: Reservation) -> list[_Write]:
        prepared: list[_Write] = []
        for seq, write in enumerate(writes, reservation.first):
            updated = reservation.updated
            if write.head is not None and write.head["version"]:
                updated = max(updated, int(write.head["updated"]))
            version = write.head["version"] + 1 if write.head else 1
            try:
                write.document, write.chunks = current_document(
                    write.change,
                    version=version,
                    updated=updated,
                    seq=seq,
                    head=write.head,
                    dialect=self._connection.dialect,
                )
                write.encoded = encoded(write.document)
            except Exception as error:
                write.refuse(error)
            else:
                prepared.append(write)
        return prepared

    async def _copy_old(self, writes: list[_Write]) -> None:
        past = [past_document(w.head) for w in writes if w.head is not None and w.head["version"]]
        chunks = [chunk for write in writes for chunk in write.chunks]
        if chunks:
            await insert_missing(self._connection.chunks, chunks)
        if past:
            await insert_missing(self._connection.history, past)

    async def _compare_and_set(self, writes: list[_Write]) -> list[_Write]:
        """Replace each current document if it is still the one read; return the others."""
        if not writes:
            return []
        outrun: list[_Write] = []
        if not self._connection.dialect.atomic_updates:
            outrun = await self._look_again(writes)
            writes = [write for write in writes if write not in outrun]
        operations: list[Any] = []
        replaces = 0
        for write in writes:
            if write.head is None:
                operations.append(InsertOne(write.encoded))
            else:
                replaces += 1
                condition = unchanged(write.head, self._connection.dialect)
                operations.append(ReplaceOne(condition, write.encoded))
        if not operations:
            return outrun
        failed: set[int] = set()
        try:
            result = await self._connection.current.bulk_write(operations, ordered=False)
            matched = result.matched_count
        except BulkWriteError as error:
            details = error.details or {}
            if error.timeout or details.get("writeConcernErrors"):
                raise
            for problem in details["writeErrors"]:
                if problem["code"] != _DUPLICATE:
                    raise
                failed.add(problem["index"])
            matched = details["nMatched"]
        outrun += [write for number, write in enumerate(writes) if number in failed]
        if matched < replaces:
            # The server tells how many were replaced, not which.
            outrun += [w for w in writes if w.head is not None and not await self._is_written(w)]
        return outrun

    async def _look_again(self, writes: list[_Write]) -> list[_Write]:
        """The writes whose head is no longer the current one. Only where a lease keeps every other
        writer away: comparing and setting need not be one step there (and FerretDB 1.x finds a
        document quickly by its `_id` alone)."""
        known = [write for write in writes if write.head is not None]
        heads = await read_heads(self._connection, [write.id for write in known], _FENCE)
        return [
            write
            for write in known
            if write.head is not None
            and any(heads[write.id][name] != write.head[name] for name in _FENCE)
        ]

    async def _is_written(self, write: _Write) -> bool:
        """Whether the version exists, current or already past, that this write would make."""
        seq = write.document["seq"]
        now = await self._connection.current.find_one({"_id": write.id}, {"seq": 1})
        if now is not None and now.get("seq") == seq:
            return True
        name = f"{write.id}/{write.document['version']}"
        past = await self._connection.history.find_one({"_id": name}, {"seq": 1})
        return past is not None and past["seq"] == seq

    async def _renumber(self, writes: list[_Write]) -> None:
        """Give versions new numbers that followers have not passed (`sequence.py`)."""
        while writes:
            reservation = await self._sequence.reserve(len(writes), self._clock())
            for seq, write in enumerate(writes, reservation.first):
                old = write.document["seq"]
                change = {"$set": {"seq": Int64(seq)}}
                result = await self._connection.current.update_one(
                    {"_id": write.id, "seq": old}, change
                )
                if not result.matched_count:
                    name = f"{write.id}/{write.document['version']}"
                    await self._connection.history.update_one({"_id": name}, change)
                write.document["seq"] = Int64(seq)
            if await self._sequence.release(reservation):
                return


def unchanged(head: Document, dialect: Dialect) -> Document:
    """Selects the current document if it is still the one read."""
    if not dialect.atomic_updates:
        return {"_id": head["_id"]}
    return {"_id": head["_id"], "version": head["version"], "fence": head["fence"]}


async def insert_missing(collection: Any, documents: Sequence[Document]) -> None:
    """Insert the documents that are not there; one that is there is the same."""
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        if error.timeout or details.get("writeConcernErrors"):
            raise
        if any(problem["code"] != _DUPLICATE for problem in details["writeErrors"]):
            raise
