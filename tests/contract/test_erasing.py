"""Erasing: no version of it is left, while the order of commits goes on."""

from __future__ import annotations

from pathlib import Path

from resources import commit, delete, ids, post, put, walk

from fhirserver.model.version import HistorySelection
from fhirserver.search.entries import TokenEntry
from fhirserver.search.expression import Compare, Kind, Match, Query

SECRET = "a-very-private-remark"
ENTRIES = [TokenEntry("code", "", SECRET)]
FOUND = Query(("Patient",), Match("code", Kind.TOKEN, Compare("code", "eq", SECRET)), count=50)


async def past(store, type, id):
    page = await store.history(HistorySelection(type=type, id=id, count=50))
    return [(version.version, version.deleted) for version in page.versions]


async def test_every_version_goes_and_a_deletion_stays(store):
    await commit(store, post("Patient", "1", ENTRIES, mark=SECRET))
    await commit(store, put("Patient", "1", ENTRIES, mark=SECRET))
    await commit(store, post("Patient", "2", ENTRIES))
    (erased,) = await store.erase([("Patient", "1"), ("Patient", "never")])
    assert (erased.type, erased.id, erased.version, erased.deleted) == ("Patient", "1", 3, True)
    assert await past(store, "Patient", "1") == [(3, True)]
    assert await store.vread("Patient", "1", 1) is None
    assert await store.vread("Patient", "1", 2) is None
    assert (await store.read("Patient", "1")).content is None
    assert await ids(store, FOUND) == ["2"]
    assert [v.id for v in await walk(store, Query(("Patient",), count=10))] == ["2"]
    seen = [(v.id, v.version) async for v in store.changes()]
    assert seen == [("2", 1), ("1", 3)]
    assert await store.check() == []


async def test_who_follows_the_commits_is_told_and_none_is_missed_after(store):
    await commit(store, post("Patient", "1"))
    last = [v async for v in store.changes()][-1].seq
    (erased,) = await store.erase([("Patient", "1")])
    assert erased.seq > last
    made = await commit(store, post("Patient", "2"))
    assert made.seq > erased.seq
    assert [(v.id, v.version) async for v in store.changes(last)] == [("1", 2), ("2", 1)]


async def test_what_was_deleted_before_is_erased_too_and_erasing_again_changes_nothing(store):
    await commit(store, post("Patient", "1", mark=SECRET))
    await commit(store, delete("Patient", "1"))
    assert len(await past(store, "Patient", "1")) == 2
    await store.erase([("Patient", "1")])
    await store.erase([("Patient", "1"), ("Patient", "1")])
    assert await past(store, "Patient", "1") == [(2, True)]


async def test_a_large_content_is_erased(store):
    await commit(store, post("Binary", "1", mark=SECRET * 300_000))
    await commit(store, put("Binary", "1", mark=SECRET * 300_000))
    await commit(store, post("Binary", "10", mark=SECRET * 300_000))
    await store.erase([("Binary", "1")])
    assert await past(store, "Binary", "1") == [(3, True)]
    assert SECRET.encode() in (await store.read("Binary", "10")).content


async def test_nothing_of_it_is_left_in_the_files_of_the_embedded_store(engine, tmp_path):
    if "sqlite" not in engine.__name__:
        return
    store = await engine.create(tmp_path)
    for number in range(50):
        await commit(store, post("Patient", f"k{number}", mark="kept" * 50))
    await commit(store, post("Patient", "1", ENTRIES, mark=SECRET * 400))
    await commit(store, put("Patient", "1", ENTRIES, mark=SECRET))
    before = b"".join(f.read_bytes() for f in Path(tmp_path).rglob("*") if f.is_file())
    assert SECRET.encode() in before
    await store.erase([("Patient", "1")])
    after = b"".join(f.read_bytes() for f in Path(tmp_path).rglob("*") if f.is_file())
    assert SECRET.encode() * 2 not in after
    await commit(store, put("Patient", "1", mark="anew"))
    assert await store.check() == []
    await engine.discard(store)
