"""The database file: schema versions, damage, the WAL's size, several processes."""

from __future__ import annotations

import asyncio

import apsw
import pytest

from fhirserver.model.version import Change, Content
from fhirserver.search.entries import StringEntry, TokenEntry
from fhirserver.search.expression import Compare, Kind, Match, Not, Query
from fhirserver.storage.sqlite import SqliteStore, schema, writer
from fhirserver.storage.sqlite.schema import UnknownSchema


def put(id: str, *entries) -> Change:
    return Change("PUT", "Patient", id, Content(b'{"v":"', b'","t":"', b'"}'), entries)


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "a" / "b.db")
    await store.open()
    yield store
    await store.close()


async def test_a_newer_schema_is_refused_by_name(tmp_path):
    path = tmp_path / "new.db"
    store = SqliteStore(path)
    await store.open()
    await store.close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", schema.VERSION + 1)
    connection.close()
    with pytest.raises(UnknownSchema, match=f"schema {schema.VERSION + 1}.*up to {schema.VERSION}"):
        await SqliteStore(path).open()


async def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    with pytest.raises(UnknownSchema, match="no database of this server"):
        await SqliteStore(path).open()
    connection = apsw.Connection(str(path))
    assert [name for (name,) in connection.execute("SELECT name FROM sqlite_schema")] == ["theirs"]
    connection.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "text.db"
    path.write_bytes(b"not a database " * 1000)
    with pytest.raises(UnknownSchema, match="not a SQLite database"):
        await SqliteStore(path).open()
    assert path.read_bytes().startswith(b"not a database ")


async def test_an_older_schema_is_brought_up_step_by_step(tmp_path, monkeypatch):
    path = tmp_path / "old.db"
    store = SqliteStore(path)
    await store.open()
    await store.commit([put("1")])
    await store.close()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 2)
    monkeypatch.setattr(
        schema,
        "UPGRADES",
        {
            schema.VERSION - 2: "CREATE TABLE step(x); INSERT INTO step VALUES(1)",
            schema.VERSION - 1: "UPDATE step SET x=x+1",
        },
    )
    store = SqliteStore(path)
    await store.open()
    try:
        assert (await store.read("Patient", "1")).version == 1
        connection = apsw.Connection(str(path))
        assert connection.execute("SELECT x FROM step").get == 2
        assert connection.pragma("user_version") == schema.VERSION
        connection.close()
    finally:
        await store.close()


async def test_check_tells_of_a_missing_index_and_of_stray_rows(store):
    await store.commit([put("1", TokenEntry("code", "", "x"))])
    connection = apsw.Connection(store._path)
    connection.execute("INSERT INTO token(param,code,key,system) VALUES(1,'x',999,1)")
    assert any("token has index rows" in problem for problem in await store.check())
    connection.execute("DELETE FROM token WHERE key=999")
    assert await store.check() == []
    connection.execute("DROP INDEX token_system")
    assert any("token_system is missing" in problem for problem in await store.check())
    connection.close()


async def test_check_tells_of_missing_versions(store):
    for _ in range(3):
        await store.commit([put("1")])
    connection = apsw.Connection(store._path)
    connection.execute("DELETE FROM history WHERE version=2")
    connection.close()
    assert any("versions of Patient/1" in problem for problem in await store.check())


async def test_the_wal_stays_bounded_while_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 50)
    monkeypatch.setattr(writer, "RESTART_PAGES", 200)
    path = tmp_path / "wal.db"
    store = SqliteStore(path)
    await store.open()
    try:
        largest = 0
        for round in range(60):
            entries = [StringEntry("name", f"{round}-{n}", "x" * 500) for n in range(20)]
            await store.commit_many([([put(f"{round}-{n}", *entries)], []) for n in range(20)])
            largest = max(largest, (tmp_path / "wal.db-wal").stat().st_size)
        # The bound plus what one transaction adds.
        assert largest < (200 + 600) * 4200
    finally:
        await store.close()
    assert path.stat().st_size > 1_000_000
    wal = tmp_path / "wal.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0


async def test_a_reader_that_stays_does_not_stop_the_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "RESTART_PAGES", 20)
    store = SqliteStore(tmp_path / "pinned.db")
    await store.open()
    connection = apsw.Connection(str(tmp_path / "pinned.db"))
    try:
        await store.commit([put("1")])
        connection.execute("BEGIN")
        assert connection.execute("SELECT count(*) FROM resource").get == 1
        for n in range(5):
            entries = [StringEntry("name", f"{n}-{m}", "x" * 900) for m in range(40)]
            await asyncio.wait_for(store.commit([put(f"{n}", *entries)]), 20)
        assert connection.execute("SELECT count(*) FROM resource").get == 1
        connection.execute("COMMIT")
    finally:
        connection.close()
        await store.close()


async def test_a_commit_that_cannot_get_the_lock_times_out(tmp_path, monkeypatch):
    from fhirserver.storage.sqlite import connection as connections

    monkeypatch.setattr(connections, "BUSY_MILLISECONDS", 200)
    store = SqliteStore(tmp_path / "busy.db")
    await store.open()
    other = apsw.Connection(str(tmp_path / "busy.db"))
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TimeoutError):
            await store.commit([put("1")])
        assert await store.read("Patient", "1") is None
        other.execute("ROLLBACK")
        assert (await store.commit([put("1")]))[0].version == 1
    finally:
        other.close()
        await store.close()


async def test_commits_after_close_are_refused(tmp_path):
    store = SqliteStore(tmp_path / "closed.db")
    await store.open()
    await store.close()
    with pytest.raises(ConnectionError):
        await store.commit([put("1")])


async def test_closing_finishes_what_was_handed_over(tmp_path):
    store = SqliteStore(tmp_path / "closing.db")
    await store.open()
    waiting = [asyncio.ensure_future(store.commit([put(str(n))])) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert [made[0].version for made in await asyncio.gather(*waiting)] == [1] * 50
    store = SqliteStore(tmp_path / "closing.db")
    await store.open()
    assert await store.count(Query(("Patient",))) == 50
    await store.close()


async def test_a_long_search_leaves_the_loop_and_finishes_in_a_thread(tmp_path):
    store = SqliteStore(tmp_path / "long.db", loop_seconds=0.0)
    await store.open()
    try:
        units = [([put(str(n), StringEntry("name", f"n{n}", "N"))], []) for n in range(3000)]
        await store.commit_many(units)
        where = Not(Match("name", Kind.STRING, Compare("folded", "contains", "n")))
        assert (await store.search(Query(("Patient",), where))).versions == []
        assert await store.count(Query(("Patient",), Not(where))) == 3000
    finally:
        await store.close()


async def test_a_search_over_the_limit_raises_timeout(tmp_path):
    store = SqliteStore(tmp_path / "slow.db", loop_seconds=0.0, limit_seconds=0.001)
    await store.open()
    try:
        units = [([put(str(n), StringEntry("name", f"n{n}", "N"))], []) for n in range(5000)]
        await store.commit_many(units)
        where = Not(Match("name", Kind.STRING, Compare("folded", "contains", "n")))
        with pytest.raises(TimeoutError):
            await store.search(Query(("Patient",), where))
        assert (await store.read("Patient", "7")).version == 1
    finally:
        await store.close()


async def test_an_interrupted_search_leaves_no_transaction_open(tmp_path):
    """SQLite looks at the clock after so many steps of a statement over all its runs."""
    store = SqliteStore(tmp_path / "short.db")
    await store.open()
    try:
        await store.commit([put("1")])
        interrupted = 0
        for _ in range(5000):
            try:
                store._reader.run(lambda reader: reader.searcher.search(Query(("Patient",))), 0.0)
            except apsw.InterruptError:
                interrupted += 1
            assert not store._reader.connection.in_transaction
        assert interrupted
        assert len((await store.search(Query(("Patient",)))).versions) == 1
    finally:
        await store.close()
