"""Reindexing and the store's own small values."""

from __future__ import annotations

import asyncio

import pytest
from resources import commit, delete, ids, post, put

from fhirserver.search.entries import StringEntry, TokenEntry, WordEntry
from fhirserver.search.expression import Compare, Kind, Match, Query


def found_by(code: str) -> Query:
    return Query(("Patient",), Match("code", Kind.TOKEN, Compare("code", "eq", code)), count=50)


async def walk(store, type, limit):
    after, found = None, []
    while True:
        page, after = await store.reindex(type, after, limit)
        assert len(page) <= limit
        found += page
        if after is None:
            return found


async def test_a_small_value_is_written_by_many_at_once(store):
    for name in map(str, range(10)):
        values = [b"%d" % n for n in range(20)]
        await asyncio.gather(*(store.set_state(name, value) for value in values))
        assert await store.get_state(name) in values


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_reindex_walks_the_current_resources_in_key_order(store, limit):
    for n in range(7):
        await commit(store, post("Patient", str(n)))
    await commit(store, post("Group", "g"))
    await commit(store, delete("Patient", "3"))
    await commit(store, put("Patient", "1"))
    found = await walk(store, "Patient", limit)
    assert [(v.id, v.version) for v in found] == [
        ("0", 1),
        ("1", 2),
        ("2", 1),
        ("4", 1),
        ("5", 1),
        ("6", 1),
    ]
    assert all(v.content for v in found)


async def test_reindex_of_a_type_never_stored_is_empty(store):
    assert await store.reindex("Basic", None, 10) == ([], None)


async def test_replaced_entries_are_found_and_the_old_are_not(store):
    made = await commit(store, post("Patient", "1", [TokenEntry("code", "", "old")]))
    entries = [TokenEntry("code", "", "new"), StringEntry("name", "eve", "Eve")]
    assert await store.replace_entries([(made, entries)]) == 1
    assert await ids(store, found_by("new")) == ["1"]
    assert await ids(store, found_by("old")) == []
    assert await store.read("Patient", "1") == made
    assert [v async for v in store.changes()] == [made]
    assert await store.check() == []


async def test_entries_are_replaced_for_the_version_they_were_made_of_only(store):
    first = await commit(store, post("Patient", "1", [TokenEntry("code", "", "old")]))
    await commit(store, put("Patient", "1", [TokenEntry("code", "", "newer")]))
    gone = await commit(store, post("Patient", "2", [TokenEntry("code", "", "old")]))
    await commit(store, delete("Patient", "2"))
    stale = [(first, [TokenEntry("code", "", "stale")]), (gone, [TokenEntry("code", "", "stale")])]
    assert await store.replace_entries(stale) == 0
    assert await ids(store, found_by("stale")) == []
    assert await ids(store, found_by("newer")) == ["1"]


async def test_replacing_the_entries_of_many(store):
    for n in range(40):
        await commit(store, post("Patient", str(n), [TokenEntry("code", "", "old")]))
    versions = await walk(store, "Patient", 100)
    words = [WordEntry("_text", "hello"), TokenEntry("code", "", "new")]
    assert await store.replace_entries([(v, words) for v in versions]) == 40
    assert await store.replace_entries([]) == 0
    assert len(await ids(store, found_by("new"))) == 40
    text = Query(("Patient",), Match("_text", Kind.WORD, Compare("word", "eq", "hello")), count=50)
    assert len(await ids(store, text)) == 40


async def test_state_is_kept_replaced_and_removed(engine, store):
    assert await store.get_state("epoch") is None
    await store.set_state("epoch", b"\x00\xff1")
    assert await store.get_state("epoch") == b"\x00\xff1"
    await store.set_state("epoch", b"")
    assert await store.get_state("epoch") == b""
    await store.set_state("épée $x.y", b"2")
    other = await engine.again(store)
    try:
        assert await other.get_state("épée $x.y") == b"2"
    finally:
        await other.close()
    await store.set_state("epoch", None)
    await store.set_state("never", None)
    assert await store.get_state("epoch") is None
    assert await store.get_state("épée $x.y") == b"2"
