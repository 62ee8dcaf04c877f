"""Checks the chains of the log: whether anything was changed, removed, inserted or reordered.

A chain is checked against itself; its end against the heads that are kept apart: stored ones, and
those that later chains bear witness of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fhirserver.access.audit.follow import NEVER
from fhirserver.access.audit.record import Record, decode_block, encode
from fhirserver.access.audit.retention import pruned_heads
from fhirserver.storage.chain import link
from fhirserver.storage.interface import Grant, Head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from fhirserver.storage.interface import Block, Store

KIND = "audit-head"
_BLOCKS = 200


@dataclass(frozen=True, slots=True)
class Broken:
    """The first broken link of a chain: what is wrong at block `number`."""

    chain: str
    number: int
    problem: str

    def __str__(self) -> str:
        return f"chain {self.chain}, block {self.number}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Verdict:
    chains: int
    blocks: int
    records: int
    broken: tuple[Broken, ...]


async def store_heads(store: Store) -> list[Head]:
    """Keep the end of every chain beside the log, so that cutting a chain shorter shows."""
    heads = await store.log_heads()
    for head in heads:
        value = msgspec.json.encode((head.number, head.hash))
        held = await store.get_grant(KIND, head.chain)
        if held is None or msgspec.json.decode(held.value)[0] < head.number:
            await store.put_grant(Grant(KIND, head.chain, value, NEVER))
    return heads


def witness(now: int, heads: Sequence[Head]) -> bytes:
    """A record in one chain of the ends of the others."""
    return encode(Record(now, heads={head.chain: (head.number, head.hash) for head in heads}))


async def verify(store: Store, kept: Sequence[Head] = ()) -> Verdict:
    """Check every chain. `kept`: heads known from elsewhere (a log file, a printed page)."""
    cut = await pruned_heads(store)
    witnessed: set[tuple[str, int, str]] = set()
    expected: dict[str, dict[int, str]] = {}
    for grant in await store.list_grants(KIND):
        number, hash = msgspec.json.decode(grant.value, type=tuple[int, str])
        expected.setdefault(grant.key, {})[number] = hash
    for head in kept:
        expected.setdefault(head.chain, {})[head.number] = head.hash
    broken: list[Broken] = []
    ends: dict[str, int] = {}
    blocks = records = 0
    for head in await store.log_heads():
        begin = cut.get(head.chain, Head(head.chain, 0, ""))
        previous, number = begin.hash, begin.number
        async for block in blocks_of(store, head.chain, begin.number):
            problem = _problem(block, number + 1, previous)
            if problem:
                broken.append(Broken(head.chain, number + 1, problem))
                break
            previous, number = block.hash, block.number
            blocks += 1
            for record in decode_block(block.content):
                records += 1
                for chain, (at, hash) in record.heads.items():
                    expected.setdefault(chain, {})[at] = hash
                witnessed.update((chain, at, hash) for chain, (at, hash) in record.pruned.items())
        ends[head.chain] = number
    told = {one.chain for one in broken}
    for chain, begin in sorted(cut.items()):
        if chain not in told and (chain, begin.number, begin.hash) not in witnessed:
            broken.append(Broken(chain, begin.number, "cut here, of which no chain bears witness"))
        ends.setdefault(chain, begin.number)
    told = {one.chain for one in broken}
    for chain, heads in sorted(expected.items()):
        if chain not in told:
            begin = cut.get(chain, Head(chain, 0, ""))
            broken += await _against_heads(store, chain, heads, ends.get(chain, 0), begin)
    return Verdict(len(ends), blocks, records, tuple(broken))


def _problem(block: Block, number: int, previous: str) -> str:
    if block.number != number:
        return f"missing (block {block.number} follows block {number - 1})"
    if link(previous, block.chain, number, block.content) != block.hash:
        return "its content, its place or a block before it was changed"
    try:
        decode_block(block.content)
    except msgspec.DecodeError:
        return "its content is no list of records"
    return ""


async def _against_heads(
    store: Store, chain: str, heads: dict[int, str], end: int, cut: Head
) -> list[Broken]:
    for number, hash in sorted(heads.items()):
        if number < cut.number or (number, hash) == (cut.number, cut.hash):
            continue  # gone with what was pruned
        if number == cut.number:
            return [Broken(chain, number, "is not the block that was there before")]
        if number > end:
            return [Broken(chain, end + 1, f"missing; the chain went on to block {number}")]
        (block,) = await store.read_log(chain, number - 1, 1)
        if block.hash != hash:
            return [Broken(chain, number, "is not the block that was there before")]
    return []


async def blocks_of(store: Store, chain: str, after: int = 0) -> AsyncIterator[Block]:
    while page := await store.read_log(chain, after, _BLOCKS):
        for block in page:
            yield block
        after = page[-1].number
