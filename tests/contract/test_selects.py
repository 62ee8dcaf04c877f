"""Preconditions: a commit holds only while a query selects what it selected."""

from __future__ import annotations

import asyncio

import pytest
from resources import commit, delete, ids, post, put

from fhirserver.search.entries import TokenEntry
from fhirserver.search.expression import All, Compare, Kind, Match, Query
from fhirserver.storage.interface import SelectionChanged, Selects


def identified(value: str, types: tuple[str, ...] = ("Patient",)) -> Query:
    return Query(types, Match("identifier", Kind.TOKEN, Compare("code", "eq", value)))


def entry(value: str) -> list[TokenEntry]:
    return [TokenEntry("identifier", "urn:x", value)]


async def test_the_selection_must_be_exactly_that(store):
    await commit(store, post("Patient", "1", entry("a")))
    good = Selects(identified("a"), frozenset({("Patient", "1")}))
    await store.commit([put("Patient", "1", entry("a"))], [good])
    for ids_ in (frozenset(), {("Patient", "2")}, {("Patient", "1"), ("Patient", "2")}):
        bad = Selects(identified("a"), frozenset(ids_))
        with pytest.raises(SelectionChanged) as raised:
            await store.commit([put("Patient", "1", entry("a"))], [bad])
        assert raised.value.precondition == bad
    assert (await store.read("Patient", "1")).version == 2


async def test_every_precondition_must_hold(store):
    await commit(store, post("Patient", "1", entry("a")))
    with pytest.raises(SelectionChanged):
        await store.commit(
            [post("Patient", "2", entry("b"))],
            [
                Selects(identified("b"), frozenset()),
                Selects(identified("a"), frozenset()),
            ],
        )
    assert await store.read("Patient", "2") is None


async def test_a_selection_ignores_count_and_deleted_resources(store):
    for id in ("1", "2", "3"):
        await commit(store, post("Patient", id, entry("a")))
    await commit(store, delete("Patient", "3"))
    from dataclasses import replace

    query = replace(identified("a"), count=1)
    both = Selects(query, frozenset({("Patient", "1"), ("Patient", "2")}))
    await store.commit([post("Patient", "4")], [both])
    assert (await store.read("Patient", "4")).version == 1


async def test_a_selection_over_all_types(store):
    await commit(store, post("Patient", "1", entry("a")))
    await commit(store, post("Group", "1", entry("a")))
    both = frozenset({("Patient", "1"), ("Group", "1")})
    await store.commit([post("Patient", "2")], [Selects(identified("a", ()), both)])
    with pytest.raises(SelectionChanged):
        await store.commit(
            [post("Patient", "3")], [Selects(identified("a", ()), frozenset({("Group", "1")}))]
        )


async def test_a_type_never_stored_selects_nothing(store):
    await store.commit([post("Patient", "1")], [Selects(Query(("Basic",)), frozenset())])
    assert (await store.read("Patient", "1")).version == 1


async def test_of_fifty_parallel_conditional_creates_one_commits(store):
    absent = [Selects(identified("a"), frozenset())]
    done = await asyncio.gather(
        *(store.commit([post("Patient", f"p{n}", entry("a"))], absent) for n in range(50)),
        return_exceptions=True,
    )
    assert sum(not isinstance(result, Exception) for result in done) == 1
    assert all(isinstance(r, SelectionChanged) for r in done if isinstance(r, Exception))
    assert len(await ids(store, identified("a"))) == 1


async def test_parallel_conditional_creates_from_two_stores_make_one(engine, store):
    other = await engine.again(store)
    try:
        absent = [Selects(identified("a"), frozenset())]
        done = await asyncio.gather(
            *(
                (store, other)[n % 2].commit([post("Patient", f"p{n}", entry("a"))], absent)
                for n in range(20)
            ),
            return_exceptions=True,
        )
        assert sum(not isinstance(result, Exception) for result in done) == 1, done
        assert len(await ids(store, identified("a"))) == 1
    finally:
        await other.close()


async def test_different_conditions_do_not_hinder_each_other(store):
    done = await asyncio.gather(
        *(
            store.commit(
                [post("Patient", f"p{n}", entry(str(n)))],
                [Selects(identified(str(n)), frozenset())],
            )
            for n in range(30)
        )
    )
    assert len(done) == 30
    assert len(await ids(store, Query(("Patient",), count=100))) == 30


async def test_an_update_that_makes_the_selection_true_is_seen(store):
    """What a resource is found by changes with it, within the precondition too."""
    await commit(store, post("Patient", "1", entry("a")))
    await commit(store, put("Patient", "1", entry("b")))
    await store.commit([post("Patient", "2", entry("a"))], [Selects(identified("a"), frozenset())])
    with pytest.raises(SelectionChanged):
        await store.commit([post("Patient", "3")], [Selects(identified("b"), frozenset())])


async def test_a_condition_of_several_criteria(store):
    query = Query(
        ("Patient",),
        All(
            (
                Match("identifier", Kind.TOKEN, Compare("code", "eq", "a")),
                Match("active", Kind.TOKEN, Compare("code", "eq", "true")),
            )
        ),
    )
    await commit(store, post("Patient", "1", entry("a")))
    await store.commit(
        [post("Patient", "2", [*entry("a"), TokenEntry("active", "", "true")])],
        [Selects(query, frozenset())],
    )
    with pytest.raises(SelectionChanged):
        await store.commit([post("Patient", "3")], [Selects(query, frozenset())])
