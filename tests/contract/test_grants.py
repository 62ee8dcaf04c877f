"""Grants: written, read, taken once, swapped, withdrawn, forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fhirserver.storage.interface import Grant

START = 1_700_000_000_000_000


@pytest.fixture
def clock():
    return [START]


@pytest.fixture
async def grants(engine, tmp_path, clock):
    store = await engine.create(tmp_path, clock=lambda: clock[0])
    yield store
    await engine.discard(store)


def grant(key="k", value=b"v", kind="code", expires=START + 1000, **handles):
    return Grant(kind, key, value, expires, **handles)


async def test_a_grant_comes_back_whole(grants):
    whole = grant(value=b"\x00\xff", family="f", client="c", patient="p")
    await grants.put_grant(whole)
    assert await grants.get_grant("code", "k") == whole
    assert await grants.get_grant("code", "other") is None
    assert await grants.get_grant("access", "k") is None


async def test_putting_replaces(grants):
    await grants.put_grant(grant(family="f"))
    await grants.put_grant(grant(value=b"w", client="c"))
    assert await grants.get_grant("code", "k") == grant(value=b"w", client="c")


async def test_a_grant_is_put_by_many_at_once(grants):
    for key in map(str, range(5)):
        many = [grant(key=key, value=b"%d" % n) for n in range(20)]
        await asyncio.gather(*map(grants.put_grant, many))
        assert await grants.get_grant("code", key) in many


async def test_adding_keeps_what_is_there(grants):
    assert await grants.add_grant(grant())
    assert not await grants.add_grant(grant(value=b"w"))
    assert (await grants.get_grant("code", "k")).value == b"v"


async def test_an_expired_grant_is_none(grants, clock):
    await grants.put_grant(grant())
    await grants.put_grant(grant("t"))
    clock[0] += 1000
    assert await grants.get_grant("code", "k") is None
    assert await grants.take_grant("code", "t") is None
    assert not await grants.swap_grant(grant(), grant(value=b"w"))
    assert await grants.list_grants("code") == []
    assert await grants.add_grant(grant(value=b"new", expires=START + 5000))
    assert (await grants.get_grant("code", "k")).value == b"new"


async def test_of_many_takers_one_gets_it(engine, grants):
    other = await engine.again(grants)
    try:
        for number in range(3):
            await grants.put_grant(grant(f"k{number}", expires=2 * START))
            taken = await asyncio.gather(
                *(store.take_grant("code", f"k{number}") for store in [grants, other] * 10)
            )
            assert len([t for t in taken if t is not None]) == 1
    finally:
        await other.close()


async def test_of_many_adders_one_adds(engine, grants):
    other = await engine.again(grants)
    try:
        made = [grant(value=b"%d" % n, expires=2 * START) for n in range(20)]
        added = await asyncio.gather(
            *((grants, other)[n % 2].add_grant(each) for n, each in enumerate(made))
        )
        assert sum(added) == 1
        assert (await grants.get_grant("code", "k")).value == made[added.index(True)].value
    finally:
        await other.close()


async def test_of_many_swappers_one_swaps(engine, grants):
    other = await engine.again(grants)
    held = grant(expires=2 * START)
    try:
        await grants.put_grant(held)
        made = [replace(held, value=b"%d" % n) for n in range(20)]
        swapped = await asyncio.gather(
            *((grants, other)[n % 2].swap_grant(held, each) for n, each in enumerate(made))
        )
        assert sum(swapped) == 1
        assert (await grants.get_grant("code", "k")).value == made[swapped.index(True)].value
    finally:
        await other.close()


async def test_swapping_what_is_not_there_writes_nothing(grants):
    assert not await grants.swap_grant(grant(), grant(value=b"w"))
    assert await grants.get_grant("code", "k") is None


async def test_listing_is_by_key_and_of_one_kind(grants):
    for key in ("b", "a", "c"):
        await grants.put_grant(grant(key, kind="client"))
    await grants.put_grant(grant("d"))
    assert [g.key for g in await grants.list_grants("client")] == ["a", "b", "c"]


@pytest.mark.parametrize("handle", ["family", "client", "patient"])
async def test_grants_are_withdrawn_by_a_handle(grants, handle):
    await grants.put_grant(grant("a", **{handle: "x"}))
    await grants.put_grant(grant("b", kind="access", **{handle: "x"}))
    await grants.put_grant(grant("c", **{handle: "y"}))
    await grants.put_grant(grant("d"))
    assert await grants.drop_grants(**{handle: "x"}) == 2
    assert [g.key for g in await grants.list_grants("code")] == ["c", "d"]
    assert await grants.list_grants("access") == []


async def test_handles_narrow_each_other(grants):
    await grants.put_grant(grant("a", client="x", patient="p"))
    await grants.put_grant(grant("b", client="x", patient="q"))
    await grants.put_grant(grant("c", kind="access", client="x", patient="p"))
    assert await grants.drop_grants(kind="code", client="x", patient="p") == 1
    assert [g.key for g in await grants.list_grants("code")] == ["b"]
    assert await grants.drop_grants(kind="code", key="b") == 1


async def test_dropping_needs_a_handle(grants):
    await grants.put_grant(grant())
    with pytest.raises(ValueError, match="handle"):
        await grants.drop_grants(family="")
    assert await grants.get_grant("code", "k") is not None


async def test_purging_forgets_only_the_expired(grants, clock):
    await grants.put_grant(grant("old"))
    await grants.put_grant(grant("new", expires=START + 9000))
    clock[0] += 1000
    assert await grants.purge_grants() == 1
    assert await grants.purge_grants() == 0
    assert [g.key for g in await grants.list_grants("code")] == ["new"]


async def test_grants_outlive_the_process(engine, grants):
    await grants.put_grant(grant(expires=2 * START))
    other = await engine.again(grants)
    try:
        other._clock = grants._clock
        assert await other.get_grant("code", "k") is not None
    finally:
        await other.close()


async def test_check_finds_nothing_amiss(grants):
    assert await grants.check() == []
