"""The MongoDB storage engine: `Store` of `storage/interface.py` on PyMongo's asynchronous API.

docs/decisions/0003-mongodb-shape.md tells what the database holds and why.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

from bson import Binary
from pymongo import UpdateOne

from fhirserver.model.version import Change, HistorySelection, Page, Version
from fhirserver.search.expression import Query
from fhirserver.storage.interface import (
    Block,
    Capabilities,
    Grant,
    Head,
    Selects,
    TransactionsUnavailable,
)
from fhirserver.storage.mongodb.check import problems
from fhirserver.storage.mongodb.commit_many import commit_many
from fhirserver.storage.mongodb.connection import Connection, put_document, reaching
from fhirserver.storage.mongodb.document import (
    ONLY_VERSION,
    fetch_chunks,
    identity,
    version_of,
)
from fhirserver.storage.mongodb.entry_document import index_of, sort_of
from fhirserver.storage.mongodb.grants import Grants
from fhirserver.storage.mongodb.heads import read_heads
from fhirserver.storage.mongodb.history import History
from fhirserver.storage.mongodb.indexes import create_indexes
from fhirserver.storage.mongodb.locks import Locks
from fhirserver.storage.mongodb.log import Log
from fhirserver.storage.mongodb.search import Searcher
from fhirserver.storage.mongodb.sequence import Sequence as CommitSequence
from fhirserver.storage.mongodb.transaction import Transactions
from fhirserver.storage.mongodb.write import Writer


def _now() -> int:
    return time.time_ns() // 1000


class MongoStore:
    """A store in the database that `url` names (by default `fhirserver`).

    `clock` tells the microseconds since 1970 UTC."""

    def __init__(self, url: str, clock: Callable[[], int] | None = None) -> None:
        self._clock = clock or _now
        self.capabilities = Capabilities(False, "the store is not open")
        self._connection = Connection(url)
        #: Types -> the number of commits, and the newest one of these types by then.
        self._newest: dict[tuple[str, ...], tuple[int, int]] = {}

    # --- life -----------------------------------------------------------------------------------

    async def open(self) -> None:
        connection = self._connection
        # The client and everything bound to an event loop is made here and not before, so that a
        # store can be made in one process and opened in its children.
        await connection.connect()
        try:
            with reaching():
                await self._prepare()
                reason = await connection.transactions_missing()
        except BaseException:
            await connection.close()
            raise
        self.capabilities = Capabilities(not reason, reason)

    async def _prepare(self) -> None:
        connection = self._connection
        await create_indexes(connection)
        self._locks = Locks(connection)
        self._sequence = CommitSequence(connection)
        self._searcher = Searcher(connection, self._sequence)
        parts = (connection, self._sequence, self._locks, self._searcher, self._clock)
        self._writer = Writer(*parts)
        self._transactions = Transactions(*parts)
        self._history = History(connection, self._sequence)
        self._grants = Grants(connection, self._locks, self._clock)
        self._log = Log(connection)
        await self._sequence.open()
        await self._locks.sweep()

    async def close(self) -> None:
        if hasattr(self, "_writer"):
            await self._writer.close()
            await self._log.close()
        await self._connection.close()

    async def check(self) -> list[str]:
        with reaching():
            return await problems(self._connection, self._sequence)

    # --- reading --------------------------------------------------------------------------------

    async def read(self, type: str, id: str) -> Version | None:
        with reaching():
            document = await self._connection.current.find_one(
                {"_id": identity(type, id)}, ONLY_VERSION
            )
            if document is None or not document["version"]:
                return None
            if "chunks" in document:
                await fetch_chunks(self._connection, [document])
        return version_of(document)

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        if version < 1 or version >= 1 << 31:
            return None
        with reaching():
            # The current one first: a version is copied to `history` before it is replaced.
            name = identity(type, id)
            document = await self._connection.current.find_one({"_id": name}, ONLY_VERSION)
            if document is not None and document["version"] != version:
                document = await self._connection.history.find_one({"_id": f"{name}/{version}"})
            if document is None:
                return None
            await fetch_chunks(self._connection, [document])
        return version_of(document)

    async def read_many(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        names = list({identity(type, id) for type, id in identities})
        if not names:
            return []
        with reaching():
            heads = await read_heads(self._connection, names)
            living = [head for head in heads.values() if not head["deleted"]]
            await fetch_chunks(self._connection, living)
        return [version_of(head) for head in living]

    async def search(self, query: Query) -> Page:
        with reaching():
            return await self._searcher.search(query)

    async def count(self, query: Query, limit: int | None = None) -> int:
        with reaching():
            return await self._searcher.count(query, limit)

    async def history(self, selection: HistorySelection) -> Page:
        with reaching():
            return await self._history.history(selection)

    async def history_count(self, selection: HistorySelection, limit: int | None = None) -> int:
        with reaching():
            return await self._history.history_count(selection, limit)

    async def newest(self, types: Sequence[str]) -> int:
        named = tuple(types)
        with reaching():
            last = await self._sequence.quiet()
            known = self._newest.get(named)
            if last is not None and known is not None and known[0] == last:
                return known[1]
            seq = await self._history.newest(named)
        if last is not None:
            self._newest[named] = (last, seq)
        return seq

    async def settled(self) -> int:
        with reaching():
            return await self._sequence.settled()

    async def changes(
        self, after: int = 0, types: Collection[str] | None = None
    ) -> AsyncIterator[Version]:
        with reaching():
            async for version in self._history.changes(after, types):
                yield version

    # --- writing --------------------------------------------------------------------------------

    async def commit(
        self,
        changes: Sequence[Change],
        selects: Sequence[Selects] = (),
        log: Sequence[bytes] = (),
    ) -> list[Version]:
        if len({(change.type, change.id) for change in changes}) < len(changes):
            raise ValueError("a commit may name a resource once")
        if len(changes) > 1 and not self.capabilities.transactions:
            raise TransactionsUnavailable(self.capabilities.reason)
        if log:
            await self._log.append(log)
        with reaching():
            if not changes:
                await self._writer.require(selects)
                return []
            if len(changes) == 1:
                if selects:
                    return [await self._writer.write_where(changes[0], selects)]
                return [await self._writer.write(changes[0])]
            return await self._transactions.commit(changes, selects)

    async def commit_many(
        self, units: Sequence[tuple[Sequence[Change], Sequence[Selects]]]
    ) -> list[list[Version] | Exception]:
        return await commit_many(self.commit, units)

    async def erase(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        done: list[Version] = []
        connection = self._connection
        with reaching():
            for type, id in dict.fromkeys(identities):
                name = identity(type, id)
                head = (await read_heads(connection, [name])).get(name)
                if head is None or not head["version"]:
                    continue
                # The deletion copies what it replaces to `history`, from where all of it goes.
                done.append(await self._writer.write(Change("DELETE", type, id, None)))
                await connection.history.delete_many({"type": type, "id": id})
                await connection.chunks.delete_many({"_id": {"$gt": f"{name}/", "$lt": f"{name}0"}})
        return done

    # --- reindexing -----------------------------------------------------------------------------

    async def reindex(
        self, type: str, after: int | str | None, limit: int
    ) -> tuple[list[Version], int | str | None]:
        condition: dict[str, object] = {"type": type, "deleted": False}
        if after is not None:
            condition["key"] = {"$gt": int(after)}
        with reaching():
            documents = await self._connection.current.find(
                condition, ONLY_VERSION, sort=[("key", 1)], limit=limit
            ).to_list()
            await fetch_chunks(self._connection, documents)
        versions = [version_of(document) for document in documents]
        return versions, versions[-1].key if len(versions) == limit else None

    async def replace_entries(self, items: Sequence[tuple[Version, Sequence[Any]]]) -> int:
        if not items:
            return 0
        updates = [
            UpdateOne(
                {
                    "_id": identity(version.type, version.id),
                    "version": version.version,
                    "deleted": False,
                },
                {"$set": {"index": index_of(entries), "sort": sort_of(entries)}},
            )
            for version, entries in items
        ]
        with reaching():
            async with self._locks.writes():
                replaced = 0
                size = self._connection.dialect.batch
                for start in range(0, len(updates), size):
                    result = await self._connection.current.bulk_write(
                        updates[start : start + size], ordered=False
                    )
                    replaced += result.matched_count
        return replaced

    # --- state ----------------------------------------------------------------------------------

    async def get_state(self, name: str) -> bytes | None:
        with reaching():
            document = await self._connection.state.find_one({"_id": f"state/{name}"})
        return None if document is None else bytes(document["value"])

    async def set_state(self, name: str, value: bytes | None) -> None:
        with reaching():
            if value is None:
                await self._connection.state.delete_one({"_id": f"state/{name}"})
            else:
                await put_document(
                    self._connection.state, f"state/{name}", {"value": Binary(value)}
                )

    # --- log ------------------------------------------------------------------------------------

    async def append_log(self, records: Sequence[bytes]) -> None:
        await self._log.append(records)

    async def drop_log(self, chain: str, through: int) -> int:
        with reaching():
            return await self._log.drop(chain, through)

    async def log_heads(self) -> list[Head]:
        with reaching():
            return await self._log.heads()

    async def read_log(self, chain: str, after: int, limit: int) -> list[Block]:
        with reaching():
            return await self._log.read(chain, after, limit)

    # --- grants ---------------------------------------------------------------------------------

    async def put_grant(self, grant: Grant) -> None:
        with reaching():
            await self._grants.put(grant)

    async def add_grant(self, grant: Grant) -> bool:
        with reaching():
            return await self._grants.add(grant)

    async def get_grant(self, kind: str, key: str) -> Grant | None:
        with reaching():
            return await self._grants.get(kind, key)

    async def take_grant(self, kind: str, key: str) -> Grant | None:
        with reaching():
            return await self._grants.take(kind, key)

    async def swap_grant(self, held: Grant, new: Grant) -> bool:
        with reaching():
            return await self._grants.swap(held, new)

    async def list_grants(self, kind: str) -> list[Grant]:
        with reaching():
            return await self._grants.listed(kind)

    async def drop_grants(self, **handles: str) -> int:
        with reaching():
            return await self._grants.drop(handles)

    async def purge_grants(self) -> int:
        with reaching():
            return await self._grants.purge()
