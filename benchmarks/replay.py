"""The rows of a store, written again by SQLite alone: what bounds the embedded store's writes.

As many resources in one transaction as there are creates at a time; each commit is synced to disk.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import apsw

from fhirserver.conformance.registry import Registry
from fhirserver.model.json import decode_stored
from fhirserver.search.index import Indexer
from fhirserver.storage.sqlite.names import Names
from fhirserver.storage.sqlite.rows import Rows, add_rows

if TYPE_CHECKING:
    from pathlib import Path

MOST = 20_000
Group = list[tuple[str, list[tuple[Any, ...]]]]


class GroupCommits:
    """`file` is written anew each time, `group` resources a transaction."""

    def __init__(self, file: Path, group: int) -> None:
        self._file = file
        self._group = group
        self._groups: list[Group] = []
        self._schema: list[str] = []

    def take(self, database: Path) -> None:
        """Read the schema of a store, and the rows that its resources have in each table."""
        source = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
        by_key: dict[int, list[tuple[str, tuple[Any, ...]]]] = {}
        shadows: list[str] = []
        statements: list[Any] = source.execute(
            "SELECT type,name,sql FROM sqlite_schema WHERE sql IS NOT NULL"
            " ORDER BY type='index', rowid"
        ).fetchall()
        for type_, name, sql in statements:
            if name.startswith("sqlite_") or any(name.startswith(shadow) for shadow in shadows):
                continue
            self._schema.append(sql)
            if "VIRTUAL TABLE" in sql:
                if "fts5(" in sql:
                    shadows += [
                        f"{name}_{part}" for part in ("data", "idx", "content", "docsize", "config")
                    ]
                continue
            columns = [row[1] for row in source.execute(f"PRAGMA table_info({name})")]
            if type_ == "table" and "key" in columns and name != "history":
                insert = f"INSERT INTO {name} VALUES({','.join('?' * len(columns))})"
                at = columns.index("key")
                limit = f"SELECT * FROM {name} WHERE key<={MOST}"
                found: list[Any] = source.execute(limit).fetchall()
                for row in found:
                    by_key.setdefault(row[at], []).append((insert, row))
        for key, row in self._words(source):
            by_key[key].append(("INSERT INTO word(rowid,words) VALUES(?,?)", row))
        source.close()
        keys = sorted(by_key)
        self._groups = []
        for start in range(0, len(keys), self._group):
            batch: dict[str, list[tuple[Any, ...]]] = {}
            for key in keys[start : start + self._group]:
                for insert, row in by_key[key]:
                    batch.setdefault(insert, []).append(row)
            self._groups.append([(insert, sorted(rows)) for insert, rows in batch.items()])

    @staticmethod
    def _words(source: apsw.Connection) -> list[tuple[int, tuple[int, str]]]:
        """The full-text rows: the table keeps only their index, so they are made again."""
        indexer, names = Indexer(Registry()), Names(source)
        found = []
        query = f"SELECT key,type,content FROM resource WHERE key<={MOST} AND content IS NOT NULL"
        resources: list[Any] = source.execute(query).fetchall()
        for key, type_, content in resources:
            rows = Rows()
            add_rows(names, type_, key, indexer.entries(decode_stored(content)), rows)
            found += [(key, row) for row in rows.words]
        return found

    def rate(self, seconds: float) -> float:
        """Resources committed a second."""
        done, spent = 0, 0.0
        while spent < seconds:
            connection = self._new_file()
            began = time.perf_counter()
            for group in self._groups:
                connection.execute("BEGIN IMMEDIATE")
                for insert, rows in group:
                    connection.executemany(insert, rows)
                connection.execute("COMMIT")
                done += self._group
                if spent + time.perf_counter() - began > seconds:
                    break
            spent += time.perf_counter() - began
            connection.close()
        return done / spent

    def _new_file(self) -> apsw.Connection:
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        connection = apsw.Connection(str(self._file))
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("cache_size", -131_072)
        for sql in self._schema:
            connection.execute(sql)
        return connection
