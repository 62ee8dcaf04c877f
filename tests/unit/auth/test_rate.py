"""How failures are counted: over all processes, over a restart, of many at once."""

from __future__ import annotations

import asyncio

import pytest

from fhirserver.auth.rate import Failures, TooMany
from fhirserver.storage.sqlite import SqliteStore

MINUTE = 60_000_000
START = 1_700_000_040_000_000  # a minute begins


@pytest.fixture
def now():
    return [START]


@pytest.fixture
async def store(tmp_path, now):
    opened = SqliteStore(tmp_path / "rate.db", clock=lambda: now[0])
    await opened.open()
    yield opened
    await opened.close()


async def test_failures_are_forgiven_after_their_window(store, now):
    failures = Failures(store, lambda: now[0])
    for _ in range(20):
        await failures.check("1.1.1.1", "a")
        await failures.failed("1.1.1.1", "a")
    with pytest.raises(TooMany) as over:
        await failures.check("1.1.1.1", "a")
    assert 1 <= over.value.seconds <= 61
    await failures.check("1.1.1.1", "b")
    await failures.check("2.2.2.2", "a")  # nobody locks another out from afar
    now[0] += MINUTE
    await failures.check("1.1.1.1", "a")
    for n in range(60):
        await failures.failed("1.1.1.1", f"c{n}")
    with pytest.raises(TooMany):
        await failures.check("1.1.1.1", "new")


async def test_processes_count_together_and_a_restart_forgets_nothing(store, now):
    one, other = (Failures(store, lambda: now[0]) for _ in range(2))
    for n in range(20):
        await (one, other)[n % 2].failed("1.1.1.1", "a")
    for failures in (one, other, Failures(store, lambda: now[0])):
        with pytest.raises(TooMany):
            await failures.check("1.1.1.1", "a")
        await failures.check("1.1.1.1", "b")


async def test_of_many_at_once_the_limit_is_told_what_came_of_them(store, now):
    processes = [Failures(store, lambda: now[0]) for _ in range(3)]
    told = await asyncio.gather(
        *(processes[n % 3].failed("1.1.1.1", "a") for n in range(90)), return_exceptions=True
    )
    assert all(isinstance(each, TooMany | None) for each in told)
    assert told.count(None) <= 20
    assert sum(int(grant.value) for grant in await store.list_grants("failures")) == 180


async def test_what_is_over_is_refused_without_writing(store, now):
    failures = Failures(store, lambda: now[0], kind="begun", per_address=2)
    for _ in range(2):
        await failures.failed("1.1.1.1")
    for _ in range(3):
        with pytest.raises(TooMany):
            await failures.failed("1.1.1.1")
    assert [int(grant.value) for grant in await store.list_grants("begun")] == [3]
    assert await store.list_grants("failures") == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),  # one subscriber's network
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:1.1.1.1", "1.1.1.1", True),
        ("1.1.1.1", "1.1.1.2", False),
        ("testclient", "testclient", True),
    ],
)
async def test_addresses_of_one_subscriber_count_together(store, now, one, other, same):
    failures = Failures(store, lambda: now[0], per_address=1)
    await failures.failed(one)
    if same:
        with pytest.raises(TooMany):
            await failures.check(other)
    else:
        await failures.check(other)


async def test_the_store_does_not_tell_who_tried_what(store, now):
    await Failures(store, lambda: now[0]).failed("203.0.113.7", "carnet")
    for grant in await store.list_grants("failures"):
        assert "203.0.113.7" not in grant.key
        assert "carnet" not in grant.key
