from __future__ import annotations

import asyncio

import pytest
import stored_resources as resources

from fhirserver.errors import TooLarge
from fhirserver.model.version import ABSENT, HistorySelection
from fhirserver.search.entries import TokenEntry, WordEntry
from fhirserver.search.expression import Everything, Query
from fhirserver.storage.interface import (
    SelectionChanged,
    Selects,
    TransactionsUnavailable,
    VersionConflict,
)
from fhirserver.storage.mongodb import MongoStore, document


async def test_stored_bytes_are_served_with_version_and_time_stamped(store):
    [made] = await store.commit([resources.put("Patient", "1", rest=b',"x":1.00')])
    assert made == await store.read("Patient", "1") == await store.vread("Patient", "1", 1)
    assert b'"versionId":"1"' in made.content
    assert made.content.endswith(b'Z"},"x":1.00}')
    assert made.updated % 1000 == 0


async def test_concurrent_updates_make_gapless_versions(store):
    await asyncio.gather(*[store.commit([resources.put("Patient", "1")]) for _ in range(30)])
    page = await store.history(HistorySelection("Patient", "1", count=100))
    assert [version.version for version in page.versions] == list(range(30, 0, -1))
    times = [version.updated for version in page.versions]
    assert times == sorted(times, reverse=True)


async def test_two_stores_on_one_database_lose_no_update(store, url):
    other = MongoStore(url)
    await other.open()
    await asyncio.gather(
        *[s.commit([resources.put("Patient", "1")]) for s in (store, other) for _ in range(15)]
    )
    assert (await store.read("Patient", "1")).version == 30
    assert await store.history_count(HistorySelection("Patient", "1")) == 30
    assert [v.seq for v in [v async for v in other.changes()]] == list(range(1, 31))
    await other.close()


async def test_one_of_many_updates_of_a_version_wins(store):
    await store.commit([resources.put("Patient", "1")])
    results = await asyncio.gather(
        *[store.commit([resources.put("Patient", "1", expect=1)]) for _ in range(20)],
        return_exceptions=True,
    )
    assert sum(isinstance(result, list) for result in results) == 1
    assert all(
        isinstance(r, VersionConflict) and r.current == 2
        for r in results
        if not isinstance(r, list)
    )


async def test_expectations(store):
    with pytest.raises(VersionConflict) as conflict:
        await store.commit([resources.put("Patient", "1", expect=1)])
    assert conflict.value.current == 0
    await store.commit([resources.put("Patient", "1", expect=ABSENT)])
    with pytest.raises(VersionConflict) as conflict:
        await store.commit([resources.put("Patient", "1", expect=ABSENT)])
    assert conflict.value.current == 1
    [gone] = await store.commit([resources.delete("Patient", "1", expect=1)])
    assert gone.deleted
    assert gone.version == 2
    with pytest.raises(VersionConflict) as conflict:
        await store.commit([resources.put("Patient", "1", expect=1)])
    assert conflict.value.current == -2
    [back] = await store.commit([resources.put("Patient", "1", expect=2)])
    assert back.version == 3


async def test_second_deletion_makes_no_version(store):
    [never] = await store.commit([resources.delete("Patient", "1")])
    assert never.version == 0
    assert await store.read("Patient", "1") is None
    await store.commit([resources.put("Patient", "1")])
    [first] = await store.commit([resources.delete("Patient", "1")])
    [second] = await store.commit([resources.delete("Patient", "1")])
    assert first == second
    assert await store.vread("Patient", "1", 2) == first


async def test_crash_between_copy_and_replacement_leaves_nothing_wrong(store, database):
    await store.commit([resources.put("Patient", "1")])
    await store.commit([resources.put("Patient", "1")])
    current = await database.resources.find_one({"_id": "Patient/1"})
    await database.history.insert_one(document.past_document(current))
    page = await store.history(HistorySelection("Patient", "1"))
    assert [version.version for version in page.versions] == [2, 1]
    assert await store.history_count(HistorySelection("Patient", "1")) == 2
    assert [v.version for v in [v async for v in store.changes()]] == [1, 2]
    [third] = await store.commit([resources.put("Patient", "1")])
    assert third.version == 3
    assert await store.history_count(HistorySelection("Patient", "1")) == 3


async def test_resource_is_readable_and_queryable_with_mongodb_tools(store, database):
    rest = (
        b',"active":true,"weight":70.50,"name":[{"family":"Durand"}],"$odd.key":1'
        b',"big":123456789012345678901234567890'
    )
    await store.commit([resources.put("Patient", "1", rest=rest)])
    found = await database.resources.find_one({"resource.name.family": "Durand"})
    assert found["_id"] == "Patient/1"
    assert found["resource"]["active"] is True
    assert found["resource"]["weight"] == 70.5  # FerretDB 1.x has no Decimal128
    assert found["resource"]["＄odd．key"] == 1
    assert found["resource"]["meta"]["versionId"] == "1"


async def test_large_resource_is_kept_beside_and_served_whole(store, monkeypatch):
    monkeypatch.setattr(document, "LARGE", 1000)
    rest = b',"data":"' + b"x" * 4500 + b'"'
    [made] = await store.commit([resources.put("Binary", "1", rest=rest)])
    await store.commit([resources.put("Binary", "1", rest=b',"data":"small"')])
    assert rest in made.content
    assert await store.vread("Binary", "1", 1) == made
    [past] = [v for v in (await store.history(HistorySelection())).versions if v.version == 1]
    assert past == made
    first, *_ = [v async for v in store.changes()]
    assert first == made


async def test_resource_with_too_much_to_be_found_by_is_refused(store, monkeypatch):
    monkeypatch.setattr(document, "_LARGEST_DOCUMENT", 100_000)
    entries = [WordEntry("_text", f"word{n}") for n in range(10_001)]
    with pytest.raises(TooLarge):
        await store.commit([resources.put("Patient", "1", entries)])
    assert await store.read("Patient", "1") is None


async def test_one_refused_write_does_not_hinder_those_beside_it(store):
    await store.commit([resources.put("Patient", "1")])
    results = await store.commit_many(
        [
            ([resources.put("Patient", "1", expect=7)], ()),
            ([resources.put("Patient", "2")], ()),
            ([resources.put("Patient", "3"), resources.put("Patient", "4")], ()),
            ([resources.put("Patient", "5")], [Selects(Query(("Patient",)), frozenset())]),
            ([], ()),
        ]
    )
    assert isinstance(results[0], VersionConflict)
    assert results[1][0].id == "2"
    assert isinstance(results[2], TransactionsUnavailable)
    assert isinstance(results[3], SelectionChanged)
    assert results[4] == []


async def test_standalone_server_has_no_transactions_and_says_why(store):
    assert not store.capabilities.transactions
    assert "standalone" in store.capabilities.reason
    with pytest.raises(TransactionsUnavailable, match="standalone"):
        await store.commit([resources.put("Patient", "1"), resources.put("Patient", "2")])
    assert await store.read("Patient", "1") is None


async def test_reindexing_changes_entries_but_no_version(store):
    for n in range(5):
        await store.commit([resources.put("Patient", str(n))])
    first, after = await store.reindex("Patient", None, 3)
    rest, end = await store.reindex("Patient", after, 3)
    assert [v.id for v in first + rest] == ["0", "1", "2", "3", "4"]
    assert end is None
    await store.commit([resources.put("Patient", "0")])
    entries = [TokenEntry("identifier", "s", "x")]
    assert await store.replace_entries([(version, entries) for version in first + rest]) == 4
    found = await store.search(Query(("Patient",), resources.token("identifier", "s", "x")))
    assert [(v.id, v.version) for v in found.versions] == [(n, 1) for n in "1234"]


async def test_state_is_kept(store, url):
    assert await store.get_state("epoch") is None
    await store.set_state("epoch", b"\0\xff")
    await store.set_state("epoch", b"2")
    other = MongoStore(url)
    await other.open()
    assert await other.get_state("epoch") == b"2"
    await other.set_state("epoch", None)
    await other.close()
    assert await store.get_state("epoch") is None


async def test_check_finds_a_missing_index(store, database):
    assert await store.check() == []
    await database.resources.drop_index("token")
    [problem] = await store.check()
    assert "token" in problem
    await store.open()
    assert await store.check() == []


async def test_commit_of_nothing_looks_at_its_preconditions(store):
    nobody = Selects(Query(("Patient",), Everything()), frozenset())
    assert await store.commit([], [nobody]) == []
    await store.commit([resources.put("Patient", "1")])
    with pytest.raises(SelectionChanged):
        await store.commit([], [nobody])
