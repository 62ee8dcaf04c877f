"""Goes through the log after its writers, chain by chain, and remembers how far it came.

How far a chain is done is a grant of the follower's own kind; it is written after the work, so
after a crash some work is done again and none is left out. The work must bear that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhirserver.storage.interface import Block, Head, Store

_BLOCKS = 20
#: Year 4000: such grants end by being replaced.
NEVER = 64_060_588_800_000_000


class Follower:
    """`work` is given blocks of one chain in their order. `kind`: of its grants."""

    def __init__(
        self, store: Store, kind: str, work: Callable[[list[Block]], Awaitable[None]]
    ) -> None:
        self._store = store
        self._kind = kind
        self._work = work
        self._done: dict[str, int] = {}
        self._lock = asyncio.Lock()
        self._turn = 0

    async def done(self, chain: str) -> int:
        """The number of the block up to which a chain is worked off, by whichever process."""
        grant = await self._store.get_grant(self._kind, chain)
        kept = self._done.get(chain, 0)
        return kept if grant is None else max(kept, int(grant.value))

    async def catch_up(self, most: int | None = None) -> int:
        """Work off what was logged until now, at most about `most` blocks; how many there were."""
        async with self._lock:
            worked = 0
            heads = await self._store.log_heads()
            # Another chain comes first each time: one that grows fast holds up none for ever.
            self._turn = (self._turn + 1) % (len(heads) or 1)
            for head in heads[self._turn :] + heads[: self._turn]:
                if self._done.get(head.chain, 0) >= head.number:
                    continue
                worked += await self._chain(head, None if most is None else most - worked)
                if most is not None and worked >= most:
                    break
            return worked

    async def _chain(self, head: Head, most: int | None) -> int:
        grant = await self._store.get_grant(self._kind, head.chain)
        done = 0 if grant is None else int(grant.value)
        begin = done
        while done < head.number and (most is None or done - begin < most):
            left = _BLOCKS if most is None else min(_BLOCKS, most - (done - begin))
            blocks = await self._store.read_log(head.chain, done, left)
            if not blocks:  # a broken chain: `fhirserver audit verify` tells
                done = head.number
                break
            await self._work(blocks)
            done = blocks[-1].number
            await self._store.put_grant(Grant(self._kind, head.chain, b"%d" % done, NEVER))
        self._done[head.chain] = done
        return done - begin
