"""Forgets what the log has held long enough.

Only whole blocks go, from the beginning of a chain, that are intact and that nothing still has to
be made of. The hash of the last one gone is kept (`PRUNED`), so that the rest can be verified; and
the chain of the process that took them away bears witness of it, so that nobody can pass off a
chain cut by somebody else as one of these. AuditEvents made of the log stay: they are the citizen's
(EHDS (EU) 2025/327 art. 9: at least three years).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog

from fhirserver.access.audit.follow import NEVER
from fhirserver.access.audit.record import Record, decode_block, encode
from fhirserver.storage.chain import link
from fhirserver.storage.interface import Grant, Head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fhirserver.storage.interface import Store

PRUNED = "audit-pruned"
_BLOCKS = 200  # taken away at a time

_log = structlog.get_logger("fhirserver")


async def pruned_heads(store: Store) -> dict[str, Head]:
    """Where each chain was cut: its last block that is gone."""
    found = {}
    for grant in await store.list_grants(PRUNED):
        number, hash = msgspec.json.decode(grant.value, type=tuple[int, str])
        found[grant.key] = Head(grant.key, number, hash)
    return found


async def prune(
    store: Store,
    before: int,
    done: Callable[[str], Awaitable[int]],
    append: Callable[[Sequence[bytes]], Awaitable[None]],
    now: int,
) -> int:
    """Take away the blocks whose last record is older than `before` (microseconds since 1970).
    `done`: how far everything has been made of a chain. `append`: writes to this process's own
    chain. Returns how many blocks are gone."""
    kept = await pruned_heads(store)
    gone = 0
    for head in await store.log_heads():
        while True:
            cut = kept.get(head.chain, Head(head.chain, 0, ""))
            last = await _old(store, cut, before, await done(head.chain))
            if last is None:
                break
            # First where the chain is cut, and a witness of it: if the rest does not come to be,
            # the blocks are there to be taken away the next time.
            kept[head.chain] = last
            value = msgspec.json.encode((last.number, last.hash))
            await store.put_grant(Grant(PRUNED, head.chain, value, NEVER))
            await append([witness(now, kept)])
            gone += await store.drop_log(head.chain, last.number)
            _log.info("audit pruned", head=f"{last.chain}:{last.number}:{last.hash}")
    return gone


def witness(now: int, cut: dict[str, Head]) -> bytes:
    """A record of where chains were cut."""
    return encode(Record(now, pruned={c: (head.number, head.hash) for c, head in cut.items()}))


async def _old(store: Store, cut: Head, before: int, done: int) -> Head | None:
    """The end of the next blocks of a chain that may go; None if there are none."""
    found = None
    previous, number = cut.hash, cut.number
    for block in await store.read_log(cut.chain, cut.number, _BLOCKS):
        number += 1
        records = decode_block(block.content)
        young = any(record.time >= before for record in records)
        if young or block.number > done:
            break
        if block.number != number or block.hash != link(
            previous, block.chain, number, block.content
        ):
            _log.error("audit log not pruned: a chain is broken", chain=cut.chain, block=number)
            break
        previous = block.hash
        found = Head(block.chain, number, block.hash)
    return found
