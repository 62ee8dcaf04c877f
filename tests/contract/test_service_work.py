"""What services rest on: leases, following commits, and the server's own drafts."""

from __future__ import annotations

import asyncio

import pytest
from resources import commit, delete, post

from fhirserver.access.lease import Lease
from fhirserver.access.store import PermittedStore
from fhirserver.app import context_of
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.service import Job, follow, work

START = 1_700_000_000_000_000


@pytest.fixture
def clock():
    return [START]


@pytest.fixture
async def timed(engine, tmp_path, clock):
    store = await engine.create(tmp_path, clock=lambda: clock[0])
    yield store
    await engine.discard(store)


def lease(store, clock, process, name="job/x"):
    return Lease(store, name, process, lambda: clock[0])


async def test_one_process_at_a_time_holds_a_lease(timed, clock):
    mine, other = lease(timed, clock, "a"), lease(timed, clock, "b")
    assert await mine.hold(10)
    assert not await other.hold(10)
    clock[0] += 3_000_000
    assert await mine.hold(10)
    assert (await timed.get_grant("lease", "job/x")).expires == START + 10_000_000  # not written
    clock[0] += 6_000_000
    assert await mine.hold(10)  # kept for longer
    clock[0] += 9_000_000
    assert not await other.hold(10)
    clock[0] += 2_000_000
    assert await other.hold(10)
    assert not await mine.hold(10)


async def test_a_lease_let_go_is_free_and_only_its_own(timed, clock):
    mine, other = lease(timed, clock, "a"), lease(timed, clock, "b")
    assert await mine.hold(10)
    await other.release()
    assert not await other.hold(10)
    await mine.release()
    assert await other.hold(10)


async def test_of_many_at_once_one_gets_the_lease(timed, clock):
    many = [lease(timed, clock, str(number)) for number in range(20)]
    assert sum(await asyncio.gather(*(each.hold(10) for each in many))) == 1


async def test_following_sees_each_commit_of_its_types_once_and_in_order(store):
    ctx = context_of(store, Registry())
    seen = []

    async def step(ctx, version):
        seen.append((version.type, version.id, version.deleted))

    await commit(store, post("Patient", "1"))
    await commit(store, post("Observation", "1"))
    await follow(ctx, "test", frozenset({"Patient"}), step)
    await commit(store, post("Patient", "2"))
    await commit(store, delete("Patient", "1"))
    await follow(ctx, "test", frozenset({"Patient"}), step)
    await follow(ctx, "test", frozenset({"Patient"}), step)
    assert seen == [("Patient", "1", False), ("Patient", "2", False), ("Patient", "1", True)]


async def test_a_follower_does_not_look_again_at_what_others_wrote(store):
    ctx = context_of(store, Registry())

    async def step(ctx, version):
        raise AssertionError

    await commit(store, post("Observation", "1"))
    await follow(ctx, "test", frozenset({"Patient"}), step)
    assert int(await store.get_state("followed/test")) == await store.settled()


async def test_what_a_follower_failed_at_comes_again(store):
    ctx = context_of(store, Registry())
    seen = []

    async def step(ctx, version):
        seen.append(version.id)
        if seen == ["1", "2"]:
            raise ConnectionError

    for id in ("1", "2", "3"):
        await commit(store, post("Patient", id))
    with pytest.raises(ConnectionError):
        await follow(ctx, "test", frozenset({"Patient"}), step)
    await follow(ctx, "test", frozenset({"Patient"}), step)
    assert seen == ["1", "2", "2", "3"]


async def test_a_job_is_done_by_one_of_several_processes_and_outlives_a_failure(store):
    ctx = context_of(store, Registry())
    done = []

    def job(process):
        async def run(ctx):
            assert isinstance(ctx.store, PermittedStore)
            done.append(process)
            if len(done) == 1:
                raise ConnectionError

        return Job("test", 0.02, run)

    workers = [asyncio.create_task(work(store, ctx, [job(process)])) for process in "ab"]
    for _ in range(500):
        await asyncio.sleep(0.02)
        if len(done) >= 3:
            break
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert len(done) >= 3
    assert len(set(done)) == 1
