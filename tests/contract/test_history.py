"""Histories of an instance, a type and the whole store, and the feed of changes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from resources import commit, delete, post, put, walk_history

from fhirserver.model.version import HistorySelection
from fhirserver.storage.interface import InvalidCursor


@pytest.fixture
async def told(ticking):
    """Eight versions of three resources, oldest first."""
    return ticking, [
        await commit(ticking, post("Patient", "1")),
        await commit(ticking, post("Group", "1")),
        await commit(ticking, put("Patient", "1", mark="two")),
        await commit(ticking, post("Patient", "2")),
        await commit(ticking, delete("Patient", "1")),
        await commit(ticking, put("Group", "1")),
        await commit(ticking, put("Patient", "1", mark="four")),
        await commit(ticking, post("Observation", "9")),
    ]


def of(versions, *numbers):
    return [versions[number] for number in numbers]


CASES = [
    (HistorySelection(), (7, 6, 5, 4, 3, 2, 1, 0)),
    (HistorySelection("Patient"), (6, 4, 3, 2, 0)),
    (HistorySelection("Patient", "1"), (6, 4, 2, 0)),
    (HistorySelection("Patient", "2"), (3,)),
    (HistorySelection("Group"), (5, 1)),
    (HistorySelection("Basic"), ()),
    (HistorySelection("Patient", "none"), ()),
    (HistorySelection("Basic", "1"), ()),
    (HistorySelection(types=("Group", "Observation")), (7, 5, 1)),
    (HistorySelection(types=("Basic",)), ()),
]


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize(("selection", "expected"), CASES)
async def test_newest_first_on_pages_of_any_size(told, selection, expected, count):
    store, versions = told
    found = await walk_history(store, replace(selection, count=count))
    assert found == of(versions, *expected)
    assert await store.history_count(selection) == len(expected)
    assert min(await store.history_count(selection, 2), 2) == min(len(expected), 2)


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize(("selection", "expected"), CASES)
async def test_since_takes_versions_from_an_instant_on(told, selection, expected, number):
    store, versions = told
    since = replace(selection, since=versions[number].updated)
    wanted = [v for v in of(versions, *expected) if v.updated >= versions[number].updated]
    assert await walk_history(store, replace(since, count=2)) == wanted
    assert await store.history_count(since) == len(wanted)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (2, 3), (1, 5), (4, 8), (0, 8), (3, 3)])
@pytest.mark.parametrize(("selection", "expected"), CASES)
async def test_at_takes_versions_current_in_an_interval(told, selection, expected, low, high):
    store, versions = told
    start = versions[low].updated
    end = versions[high].updated if high < 8 else versions[7].updated + 1000
    until = {}
    for place, version in enumerate(versions):
        later = [
            v.updated for v in versions[place + 1 :] if (v.type, v.id) == (version.type, version.id)
        ]
        until[version.seq] = min(later, default=2**62)
    wanted = [v for v in of(versions, *expected) if v.updated < end and until[v.seq] > start]
    at = replace(selection, at=(start, end), count=3)
    assert await walk_history(store, at) == wanted
    assert await store.history_count(at) == len(wanted)


async def test_tenth_version_comes_before_the_ninth(store):
    for _ in range(12):
        await commit(store, put("Patient", "1"))
    found = await walk_history(store, HistorySelection("Patient", "1", count=5))
    assert [v.version for v in found] == list(range(12, 0, -1))


async def test_a_deletion_that_changed_nothing_is_not_in_the_history(store):
    await commit(store, post("Patient", "1"))
    await commit(store, delete("Patient", "1"))
    await commit(store, delete("Patient", "1"))
    found = await walk_history(store, HistorySelection("Patient", "1"))
    assert [(v.version, v.method, v.deleted) for v in found] == [
        (2, "DELETE", True),
        (1, "POST", False),
    ]


async def test_versions_written_while_paging_do_not_disturb_the_pages(told):
    store, versions = told
    selection = HistorySelection(count=3)
    page = await store.history(selection)
    seen = list(page.versions)
    while page.next is not None:
        await commit(store, put("Patient", "1", mark="meanwhile"))
        page = await store.history(replace(selection, after=page.next))
        seen += page.versions
    assert seen == versions[::-1]


async def test_count_zero_gives_no_version(told):
    store, _ = told
    page = await store.history(HistorySelection(count=0))
    assert (page.versions, page.next) == ([], None)


@pytest.mark.parametrize("after", ["", "x", "AAAA", "é", "W10", "bnVsbA", "x" * 100_000])
async def test_a_cursor_that_was_never_given_is_invalid(told, after):
    store, _ = told
    with pytest.raises(InvalidCursor):
        await store.history(HistorySelection(after=after))


async def test_a_cursor_of_another_selection_is_invalid(told):
    store, _ = told
    page = await store.history(HistorySelection("Patient", count=2))
    assert page.next is not None
    for other in (
        HistorySelection("Group", after=page.next),
        HistorySelection("Patient", "1", after=page.next),
        HistorySelection("Patient", since=0, after=page.next),
        HistorySelection(after=page.next),
    ):
        with pytest.raises(InvalidCursor):
            await store.history(other)


async def test_the_feed_tells_every_version_in_commit_order(told):
    store, versions = told
    assert [v async for v in store.changes()] == versions
    assert [v async for v in store.changes(versions[3].seq)] == versions[4:]
    assert [v async for v in store.changes(versions[-1].seq)] == []


async def test_the_feed_of_some_types_leaves_the_others_out(told):
    store, versions = told
    for types in (["Patient"], {"Observation"}, {"Patient", "Observation"}, ["Flag"], []):
        wanted = [v for v in versions if v.type in types]
        assert [v async for v in store.changes(0, types)] == wanted
        after = versions[2].seq
        found = [v async for v in store.changes(after, types)]
        assert found == [v for v in wanted if v.seq > after]


async def test_all_commits_are_settled_and_what_follows_comes_later(told):
    store, versions = told
    settled = await store.settled()
    assert settled >= versions[-1].seq
    assert [v async for v in store.changes(settled)] == []
    made = await commit(store, put("Patient", "2"))
    assert made.seq > settled
    assert await store.settled() >= made.seq


async def test_the_feed_goes_on_where_it_stopped(told):
    store, versions = told
    after = versions[-1].seq
    made = await commit(store, put("Patient", "2"))
    assert [v async for v in store.changes(after)] == [made]


async def test_the_feed_of_thousands(store):
    for _ in range(2):
        await store.commit_many([([put("Patient", str(n))], []) for n in range(700)])
    found = [v async for v in store.changes()]
    assert len(found) == 1400
    assert all(a.seq < b.seq for a, b in pairwise(found))
    assert [v.version for v in found] == [1] * 700 + [2] * 700


async def test_the_history_of_one_among_thousands_of_versions(store):
    mine = [await commit(store, put("Patient", "mine", mark=str(n))) for n in range(3)]
    for _ in range(3):
        await store.commit_many([([put("Patient", str(n))], []) for n in range(400)])
    found = await walk_history(store, HistorySelection("Patient", "mine"))
    assert found == mine[::-1]


async def test_newest_is_the_place_of_the_last_commit_of_a_type(store):
    assert await store.newest(("Patient", "Consent")) == 0
    first = await commit(store, post("Patient", "1"))
    await commit(store, post("Observation", "1"))
    assert await store.newest(("Patient", "Consent")) == first.seq
    second = await commit(store, post("Consent", "1"))
    assert await store.newest(("Patient", "Consent")) == second.seq
    gone = await commit(store, delete("Patient", "1"))
    assert await store.newest(("Patient", "Consent")) == gone.seq
    assert await store.newest(("Consent",)) == second.seq
    assert await store.newest(()) == 0
