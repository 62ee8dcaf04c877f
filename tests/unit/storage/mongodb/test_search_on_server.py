from __future__ import annotations

import pytest
import stored_resources as resources
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhirserver.search.entries import ReferenceEntry, StringEntry, TokenEntry
from fhirserver.search.evaluate import Candidate, Resources, select
from fhirserver.search.expression import (
    All,
    Chain,
    Compare,
    Everything,
    Has,
    Kind,
    Match,
    Not,
    Query,
    Sort,
)
from fhirserver.storage.interface import InvalidCursor
from fhirserver.storage.mongodb import MongoStore, search, stage

_populations = st.lists(
    st.tuples(
        st.sampled_from(resources.TYPES), st.sampled_from(["1", "2", "3", "4"]), resources.entries
    ),
    max_size=8,
    unique_by=lambda resource: resource[:2],
)
_queries = st.builds(
    Query,
    st.lists(st.sampled_from(resources.TYPES), unique=True).map(tuple),
    resources.expressions,
    resources.sorts,
    st.integers(1, 4),
)


@pytest.mark.parametrize("direction", ["whole", "batch"])
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
@given(population=_populations, queries=st.lists(_queries, min_size=4, max_size=8))
async def test_every_query_selects_what_its_meaning_says(
    direction, population, queries, store, database, monkeypatch
):
    if direction == "batch":
        monkeypatch.setattr(stage, "WHOLE", 0)
        monkeypatch.setattr(stage, "WHOLE_SOURCES", 0)
        monkeypatch.setattr(search, "_FIRST_BATCH", 2)
        monkeypatch.setattr(search, "_LARGEST_BATCH", 3)
    for name in ("resources", "history"):
        await database[name].delete_many({})
    made = await store.commit_many(
        [([resources.put(type, id, entries)], ()) for type, id, entries in population]
    )
    held = Resources(
        Candidate(version.type, version.id, version.updated, entries, version.key)
        for [version], (_, _, entries) in zip(made, population, strict=True)
    )
    for query in queries:
        everything = Query(query.types, query.where, query.sort, 1000)
        wanted = [(c.type, c.id) for c in select(everything, held)]
        found, after = [], None
        while True:
            page = await store.search(
                Query(query.types, query.where, query.sort, query.count, after)
            )
            assert len(page.versions) <= query.count
            found += [(version.type, version.id) for version in page.versions]
            after = page.next
            if after is None:
                break
            assert len(page.versions) == query.count
        assert found == wanted
        assert await store.count(query) == len(wanted)
        assert await store.count(query, limit=2) == min(2, len(wanted))


async def _people(store, count: int) -> None:
    await store.commit_many(
        [
            ([resources.put("Patient", str(n), [TokenEntry("identifier", "s", str(n % 3))])], ())
            for n in range(count)
        ]
    )


async def test_page_and_cursor_survive_writes_in_between(store):
    await _people(store, 10)
    query = Query(("Patient",), resources.token("identifier", "s", "1"), count=1)
    seen, after = [], None
    while True:
        page = await store.search(Query(query.types, query.where, (), 1, after))
        seen += [version.id for version in page.versions]
        await store.commit(
            [resources.put("Patient", f"new{len(seen)}", [TokenEntry("identifier", "s", "1")])]
        )
        await store.commit(
            [resources.put("Patient", seen[-1], [TokenEntry("identifier", "s", "1")])]
        )
        after = page.next
        if after is None or len(seen) > 20:
            break
    assert sorted(s for s in seen if not s.startswith("new")) == ["1", "4", "7"]


@pytest.mark.parametrize(
    "cursor", ["", "x", "////", "bnVsbA", "W10", "WyJhIiwxXQ", "é", "A" * 9999]
)
async def test_foreign_cursor_is_refused(store, cursor):
    with pytest.raises(InvalidCursor):
        await store.search(Query(("Patient",), after=cursor))


async def test_cursor_of_another_query_is_refused(store):
    await _people(store, 3)
    page = await store.search(Query(("Patient",), count=1))
    with pytest.raises(InvalidCursor):
        await store.search(Query(("Patient",), sort=(Sort("_id", Kind.TOKEN),), after=page.next))
    with pytest.raises(InvalidCursor):
        await store.search(Query(("Patient",), Not(Everything()), after=page.next))


async def test_deleted_resource_is_not_selected_and_comes_back_with_its_key(store):
    [first] = await store.commit([resources.put("Patient", "1", [StringEntry("name", "a", "A")])])
    await store.commit([resources.delete("Patient", "1")])
    assert (await store.search(Query(("Patient",)))).versions == []
    assert await store.count(Query(())) == 0
    [again] = await store.commit([resources.put("Patient", "1")])
    assert again.key == first.key
    assert await store.count(Query(("Patient",))) == 1


async def test_chain_to_more_than_fits_in_one_stage_is_complete(store, monkeypatch):
    monkeypatch.setattr(stage, "WHOLE", 5)
    monkeypatch.setattr(stage, "_IDS", 3)
    await _people(store, 12)
    await store.commit_many(
        [
            (
                [
                    resources.put(
                        "Observation", str(n), [ReferenceEntry("subject", "Patient", str(n % 12))]
                    )
                ],
                (),
            )
            for n in range(30)
        ]
    )
    some = Match("identifier", Kind.TOKEN, Compare("code", "in", ("0", "1")))
    where = Chain("subject", ("Patient",), some)
    assert await store.count(Query(("Observation",), where)) == 20
    page = await store.search(
        Query(
            ("Observation",),
            All(
                (
                    where,
                    Not(Chain("subject", ("Patient",), resources.token("identifier", "s", "1"))),
                )
            ),
            count=100,
        )
    )
    assert {int(v.id) % 12 % 3 for v in page.versions} == {0}
    assert len(page.versions) == 10
    assert await store.count(Query(("Patient",), Has("Observation", "subject", Everything()))) == 12


async def test_page_tells_as_of_when_it_was_read(store, url):
    other = MongoStore(url)
    await other.open()
    query = Query(("Patient",))
    assert (await store.search(query)).seq == 0
    await _people(store, 2)
    assert (await store.search(query)).seq == 2
    await other.commit([resources.put("Patient", "x")])
    assert [(await store.search(query)).seq for _ in range(2)] == [0, 3]
    await other.close()


async def test_page_read_while_others_write_does_not_tell(store):
    query = Query(("Patient",))
    await _people(store, 1)
    slow = await store._sequence.reserve(1, 0)
    assert (await store.search(query)).seq == 0
    await store._sequence.release(slow)
    assert (await store.search(query)).seq == 2
