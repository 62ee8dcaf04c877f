"""Several changes at once: a multi-document transaction
(https://www.mongodb.com/docs/manual/core/transactions/).

Reads see one snapshot, so preconditions hold at the moment of commit if the locks of their
queries are this transaction's: the lock documents (`locks.py`) are inserted within it, which
conflicts with everyone else who holds or inserts them, and deleted after it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace
from pymongo import InsertOne, ReplaceOne, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from fhirserver.model.version import Change, Version
from fhirserver.storage.interface import SelectionChanged, Selects
from fhirserver.storage.mongodb.connection import Connection, Document
from fhirserver.storage.mongodb.dialect import MONGODB
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
    head_of,
    read_heads,
    unchanged_version,
)
from fhirserver.storage.mongodb.locks import TERM, Locks, lock_name
from fhirserver.storage.mongodb.search import Searcher
from fhirserver.storage.mongodb.sequence import Reservation
from fhirserver.storage.mongodb.sequence import Sequence as CommitSequence
from fhirserver.storage.mongodb.write import insert_missing, unchanged

#: How many transactions one store runs at once: they hold the server's cache.
AT_ONCE = 4
#: How long a transaction is tried, in seconds, and how long its commit may take, in ms.
PATIENCE = 30.0
_COMMIT_TIME = 10_000

_TRANSIENT = "TransientTransactionError"
_UNKNOWN = "UnknownTransactionCommitResult"
_DUPLICATE = 11000


class _Again(Exception):
    """Someone else was faster; start anew."""


class _LockHeld(_Again):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Transactions:
    """Commits of several changes, all or nothing."""

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
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def commit(self, changes: Sequence[Change], selects: Sequence[Selects]) -> list[Version]:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        pause = 0.005
        async with self._slots:
            while True:
                try:
                    return await self._once(changes, selects)
                except _LockHeld as held:
                    await self._take_over_if_expired(held.name)
                except _Again:
                    pass
                except PyMongoError as error:
                    if not error.has_error_label(_TRANSIENT):
                        raise
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutError("the transaction met others until its time was over")
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, 0.25)

    async def _once(self, changes: Sequence[Change], selects: Sequence[Selects]) -> list[Version]:
        # Numbers are taken outside of the transaction: within it, the one counter document would
        # let only one transaction go on at a time.
        reservation = await self._sequence.reserve(len(changes), self._clock())
        token = secrets.token_hex(12)
        names = sorted({lock_name(precondition.query) for precondition in selects})
        try:
            async with self._connection.client.start_session() as session:
                await session.start_transaction(
                    read_concern=ReadConcern("snapshot"),
                    write_concern=WriteConcern("majority", j=True),
                    max_commit_time_ms=_COMMIT_TIME,
                )
                try:
                    await self._lock(names, token, changes, session)
                    versions = await self._write(changes, selects, reservation, session)
                except BaseException:
                    await session.abort_transaction()
                    raise
                await self._commit(session)
        finally:
            kept = await self._sequence.release(reservation)
            for name in names:
                await self._connection.locks.delete_one({"_id": name, "token": token})
        if not kept:
            versions = await self._renumber(versions)
        return versions

    async def _commit(self, session: Any) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                await session.commit_transaction()
                return
            except PyMongoError as error:
                late = asyncio.get_running_loop().time() > deadline
                if late or not error.has_error_label(_UNKNOWN):
                    raise

    async def _lock(
        self, names: Sequence[str], token: str, changes: Sequence[Change], session: Any
    ) -> None:
        targets = [identity(change.type, change.id) for change in changes]
        for name in names:
            lock = {
                "_id": name,
                "token": token,
                "targets": targets,
                "until": datetime.now(UTC) + TERM,
            }
            try:
                await self._connection.locks.insert_one(lock, session=session)
            except DuplicateKeyError as error:
                raise _LockHeld(name) from error

    async def _take_over_if_expired(self, name: str) -> None:
        held = await self._connection.locks.find_one({"_id": name})
        if held is not None and held["until"] < datetime.now(UTC):
            await self._locks.take_over(held)

    async def _write(
        self,
        changes: Sequence[Change],
        selects: Sequence[Selects],
        reservation: Reservation,
        session: Any,
    ) -> list[Version]:
        ids = [identity(change.type, change.id) for change in changes]
        heads = await read_heads(self._connection, ids, session=session)
        for precondition in selects:
            if not await self._searcher.holds(precondition, session):
                raise SelectionChanged(precondition)
        made: list[Document | Version] = []
        operations: list[Any] = []
        replaces = 0
        past: list[Document] = []
        chunks: list[Document] = []
        for seq, change in enumerate(changes, reservation.first):
            head = head_of(heads, change)
            check_expectation(change, head)
            if changes_nothing(change, head):
                made.append(await unchanged_version(self._connection, change, head))
                continue
            updated = reservation.updated
            if head is not None and head["version"]:
                updated = max(updated, int(head["updated"]))
                past.append(past_document(head))
            document, parts = current_document(
                change,
                version=head["version"] + 1 if head else 1,
                updated=updated,
                seq=seq,
                head=head,
                dialect=self._connection.dialect,
            )
            chunks += parts
            made.append(document)
            if head is None:
                operations.append(InsertOne(encoded(document)))
            else:
                replaces += 1
                operations.append(ReplaceOne(unchanged(head, MONGODB), encoded(document)))
        # Copies of old versions and chunks are right whether or not this commits, and a copy may
        # be there already, which within a transaction would end it: so they are made outside.
        if chunks:
            await insert_missing(self._connection.chunks, chunks)
        if past:
            await insert_missing(self._connection.history, past)
        if operations:
            try:
                result = await self._connection.current.bulk_write(
                    operations, ordered=True, session=session
                )
            except BulkWriteError as error:
                problems = (error.details or {}).get("writeErrors", ())
                if problems and all(problem["code"] == _DUPLICATE for problem in problems):
                    raise _Again from error
                raise
            if result.matched_count < replaces:
                raise _Again
        versions: list[Version] = []
        for item in made:
            if isinstance(item, Version):
                versions.append(item)
            else:
                await fetch_chunks(self._connection, [item])
                versions.append(version_of(item))
        return versions

    async def _renumber(self, versions: list[Version]) -> list[Version]:
        """Give the versions new numbers that followers have not passed (`sequence.py`)."""
        while True:
            reservation = await self._sequence.reserve(len(versions), self._clock())
            renumbered: list[Version] = []
            for seq, version in enumerate(versions, reservation.first):
                change = {"$set": {"seq": seq}}
                name = identity(version.type, version.id)
                result = await self._connection.current.update_one(
                    {"_id": name, "seq": version.seq}, change
                )
                if not result.matched_count:
                    await self._connection.history.update_one(
                        {"_id": f"{name}/{version.version}", "seq": version.seq}, change
                    )
                renumbered.append(replace(version, seq=seq))
            versions = renumbered
            if await self._sequence.release(reservation):
                return versions
