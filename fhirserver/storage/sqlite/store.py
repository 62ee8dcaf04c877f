"""The embedded store: one SQLite file, one writing thread, reads in the event loop.

Reads by key and short searches run in the event loop on a connection of its own, each within a
small budget of time; what exceeds it is done again in a reading thread, under the hard limit.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import apsw

from fhirserver.model.version import Version
from fhirserver.storage.interface import Capabilities
from fhirserver.storage.sqlite import grants, history, log, schema
from fhirserver.storage.sqlite.check import check
from fhirserver.storage.sqlite.connection import Budget, connect
from fhirserver.storage.sqlite.names import Names
from fhirserver.storage.sqlite.searcher import Searcher
from fhirserver.storage.sqlite.writer import BULK, BYTES, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence

    from fhirserver.model.version import Change, HistorySelection, Page
    from fhirserver.search.expression import Query
    from fhirserver.storage.interface import Block, Grant, Head, Selects

T = TypeVar("T")

#: How long one search may hold the event loop before it moves to a thread.
LOOP_SECONDS = 0.002
#: How long any search may take.
LIMIT_SECONDS = 30.0
#: How long it may wait besides for a thread to be free.
QUEUE_SECONDS = 10.0
READERS = 4
FEED = 500
STRETCH = 50_000  # places of the feed looked through at a time for some types

READ = "SELECT id,version,updated,method,content,key,seq FROM resource WHERE type=? AND id=?"
VREAD = (
    "SELECT id,version,updated,method,content,key,seq FROM history"
    " WHERE key=(SELECT key FROM resource WHERE type=? AND id=?) AND version=?"
)


def milliseconds_now() -> int:
    """Now in microseconds since 1970, a whole number of milliseconds."""
    return time.time_ns() // 1_000_000 * 1000


class Reader:
    """A connection for reading with all that hangs on it; used by one thread at a time."""

    def __init__(self, path: str, cache_kib: int, probe_limit: int | None) -> None:
        self.connection = connect(path, cache_kib=cache_kib)
        self.budget = Budget(self.connection)
        self.names = Names(self.connection)
        self.searcher = Searcher(self.connection, self.names, probe_limit)

    def run(self, work: Callable[[Reader], T], seconds: float) -> T:
        """Run `work` on one snapshot; apsw.InterruptError when it takes longer than `seconds`."""
        self.budget.start(seconds)
        try:
            self.connection.execute("BEGIN")
            return work(self)
        finally:
            # Not before: the end of the transaction must not be interrupted.
            self.budget.stop()
            if self.connection.in_transaction:
                self.connection.execute("COMMIT")


def _feed(between: tuple[int, int], types: Collection[str] | None, reader: Reader) -> list[Version]:
    return history.changes(reader.connection, reader.names, between, types, FEED)


class SqliteStore:
    """`Store` (fhirserver/storage/interface.py) on the SQLite file at `path`."""

    capabilities = Capabilities(transactions=True)

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Callable[[], int] = milliseconds_now,
        limit_seconds: float = LIMIT_SECONDS,
        loop_seconds: float = LOOP_SECONDS,
        probe_limit: int | None = None,
    ) -> None:
        self._path = str(path)
        self._clock = clock
        self._limit = limit_seconds
        self._loop_seconds = loop_seconds
        self._probe_limit = probe_limit
        self._readers: list[Reader] = []
        self._local = threading.local()
        self._newest: dict[tuple[str, ...], tuple[int, int]] = {}
        self._open = False

    async def open(self) -> None:
        await asyncio.to_thread(self._prepare)
        self._reader = Reader(self._path, 49_152, self._probe_limit)
        self._execute = self._reader.connection.execute
        self._type = self._reader.names.type
        self._newest.clear()
        self._writer = Writer(self._path, self._clock)
        self._writer.open()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._open = True

    def _prepare(self) -> None:
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        schema.refuse_foreign(self._path)
        # Only the server's own account may read it; what SQLite keeps beside it is made alike.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = connect(self._path, writer=True)
        try:
            schema.upgrade(connection, self._path)
        finally:
            connection.close()

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._pool.shutdown)
        for reader in [*self._readers, self._reader]:
            reader.connection.close()
        self._readers.clear()

    async def check(self) -> list[str]:
        return await self._in_thread(lambda reader: check(reader.connection), 3600.0)

    # --- reading ----------------------------------------------------------------------------

    async def read(self, type: str, id: str) -> Version | None:
        number = self._type(type)
        if number is None:
            return None
        for row in self._execute(READ, (number, id)):
            return Version(type, *row)
        return None

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        current = await self.read(type, id)
        if current is None or version > current.version or version < 1:
            return None
        if current.version == version:
            return current
        row = self._execute(VREAD, (self._type(type), id, version)).fetchone()
        # A version that was current a moment ago is in the history by now, never nowhere.
        return None if row is None else Version(type, *row)

    async def read_many(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        if len(identities) <= 100:
            return self._read_many(self._reader, identities)
        return await self._in_thread(lambda reader: self._read_many(reader, identities))

    def _read_many(self, reader: Reader, identities: Sequence[tuple[str, str]]) -> list[Version]:
        found = []
        for type, id in dict.fromkeys(identities):
            number = reader.names.type(type)
            if number is None:
                continue
            row = reader.connection.execute(READ, (number, id)).fetchone()
            if row is not None and row[4] is not None:
                found.append(Version(type, *row))
        return found

    async def search(self, query: Query) -> Page:
        return await self._run(lambda reader: reader.searcher.search(query))

    async def count(self, query: Query, limit: int | None = None) -> int:
        return await self._run(lambda reader: reader.searcher.count(query, limit))

    async def history(self, selection: HistorySelection) -> Page:
        return await self._run(
            lambda reader: history.history(reader.connection, reader.names, selection)
        )

    async def history_count(self, selection: HistorySelection, limit: int | None = None) -> int:
        return await self._run(
            lambda reader: history.history_count(reader.connection, reader.names, selection, limit)
        )

    async def newest(self, types: Sequence[str]) -> int:
        # The version changes with every commit of another connection, and all commits are.
        version = self._execute("PRAGMA data_version").get
        named = tuple(types)
        known = self._newest.get(named)
        if known is not None and known[0] == version:
            return known[1]
        seq = history.newest(self._reader.connection, named)
        self._newest[named] = (version, seq)
        return seq

    async def settled(self) -> int:
        return history.settled(self._reader.connection)

    async def changes(
        self, after: int = 0, types: Collection[str] | None = None
    ) -> AsyncIterator[Version]:
        end = await self.settled()
        while after < end:
            upto = min(end, after + STRETCH)
            page = await self._in_thread(partial(_feed, (after, upto), types))
            for version in page:
                yield version
            after = upto if len(page) < FEED else page[-1].seq

    async def reindex(
        self, type: str, after: int | str | None, limit: int
    ) -> tuple[list[Version], int | str | None]:
        def work(reader: Reader) -> list[Version]:
            number = reader.names.type(type)
            rows = reader.connection.execute(
                "SELECT id,version,updated,method,content,key,seq FROM resource"
                " INDEXED BY resource_current WHERE type=? AND content IS NOT NULL AND key>?"
                " ORDER BY key LIMIT ?",
                (number, after or 0, limit),
            )
            return [Version(type, *row) for row in rows]

        page = await self._in_thread(work)
        return page, page[-1].key if len(page) == limit and page else None

    async def get_state(self, name: str) -> bytes | None:
        row = self._execute("SELECT value FROM state WHERE name=?", (name,)).fetchone()
        return None if row is None else row[0]

    async def _run(self, work: Callable[[Reader], T]) -> T:
        try:
            return self._reader.run(work, self._loop_seconds)
        except apsw.InterruptError:
            return await self._in_thread(work)

    async def _in_thread(self, work: Callable[[Reader], T], seconds: float | None = None) -> T:
        def run() -> T:
            reader = getattr(self._local, "reader", None)
            if reader is None:
                reader = self._local.reader = Reader(self._path, 4_096, self._probe_limit)
                self._readers.append(reader)
            return reader.run(work, self._limit if seconds is None else seconds)

        try:
            async with asyncio.timeout(
                (self._limit if seconds is None else seconds) + QUEUE_SECONDS
            ):
                return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except apsw.InterruptError:
            raise TimeoutError(f"the search took longer than {self._limit:g} s") from None

    # --- writing ----------------------------------------------------------------------------

    async def commit(
        self,
        changes: Sequence[Change],
        selects: Sequence[Selects] = (),
        log: Sequence[bytes] = (),
    ) -> list[Version]:
        result: list[Version] | Exception
        if log:
            unit = (changes, selects)
            (result,) = await self._writer.submit([partial(self._writer.apply_logged, unit, log)])
        else:
            (result,) = await self.commit_many(((changes, selects),))
        if isinstance(result, Exception):
            raise result
        return result

    async def commit_many(
        self, units: Sequence[tuple[Sequence[Change], Sequence[Selects]]]
    ) -> list[list[Version] | Exception]:
        jobs = []
        works: list[Callable[[], list[Version]]] = []
        size = 0
        for unit in units:
            works.append(partial(self._writer.apply, unit))
            for change in unit[0]:
                if change.content is not None:
                    size += len(change.content.head) + len(change.content.tail)
            if len(works) >= BULK or size >= BYTES:
                jobs.append(self._writer.submit(works, size))
                works, size = [], 0
        if works:
            jobs.append(self._writer.submit(works, size))
        if len(jobs) == 1:
            return await jobs[0]
        return [result for done in await asyncio.gather(*jobs) for result in done]

    async def erase(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        writer = self._writer
        works = [partial(writer.erase, *identity) for identity in dict.fromkeys(identities)]
        done: list[Version] = []
        for result in await writer.submit(works):
            if isinstance(result, Exception):
                raise result
            done += result
        # What was overwritten is still in the log of writes until that is emptied.
        await writer.submit([writer.empty_log])
        return done

    async def replace_entries(
        self,
        items: Sequence[tuple[Version, Sequence[tuple]]],  # type: ignore[type-arg]
    ) -> int:
        works = [partial(self._writer.replace_entries, *item) for item in items]
        replaced = 0
        for result in await self._writer.submit(works):
            if isinstance(result, Exception):
                raise result
            replaced += result
        return replaced

    async def set_state(self, name: str, value: bytes | None) -> None:
        (result,) = await self._writer.submit([partial(self._writer.set_state, name, value)])
        if isinstance(result, Exception):
            raise result

    # --- log --------------------------------------------------------------------------------

    async def append_log(self, records: Sequence[bytes]) -> None:
        (result,) = await self._writer.submit((partial(self._writer.log.append, records),))
        if result is not None:
            raise result

    async def drop_log(self, chain: str, through: int) -> int:
        return await self._write(log.drop, chain, through)

    async def log_heads(self) -> list[Head]:
        return await self._run(lambda reader: log.heads(reader.connection))

    async def read_log(self, chain: str, after: int, limit: int) -> list[Block]:
        return await self._run(lambda reader: log.read(reader.connection, chain, after, limit))

    # --- grants -----------------------------------------------------------------------------

    async def put_grant(self, grant: Grant) -> None:
        await self._write(grants.put, grant)

    async def add_grant(self, grant: Grant) -> bool:
        return await self._write(grants.add, grant, self._clock())

    async def get_grant(self, kind: str, key: str) -> Grant | None:
        return grants.get(self._reader.connection, kind, key, self._clock())

    async def take_grant(self, kind: str, key: str) -> Grant | None:
        return await self._write(grants.take, kind, key, self._clock())

    async def swap_grant(self, held: Grant, new: Grant) -> bool:
        return await self._write(grants.swap, held, new, self._clock())

    async def list_grants(self, kind: str) -> list[Grant]:
        return await self._run(lambda reader: grants.listed(reader.connection, kind, self._clock()))

    async def drop_grants(self, **handles: str) -> int:
        return await self._write(grants.drop, handles)

    async def purge_grants(self) -> int:
        return await self._write(grants.purge, self._clock())

    async def _write(self, work: Callable[..., T], *arguments: object) -> T:
        call = partial(work, self._writer.connection, *arguments)
        result: T | Exception
        (result,) = await self._writer.submit([call])
        if isinstance(result, Exception):
            raise result
        return result
