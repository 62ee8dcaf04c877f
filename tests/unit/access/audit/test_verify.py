"""Whoever changes the log is found out."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirserver.access.audit.record import Record, encode
from fhirserver.access.audit.verify import Broken, store_heads, verify, witness
from fhirserver.storage.chain import content_of, link
from fhirserver.storage.interface import Block, Grant, Head
from fhirserver.storage.sqlite import SqliteStore


class Log:
    """A store of blocks in memory, open to tampering."""

    def __init__(self, *chains):
        self.chains = {}
        self.grants = {}
        for name, batches in chains:
            blocks, previous = [], ""
            for number, batch in enumerate(batches, 1):
                content = content_of([encode(r) for r in batch])
                previous = link(previous, name, number, content)
                blocks.append(Block(name, number, previous, content))
            self.chains[name] = blocks

    async def log_heads(self):
        return [
            Head(name, blocks[-1].number, blocks[-1].hash)
            for name, blocks in sorted(self.chains.items())
            if blocks
        ]

    async def read_log(self, chain, after, limit):
        return [b for b in self.chains.get(chain, []) if b.number > after][:limit]

    async def put_grant(self, grant):
        self.grants[grant.kind, grant.key] = grant

    async def get_grant(self, kind, key):
        return self.grants.get((kind, key))

    async def list_grants(self, kind):
        return [grant for (of, _), grant in self.grants.items() if of == kind]


def batches(count, start=0):
    return [[Record(start + n, "read", patient=str(n))] for n in range(count)]


async def broken(log, kept=()):
    return [(b.chain, b.number) for b in (await verify(log, kept)).broken]


async def test_an_untouched_log_verifies():
    verdict = await verify(Log(("a", batches(5)), ("b", batches(3))))
    assert (verdict.chains, verdict.blocks, verdict.records, verdict.broken) == (2, 8, 8, ())


@given(st.integers(1, 8), st.data())
@settings(deadline=None)
async def test_any_change_of_any_block_is_found_where_it_is(count, data):
    log = Log(("a", batches(count)))
    place = data.draw(st.integers(0, count - 1))
    block = log.chains["a"][place]
    at = data.draw(st.integers(0, len(block.content) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != block.content[at]))
    content = block.content[:at] + bytes([other]) + block.content[at + 1 :]
    log.chains["a"][place] = Block(block.chain, block.number, block.hash, content)
    assert await broken(log) == [("a", place + 1)]


@given(st.integers(2, 8), st.data())
@settings(deadline=None)
async def test_a_removed_block_is_found(count, data):
    log = Log(("a", batches(count)))
    place = data.draw(st.integers(0, count - 2))
    del log.chains["a"][place]
    assert await broken(log) == [("a", place + 1)]


@given(st.permutations(range(5)))
@settings(deadline=None)
async def test_any_reordering_is_found(order):
    log = Log(("a", batches(5)))
    blocks = log.chains["a"]
    log.chains["a"] = [
        Block("a", number, blocks[place].hash, blocks[place].content)
        for number, place in enumerate(order, 1)
    ]
    moved = [number for number, place in enumerate(order, 1) if place != number - 1]
    assert await broken(log) == ([("a", moved[0])] if moved else [])


async def test_a_block_of_another_chain_is_found():
    log = Log(("a", batches(2)), ("b", batches(2)))
    log.chains["b"][1] = Block("b", 2, log.chains["a"][1].hash, log.chains["a"][1].content)
    assert await broken(log) == [("b", 2)]


async def test_a_chain_cut_shorter_is_found_by_its_kept_end():
    log = Log(("a", batches(5)))
    await store_heads(log)
    del log.chains["a"][3:]
    verdict = await verify(log)
    assert verdict.broken == (Broken("a", 4, "missing; the chain went on to block 5"),)


async def test_a_chain_that_is_gone_is_found_by_its_kept_end():
    log = Log(("a", batches(2)), ("b", batches(2)))
    await store_heads(log)
    del log.chains["a"]
    assert await broken(log) == [("a", 1)]


async def test_a_chain_written_anew_is_found():
    log = Log(("a", batches(3)))
    await store_heads(log)
    forged = Log(("a", batches(3, start=100)))
    forged.grants = log.grants
    assert await broken(forged) == [("a", 3)]


async def test_a_later_chain_bears_witness_of_an_earlier_one():
    """Even when the kept ends are forged too."""
    log = Log(("a", batches(5)))
    heads = await store_heads(log)
    second = [msgspec_record(witness(1, heads))]
    log = Log(("a", batches(5)), ("b", [second, *batches(2)]))
    assert await broken(log) == []
    del log.chains["a"][4:]
    assert await broken(log) == [("a", 5)]


def msgspec_record(content):
    import msgspec

    return msgspec.json.decode(content, type=Record)


async def test_a_head_from_elsewhere_counts():
    log = Log(("a", batches(3)))
    (head,) = await log.log_heads()
    assert await broken(log, [head]) == []
    assert await broken(log, [Head("a", 4, "0" * 64)]) == [("a", 4)]
    assert await broken(log, [Head("a", 2, "0" * 64)]) == [("a", 2)]


async def test_kept_heads_only_grow():
    log = Log(("a", batches(3)))
    await store_heads(log)
    log.chains["a"].pop()
    await store_heads(log)
    assert log.grants["audit-head", "a"].value.startswith(b"[3,")
    assert isinstance(log.grants["audit-head", "a"], Grant)


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("UPDATE log SET content=replace(content,'Patient','Pattern') WHERE number=2", 2),
        ("DELETE FROM log WHERE number=2", 2),
        ("DELETE FROM log WHERE number=1", 1),
        ("UPDATE log SET number=number+1000; UPDATE log SET number=1004-number", 1),
    ],
)
async def test_tampering_with_the_database_file_is_found(tmp_path, statement, number):
    store = SqliteStore(tmp_path / "log.db")
    await store.open()
    for n in range(3):
        await store.append_log([encode(Record(n, "read", entities=(f"Patient/{n}",)))])
    assert (await verify(store)).broken == ()
    with apsw.Connection(str(tmp_path / "log.db")) as connection:
        connection.execute(
            statement.replace("content,", "CAST(content AS TEXT),")
            .replace("content=replace", "content=CAST(replace")
            .replace("'Pattern')", "'Pattern') AS BLOB)")
        )
    assert [b.number for b in (await verify(store)).broken] == [number]
    await store.close()
