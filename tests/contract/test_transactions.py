"""Several changes in one commit, and many commits in one call."""

from __future__ import annotations

import pytest
from resources import commit, delete, ids, post, put

from fhirserver.search.entries import TokenEntry
from fhirserver.search.expression import Compare, Kind, Match, Query
from fhirserver.storage.interface import SelectionChanged, Selects, VersionConflict


@pytest.fixture
def transactional(store):
    if not store.capabilities.transactions:
        pytest.skip(f"no transactions: {store.capabilities.reason}")
    return store


def tagged(code: str) -> Query:
    return Query(("Patient",), Match("tag", Kind.TOKEN, Compare("code", "eq", code)))


async def test_versions_come_in_the_order_of_the_changes(transactional):
    store = transactional
    await commit(store, post("Patient", "old"))
    made = await store.commit(
        [post("Patient", "b"), delete("Patient", "old"), post("Group", "a"), put("Patient", "c")]
    )
    assert [(v.type, v.id, v.version) for v in made] == [
        ("Patient", "b", 1),
        ("Patient", "old", 2),
        ("Group", "a", 1),
        ("Patient", "c", 1),
    ]
    assert len({v.updated for v in made}) == 1
    assert [v.seq for v in made] == sorted(v.seq for v in made)


async def test_one_failing_change_undoes_all(transactional):
    store = transactional
    await commit(store, post("Patient", "1", [TokenEntry("tag", "", "x")]))
    before = [v async for v in store.changes()]
    with pytest.raises(VersionConflict):
        await store.commit(
            [
                post("Patient", "2", [TokenEntry("tag", "", "x")]),
                put("Patient", "1", [TokenEntry("tag", "", "y")]),
                put("Patient", "3", expect=7),
            ]
        )
    assert await store.read("Patient", "2") is None
    assert (await store.read("Patient", "1")).version == 1
    assert await ids(store, tagged("x")) == ["1"]
    assert await ids(store, tagged("y")) == []
    assert [v async for v in store.changes()] == before


async def test_a_failing_selection_undoes_all(transactional):
    store = transactional
    await commit(store, post("Patient", "1", [TokenEntry("tag", "", "x")]))
    with pytest.raises(SelectionChanged):
        await store.commit(
            [post("Patient", "2"), delete("Patient", "1")],
            [Selects(tagged("x"), frozenset())],
        )
    assert await store.read("Patient", "2") is None
    assert not (await store.read("Patient", "1")).deleted


async def test_a_resource_twice_in_one_commit_is_refused(transactional):
    store = transactional
    with pytest.raises(ValueError):
        await store.commit([post("Patient", "1"), put("Patient", "1")])
    assert await store.read("Patient", "1") is None


async def test_a_commit_of_nothing_is_nothing(store):
    assert await store.commit([]) == []
    assert await store.commit_many([]) == []


async def test_units_of_commit_many_fail_alone(store):
    await commit(store, post("Patient", "1"))
    results = await store.commit_many(
        [
            ([post("Patient", "2")], []),
            ([put("Patient", "1", expect=9)], []),
            ([post("Patient", "3", [TokenEntry("tag", "", "x")])], []),
            ([post("Patient", "4")], [Selects(tagged("none"), frozenset({("Patient", "9")}))]),
            ([put("Patient", "1", expect=1)], []),
        ]
    )
    assert [v.version for v in results[0]] == [1]
    assert isinstance(results[1], VersionConflict)
    assert [v.id for v in results[2]] == ["3"]
    assert isinstance(results[3], SelectionChanged)
    assert [v.version for v in results[4]] == [2]
    assert await store.read("Patient", "4") is None
    assert await ids(store, Query(("Patient",))) == ["1", "2", "3"]


async def test_a_broken_unit_hinders_no_other(store):
    """An entry that breaks the contract fails its own unit, before or after other units."""
    bad = TokenEntry("tag", "\ud800", "x")
    results = await store.commit_many(
        [
            ([post("Patient", "1", [TokenEntry("tag", "", "x")])], []),
            ([post("Patient", "2", [bad])], []),
            ([post("Patient", "3", [TokenEntry("tag", "", "x")])], []),
        ]
    )
    assert [isinstance(result, Exception) for result in results] == [False, True, False]
    assert await store.read("Patient", "2") is None
    assert await ids(store, tagged("x")) == ["1", "3"]


async def test_units_see_what_earlier_units_wrote(store):
    """Two creations under one condition in one call: the second is refused."""
    nothing = [Selects(tagged("x"), frozenset())]
    results = await store.commit_many(
        [([post("Patient", str(n), [TokenEntry("tag", "", "x")])], nothing) for n in range(5)]
    )
    assert sum(isinstance(result, SelectionChanged) for result in results) == 4
    assert len(await ids(store, tagged("x"))) == 1


async def test_thousands_of_units(store):
    results = await store.commit_many(
        [([post("Patient", str(n), [TokenEntry("tag", "", str(n % 7))])], []) for n in range(1200)]
    )
    assert all(len(result) == 1 and result[0].version == 1 for result in results)
    assert [result[0].id for result in results] == [str(n) for n in range(1200)]
    assert await store.count(tagged("3")) == len(range(3, 1200, 7))
    assert len({result[0].key for result in results}) == 1200
