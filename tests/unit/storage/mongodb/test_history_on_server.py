from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import stored_resources as resources

from fhirserver.model.version import HistorySelection
from fhirserver.storage.interface import InvalidCursor
from fhirserver.storage.mongodb import sequence


@pytest.fixture
def clock(store, monkeypatch):
    """Times of commits: 1 ms, 2 ms, ..."""
    now = {"milliseconds": 0}

    def tick() -> int:
        now["milliseconds"] += 1
        return now["milliseconds"] * 1000

    monkeypatch.setattr(store._writer, "_clock", tick)
    return now


async def _story(store) -> None:
    """1: A/1 v1, 2: B/1 v1, 3: A/1 v2, 4: A/1 deleted, 5: A/2 v1, 6: A/1 v4"""
    for change in (
        resources.put("A", "1"),
        resources.put("B", "1"),
        resources.put("A", "1"),
        resources.delete("A", "1"),
        resources.put("A", "2"),
        resources.put("A", "1"),
    ):
        await store.commit([change])


async def _all(store, **selection) -> list[str]:
    names, after = [], None
    while True:
        page = await store.history(HistorySelection(**selection, count=2, after=after))
        names += [f"{v.type}/{v.id}/{v.version}" for v in page.versions]
        after = page.next
        if after is None:
            return names


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        ({}, "A/1/4 A/2/1 A/1/3 A/1/2 B/1/1 A/1/1"),
        ({"types": ("B",)}, "B/1/1"),
        ({"type": "A"}, "A/1/4 A/2/1 A/1/3 A/1/2 A/1/1"),
        ({"type": "A", "id": "1"}, "A/1/4 A/1/3 A/1/2 A/1/1"),
        ({"type": "A", "id": "9"}, ""),
        ({"type": "A", "since": 3000}, "A/1/4 A/2/1 A/1/3 A/1/2"),
        ({"at": (0, 1000)}, ""),
        ({"at": (1000, 2000)}, "A/1/1"),
        ({"at": (2500, 2501)}, "B/1/1 A/1/1"),
        ({"at": (3000, 4001)}, "A/1/3 A/1/2 B/1/1"),
        ({"at": (9000, 9001)}, "A/1/4 A/2/1 B/1/1"),
        ({"type": "A", "id": "1", "at": (2000, 5000)}, "A/1/3 A/1/2 A/1/1"),
        ({"type": "A", "at": (2000, 5000), "since": 3000}, "A/1/3 A/1/2"),
    ],
)
async def test_history_selects_and_pages(store, clock, selection, wanted):
    await _story(store)
    assert await _all(store, **selection) == wanted.split()
    assert await store.history_count(HistorySelection(**selection)) == len(wanted.split())


async def test_history_cursor_of_another_selection_is_refused(store):
    await _story(store)
    page = await store.history(HistorySelection("A", count=1))
    with pytest.raises(InvalidCursor):
        await store.history(HistorySelection("B", after=page.next))


async def test_times_follow_the_order_of_commits_when_a_clock_goes_back(store, clock):
    await store.commit([resources.put("A", "1")])
    clock["milliseconds"] = 50
    await store.commit([resources.put("A", "2")])
    clock["milliseconds"] = 10
    await store.commit([resources.put("A", "3")])
    assert [v.updated for v in [v async for v in store.changes()]] == [1000, 51000, 51000]


async def test_follower_waits_for_a_lower_number_that_is_not_yet_visible(store, monkeypatch):
    monkeypatch.setattr(sequence, "PATIENCE", 0.05)
    await store.commit([resources.put("A", "1")])
    slow = await store._sequence.reserve(1, 0)
    await store.commit([resources.put("A", "2")])
    assert [v.id async for v in store.changes()] == ["1"]
    await store._sequence.release(slow)
    assert [v.id async for v in store.changes(1)] == ["2"]


async def test_reservation_of_a_dead_writer_ends(store, database):
    await store._sequence.reserve(1, 0)
    await store.commit([resources.put("A", "1")])
    document = await database.counters.find_one()
    [slot] = document["open"]
    await database.counters.update_one(
        {}, {"$set": {f"open.{slot}.until": datetime.now(UTC) - timedelta(seconds=1)}}
    )
    assert "order of commits" in " ".join(await store.check())
    assert [v.id async for v in store.changes()] == ["1"]
    assert await store.check() == []


async def test_writer_that_outlives_its_reservation_is_seen_by_followers(store, monkeypatch):
    """The follower passes the number before the version is visible."""
    monkeypatch.setattr(sequence, "TERM", timedelta(seconds=-1))
    seen = []
    compare_and_set = store._writer._compare_and_set

    async def late(writes):
        seen.extend([v.seq async for v in store.changes()])
        monkeypatch.setattr(sequence, "TERM", timedelta(seconds=60))
        await store._sequence.release(await store._sequence.reserve(1, 0))
        seen.append(await store._sequence.settled())
        return await compare_and_set(writes)

    monkeypatch.setattr(store._writer, "_compare_and_set", late)
    [made] = await store.commit([resources.put("A", "1")])
    assert seen == [2]
    assert [v async for v in store.changes(2)] == [made]
    assert (await store.read("A", "1")).seq == made.seq == 3
