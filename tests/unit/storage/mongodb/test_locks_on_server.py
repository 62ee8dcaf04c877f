from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import stored_resources as resources

from fhirserver.model.version import ABSENT, HistorySelection
from fhirserver.search.entries import TokenEntry
from fhirserver.search.expression import All, Everything, Query
from fhirserver.storage.interface import SelectionChanged, Selects
from fhirserver.storage.mongodb import MongoStore, locks
from fhirserver.storage.mongodb.locks import lock_name

_WHERE = resources.token("identifier", "s", "900")
_NOBODY = Selects(Query(("Patient",), _WHERE), frozenset())


def _create(id: str):
    return resources.put(
        "Patient", id, [TokenEntry("identifier", "s", "900")], expect=ABSENT, method="POST"
    )


async def test_of_fifty_conditional_creates_one_commits(store, url):
    other = MongoStore(url)
    await other.open()
    results = await asyncio.gather(
        *[(store, other)[n % 2].commit([_create(str(n))], [_NOBODY]) for n in range(50)],
        return_exceptions=True,
    )
    await other.close()
    assert sum(isinstance(result, list) for result in results) == 1
    assert sum(isinstance(result, SelectionChanged) for result in results) == 49
    assert await store.count(Query(("Patient",))) == 1


async def test_locks_are_gone_afterwards(store, database):
    await store.commit([_create("1")], [_NOBODY])
    with pytest.raises(SelectionChanged):
        await store.commit([_create("2")], [_NOBODY])
    assert await database.locks.count_documents({}) == 0


async def test_name_of_a_lock_knows_no_order_and_no_paging():
    parts = (_WHERE, Everything())
    one = lock_name(Query(("Patient",), All(parts), count=1))
    assert one == lock_name(Query(("Patient",), All(parts[::-1]), count=2))
    assert lock_name(Query(("Patient",), _WHERE)) == lock_name(Query(("Patient",), All((_WHERE,))))
    assert one != lock_name(Query(("Patient",), _WHERE))


async def test_lock_of_a_crashed_holder_is_taken_over(store, database):
    await database.locks.insert_one(
        {
            "_id": lock_name(_NOBODY.query),
            "token": "dead",
            "targets": ["Patient/dead"],
            "until": datetime.now(UTC) - timedelta(seconds=1),
        }
    )
    [made] = await store.commit([_create("1")], [_NOBODY])
    assert made.version == 1
    # What fences the dead holder off is not a resource.
    assert await store.read("Patient", "dead") is None
    assert await store.vread("Patient", "dead", 1) is None
    assert await store.read_many([("Patient", "dead")]) == []
    assert await store.count(Query(("Patient",))) == 1
    assert await store.history_count(HistorySelection("Patient")) == 1
    [late] = await store.commit([_create("dead")])
    assert (late.version, late.deleted) == (1, False)


async def test_slow_holder_cannot_commit_after_its_term(store, url, monkeypatch):
    """The holder stands still between looking and writing, until another has taken over."""
    other = MongoStore(url)
    await other.open()
    monkeypatch.setattr(locks, "TERM", timedelta(milliseconds=50))
    looked, go_on = asyncio.Event(), asyncio.Event()
    require = store._writer._require

    async def slow(selects):
        await require(selects)
        if not looked.is_set():
            looked.set()
            await go_on.wait()

    monkeypatch.setattr(store._writer, "_require", slow)
    holder = asyncio.create_task(store.commit([_create("slow")], [_NOBODY]))
    await looked.wait()
    [made] = await other.commit([_create("quick")], [_NOBODY])
    go_on.set()
    with pytest.raises(SelectionChanged):
        await holder
    assert made.id == "quick"
    assert await store.count(Query(("Patient",))) == 1
    assert await store.read("Patient", "slow") is None
    await other.close()


async def test_slow_holder_of_an_existing_resource_is_fenced_off_too(store, url, monkeypatch):
    await store.commit([resources.put("Patient", "slow")])
    other = MongoStore(url)
    await other.open()
    monkeypatch.setattr(locks, "TERM", timedelta(milliseconds=50))
    looked, go_on = asyncio.Event(), asyncio.Event()
    require = store._writer._require

    async def slow(selects):
        await require(selects)
        if not looked.is_set():
            looked.set()
            await go_on.wait()

    monkeypatch.setattr(store._writer, "_require", slow)
    change = resources.put("Patient", "slow", [TokenEntry("identifier", "s", "900")])
    holder = asyncio.create_task(store.commit([change], [_NOBODY]))
    await looked.wait()
    await other.commit([_create("quick")], [_NOBODY])
    go_on.set()
    with pytest.raises(SelectionChanged):
        await holder
    assert (await store.read("Patient", "slow")).version == 1
    await other.close()


async def test_waiting_for_a_lock_ends(store, database, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    await database.locks.insert_one(
        {
            "_id": lock_name(_NOBODY.query),
            "token": "other",
            "targets": [],
            "until": datetime.now(UTC) + timedelta(minutes=1),
        }
    )
    with pytest.raises(TimeoutError):
        await store.commit([_create("1")], [_NOBODY])
