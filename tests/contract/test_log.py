"""The log: appended whole, in order, chained, with or without changes."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resources import put

from fhirserver.model.version import ABSENT
from fhirserver.storage.chain import Chain, content_of, link
from fhirserver.storage.interface import VersionConflict


async def blocks_of(store, chain, limit=100):
    found = []
    while page := await store.read_log(chain, found[-1].number if found else 0, limit):
        found += page
    return found


async def records_of(store):
    return [
        record
        for head in await store.log_heads()
        for block in await blocks_of(store, head.chain)
        for record in json.loads(block.content)
    ]


def record(number):
    return b'{"n":%d,"text":"\xc3\xa9"}' % number


async def test_an_empty_log_has_no_chains(store):
    assert await store.log_heads() == []
    assert await store.read_log("none", 0, 10) == []


async def test_records_come_back_in_order(store):
    for number in range(5):
        await store.append_log([record(2 * number), record(2 * number + 1)])
    assert [r["n"] for r in await records_of(store)] == list(range(10))
    assert (await records_of(store))[0] == {"n": 0, "text": "é"}


async def test_blocks_are_linked_and_the_head_is_the_last(store):
    for number in range(4):
        await store.append_log([record(number)])
    (head,) = await store.log_heads()
    previous = ""
    blocks = await blocks_of(store, head.chain, limit=2)
    assert [b.number for b in blocks] == [1, 2, 3, 4]
    for block in blocks:
        assert block.hash == link(previous, block.chain, block.number, block.content)
        previous = block.hash
    assert (head.number, head.hash) == (4, previous)


async def test_appends_at_once_share_blocks_and_none_is_lost(store):
    await asyncio.gather(*(store.append_log([record(n)]) for n in range(200)))
    (head,) = await store.log_heads()
    assert head.number < 100
    assert sorted(r["n"] for r in await records_of(store)) == list(range(200))


async def test_every_open_store_has_a_chain_of_its_own(engine, store):
    other = await engine.again(store)
    try:
        await asyncio.gather(
            *((store, other)[n % 2].append_log([record(n)]) for n in range(20)),
        )
        heads = await store.log_heads()
        assert len(heads) == 2
        assert [h.chain for h in heads] == sorted(h.chain for h in heads)
        assert sorted(r["n"] for r in await records_of(other)) == list(range(20))
    finally:
        await other.close()


async def test_a_commit_logs_with_the_change(store):
    (version,) = await store.commit([put("Patient", "1")], (), [record(1)])
    assert version.version == 1
    assert [r["n"] for r in await records_of(store)] == [1]


async def test_no_change_is_without_its_record(store):
    """A refused change may leave a record (the caller logs the refusal after it), never the
    other way round."""
    await store.commit([put("Patient", "1")], (), [record(1)])
    with pytest.raises(VersionConflict):
        await store.commit([put("Patient", "1", expect=ABSENT)], (), [record(2)])
    await store.commit([put("Patient", "2")], (), [record(3)])
    numbers = [r["n"] for r in await records_of(store)]
    assert [n for n in numbers if n != 2] == [1, 3]


async def test_the_log_outlives_the_process(engine, store):
    await store.append_log([record(1)])
    other = await engine.again(store)
    try:
        assert [r["n"] for r in await records_of(other)] == [1]
    finally:
        await other.close()


@given(st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=4), max_size=20))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_chain_links_whatever_is_appended(batches):
    chain = Chain()
    previous = ""
    for number, records in enumerate(batches, 1):
        block = chain.block(records)
        chain.kept()
        assert block.number == number
        assert block.hash == link(previous, block.chain, number, content_of(records))
        previous = block.hash


def test_what_was_not_kept_is_followed_by_another_chain():
    chain = Chain()
    first = chain.block([b"{}"])
    chain.leave()
    second = chain.block([b"{}"])
    assert second.number == 1
    assert second.chain != first.chain


async def test_the_beginning_of_a_chain_can_be_dropped_and_the_rest_goes_on(store):
    for number in range(5):
        await store.append_log([record(number)])
    (head,) = await store.log_heads()
    assert await store.drop_log(head.chain, 3) == 3
    assert await store.drop_log(head.chain, 3) == 0
    assert await store.drop_log("none", 3) == 0
    assert [b.number for b in await blocks_of(store, head.chain)] == [4, 5]
    assert await store.log_heads() == [head]
    await store.append_log([record(5)])
    six = (await blocks_of(store, head.chain))[-1]
    assert six.hash == link(head.hash, head.chain, 6, six.content)


async def test_a_chain_dropped_whole_is_gone_and_goes_on(store):
    await store.append_log([record(0)])
    (head,) = await store.log_heads()
    assert await store.drop_log(head.chain, 1) == 1
    assert await store.log_heads() == []
    await store.append_log([record(1)])
    (block,) = await blocks_of(store, head.chain)
    assert (block.number, block.hash) == (2, link(head.hash, head.chain, 2, block.content))
