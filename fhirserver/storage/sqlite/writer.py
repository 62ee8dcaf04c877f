"""The one writing thread: group commit of many units in one transaction.

A unit is judged (versions expected, selections) before it writes anything, so a refused unit
leaves nothing behind and needs no savepoint. Whatever else goes wrong rolls the whole transaction
back, and its units are done again in two halves, down to the one at fault.

Rows are collected and written some hundred at a time: each statement gives up the interpreter's
lock and has to wait for it again, up to 5 ms where the event loop is busy.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw

from fhirserver.model.version import ABSENT, ANY, Change, Version
from fhirserver.storage.interface import SelectionChanged, Selects, VersionConflict
from fhirserver.storage.sqlite.connection import Budget, connect
from fhirserver.storage.sqlite.insert import Insert
from fhirserver.storage.sqlite.log import Log
from fhirserver.storage.sqlite.names import Names
from fhirserver.storage.sqlite.rows import Rows, add_rows
from fhirserver.storage.sqlite.searcher import Searcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


#: One transaction takes units of different callers until it has so many, or about so many bytes
#: of content; one call's units up to BULK: in a large database the more rows a transaction
#: writes, the fewer pages it writes for each.
UNITS = 500
BULK = 4_000
BYTES = 16_000_000
#: How long the selections of one unit may take.
SELECTION_SECONDS = 10.0
#: Pages in the WAL from which it is checkpointed beside the writing, and from which the writer
#: itself waits for a complete checkpoint, so that the WAL stays bounded.
CHECKPOINT_PAGES = 4_000
RESTART_PAGES = 40_000

Unit = tuple["Sequence[Change]", "Sequence[Selects]"]


class RepeatedResource(ValueError):
    """One commit names a resource twice."""


#: What a unit may raise before it has written anything.
REFUSALS = (VersionConflict, SelectionChanged, RepeatedResource, TimeoutError)

CURRENT = (
    "SELECT key,version,updated,seq,method,content IS NULL FROM resource WHERE type=? AND id=?"
)
CREATE = Insert("resource", ("key", "type", "id", "version", "updated", "seq", "method", "content"))
ARCHIVE = (
    "INSERT INTO history(seq,key,type,id,version,updated,until,method,content)"
    " SELECT seq,key,type,id,version,updated,?,method,content FROM resource WHERE key=?"
)
UPDATE = "UPDATE resource SET version=?,updated=?,seq=?,method=?,content=? WHERE key=?"


class Job(NamedTuple):
    """Work for the writing thread; the future gets the results of all `works`."""

    works: Sequence[Callable[[], Any]]
    future: asyncio.Future[list[Any]]
    size: int


def instant(updated: int) -> str:
    """Microseconds since 1970 as FHIR instant with milliseconds."""
    seconds, rest = divmod(updated, 1_000_000)
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{rest // 1000:03d}Z"


class Writer:
    """Owns the writing connection and its thread."""

    def __init__(self, path: str, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._rows = Rows()
        self.log = Log()
        self._staged: set[int] = set()
        self._created: dict[tuple[int, str], tuple[Any, ...]] = {}
        self._careful = False
        self._now = self._seq = self._key = 0
        self._instant = (0, "")
        self._wal_pages = 0
        self._closed = False
        self._checkpoint_wanted = threading.Event()

    def open(self) -> None:
        self.connection = connect(self._path, writer=True, cache_kib=32_768)
        self.connection.set_wal_hook(self._wal_grew)
        self._budget = Budget(self.connection)
        self.names = Names(self.connection)
        self._searcher = Searcher(self.connection, self.names)
        self._threads = [
            threading.Thread(target=self._run, name="sqlite-writer", daemon=True),
            threading.Thread(target=self._checkpoint, name="sqlite-checkpoint", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Finish what was handed over, then end the threads."""
        self._closed = True
        self._queue.put(None)
        self._threads[0].join()
        self._checkpoint_wanted.set()
        self._threads[1].join()
        self.connection.close()

    async def submit(self, works: Sequence[Callable[[], Any]], size: int = 0) -> list[Any]:
        """Run `works`, each all or nothing; the result of one is its value or its exception."""
        if self._closed:
            raise ConnectionError("the store is closed")
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._queue.put(Job(works, future, size))
        return await future

    # --- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        job = self._queue.get()
        while job is not None:
            jobs = [job]
            units, size = len(job.works), job.size
            job = None
            while units < UNITS and size < BYTES:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._queue.put(None)
                    break
                jobs.append(following)
                units += len(following.works)
                size += following.size
            self._deliver(jobs, self._transact([work for each in jobs for work in each.works]))
            del jobs
            job = self._queue.get()

    def _deliver(self, jobs: list[Job], results: list[Any]) -> None:
        done: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[list[Any]], list[Any]]]]
        done = {}
        at = 0
        for job in jobs:
            part = results[at : at + len(job.works)]
            at += len(job.works)
            done.setdefault(job.future.get_loop(), []).append((job.future, part))
        for loop, pairs in done.items():
            try:
                loop.call_soon_threadsafe(_resolve, pairs)
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue

    def _transact(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        try:
            return self._transaction(works)
        except apsw.BusyError as error:
            busy = TimeoutError("another process holds the database's write lock")
            busy.__cause__ = error
            return [busy] * len(works)
        except Exception as error:
            if len(works) == 1 and self._careful:
                return [error]
        half = len(works) // 2
        parts = [works[:half], works[half:]] if half else [works]
        careful, self._careful = self._careful, True
        try:
            return [result for part in parts for result in self._transact(part)]
        finally:
            self._careful = careful

    def _transaction(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._begin()
            results: list[Any] = []
            for work in works:
                try:
                    results.append(work())
                except REFUSALS as refusal:
                    results.append(refusal)
            self.flush()
            self.log.flush(connection)
            connection.execute("COMMIT")
            self.log.committed()
        except BaseException:
            self._rows = Rows()
            self._staged.clear()
            self._created.clear()
            self.log.forget()
            self.names.forget()
            self._searcher.forget()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if self._wal_pages > RESTART_PAGES:
            self._truncate()
        elif self._wal_pages > CHECKPOINT_PAGES:
            self._checkpoint_wanted.set()
        return results

    def _begin(self) -> None:
        """Go on from the newest version of the whole database: other processes write too."""
        connection = self.connection
        newest = connection.execute(
            "SELECT seq,updated FROM resource ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        self._seq, updated = newest or (0, 0)
        self._key = connection.execute("SELECT max(key) FROM resource").get or 0
        now = self._clock()
        self._now = max(now - now % 1000, updated)

    def flush(self) -> None:
        if self._created:
            CREATE.run(self.connection, list(self._created.values()))
            self._created.clear()
        if self._rows:
            self._rows.write(self.connection)
        self._staged.clear()

    # --- units -----------------------------------------------------------------------------

    def apply(self, unit: Unit) -> list[Version]:
        changes, selects = unit
        execute = self.connection.execute
        names = self.names
        if len(changes) > 1 and len({(c.type, c.id) for c in changes}) < len(changes):
            raise RepeatedResource("a commit names a resource twice")
        before = []
        for change in changes:
            expect = change.expect
            type = names.type(change.type)
            # A POST comes with an id made for it. Should it be there all the same, the insert
            # fails and the units are done again with care.
            new = expect == ABSENT and change.method == "POST" and not self._careful
            if type is not None and (type, change.id) in self._created:
                self.flush()
                new = False
            row = None
            if type is not None and not new:
                row = execute(CURRENT, (type, change.id)).fetchone()
            before.append(row)
            if expect == ANY:
                continue
            if expect == ABSENT:
                if row is not None and not row[5]:
                    raise VersionConflict(change.type, change.id, row[1])
            elif row is None or row[1] != expect:
                current = 0 if row is None else -row[1] if row[5] else row[1]
                raise VersionConflict(change.type, change.id, current)
        if selects:
            self._judge(selects)
        return [self._write(change, row) for change, row in zip(changes, before, strict=True)]

    def apply_logged(self, unit: Unit, records: Sequence[bytes]) -> list[Version]:
        """`apply`, with records for the log in the same transaction."""
        made = self.apply(unit)
        self.log.append(records)
        return made

    def _judge(self, selects: Sequence[Selects]) -> None:
        self.flush()
        self._budget.start(SELECTION_SECONDS)
        try:
            for precondition in selects:
                found = self._searcher.identities(precondition.query, len(precondition.ids) + 1)
                if found != precondition.ids:
                    raise SelectionChanged(precondition)
        except apsw.InterruptError:
            raise TimeoutError("a precondition took too long to judge") from None
        finally:
            self._budget.stop()

    def _write(self, change: Change, row: tuple[Any, ...] | None) -> Version:
        content = change.content
        if content is None and (row is None or row[5]):
            if row is None:
                return Version(change.type, change.id, 0, 0, change.method, None)
            return Version(
                change.type, change.id, row[1], row[2], row[4], None, key=row[0], seq=row[3]
            )
        execute = self.connection.execute
        type = self.names.learn_type(change.type)
        # Two versions of one resource never share an instant: each was current for some time.
        if row is not None and row[2] >= self._now:
            self._now = row[2] + 1000
        now = self._now
        self._seq = seq = self._seq + 1
        if row is None:
            self._key = key = self._key + 1
            version = 1
        else:
            key, version = row[0], row[1] + 1
        stamped = None if content is None else content.stamp(version, self._stamp(now))
        if row is None:
            created = (key, type, change.id, 1, now, seq, change.method, stamped)
            self._created[type, change.id] = created
            add_rows(self.names, type, key, change.entries, self._rows)
            self._staged.add(key)
        else:
            execute(ARCHIVE, (now, key))
            execute(UPDATE, (version, now, seq, change.method, stamped, key))
            self.replace_rows(type, key, change.entries if content is not None else ())
        return Version(change.type, change.id, version, now, change.method, stamped, key, seq)

    def erase(self, type: str, id: str) -> list[Version]:
        """Delete a resource and take away every version before."""
        connection = self.connection
        self.flush()
        code = self.names.type(type)
        row = None
        if code is not None:
            row = connection.execute(CURRENT, (code, id)).fetchone()
        if row is None:
            return []
        deletion = self.apply(([Change("DELETE", type, id, None)], ()))
        self.flush()
        connection.execute("DELETE FROM history WHERE key=?", (row[0],))
        return deletion

    def empty_log(self) -> None:
        """Have the log of writes written back and emptied after this transaction."""
        self._wal_pages = RESTART_PAGES + 1

    def replace_rows(self, type: int, key: int, entries: Sequence[tuple[Any, ...]]) -> None:
        if key in self._staged:
            self.flush()
        rows = Rows()
        add_rows(self.names, type, key, entries, rows)
        rows.replace(self.connection, key)

    def replace_entries(self, version: Version, entries: Sequence[tuple[Any, ...]]) -> int:
        """New index entries for a resource, unless it has changed since `version`."""
        current = self.connection.execute(
            "SELECT type FROM resource WHERE key=? AND version=? AND content IS NOT NULL",
            (version.key, version.version),
        ).fetchone()
        if current is None:
            return 0
        self.replace_rows(current[0], int(version.key), entries)
        return 1

    def set_state(self, name: str, value: bytes | None) -> None:
        if value is None:
            self.connection.execute("DELETE FROM state WHERE name=?", (name,))
        else:
            self.connection.execute(
                "INSERT OR REPLACE INTO state(name,value) VALUES(?,?)", (name, value)
            )

    def _stamp(self, now: int) -> str:
        if self._instant[0] != now:
            self._instant = (now, instant(now))
        return self._instant[1]

    # --- checkpoints -----------------------------------------------------------------------

    def _wal_grew(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _truncate(self) -> None:
        try:
            self.connection.set_busy_timeout(1_000)
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:  # a long reader: the next transaction tries again
            pass
        finally:
            self.connection.set_busy_timeout(20_000)

    def _checkpoint(self) -> None:
        connection = connect(self._path, writer=True, cache_kib=1024)
        try:
            while True:
                self._checkpoint_wanted.wait()
                self._checkpoint_wanted.clear()
                if self._closed:
                    return
                try:
                    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                except apsw.BusyError:
                    continue
        finally:
            connection.close()


def _resolve(pairs: list[tuple[asyncio.Future[list[Any]], list[Any]]]) -> None:
    for future, results in pairs:
        if not future.done():
            future.set_result(results)
