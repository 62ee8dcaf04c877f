"""How many failures a minute are borne: sign-ins and token requests that go wrong.

Counted in the store, in fixed windows, so that the limits hold over all processes of a server and
over a restart. Failures count per address, and per account as tried from one address, so that
nobody can lock another's account from afar. Of IPv6 the network of 64 bits is the address: one
subscriber has all of it.
"""

from __future__ import annotations

import asyncio
import hashlib
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.storage.interface import Store

KIND = "failures"
WINDOW = 60
PER_ACCOUNT = 20
PER_ADDRESS = 60
#: Authorization requests begun from one address; a hospital may have one for all its people.
BEGUN = 600
_MICROSECONDS = 1_000_000
_MOST = 50_000  # so many are known to be over without a look at the store


class TooMany(Exception):
    """Come back after `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many failures; try again in {seconds} s")
        self.seconds = seconds


class Failures:
    """`now`: microseconds since 1970. `per_address`: how many from one address; requests that are
    kept for a while count too, by an instance of another `kind`."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], int],
        *,
        kind: str = KIND,
        per_address: int = PER_ADDRESS,
    ) -> None:
        self._store = store
        self._now = now
        self._kind = kind
        self._per_address = per_address
        self._window = 0
        self._over: set[str] = set()
        self._uncounted: dict[str, int] = {}
        self._counting: dict[str, asyncio.Task[int]] = {}

    async def check(self, address: str, account: str = "") -> None:
        """Raises TooMany."""
        limits = self._limits(address, account)
        held = await asyncio.gather(*(self._store.get_grant(self._kind, key) for key in limits))
        counts = [0 if grant is None else int(grant.value) for grant in held]
        self._judge(limits, [count + 1 for count in counts])

    async def failed(self, address: str, account: str = "") -> None:
        """Count one. Raises TooMany when it is one too many: of many at once no more than the
        limit are told what came of them."""
        limits = self._limits(address, account)
        self._judge(limits, await asyncio.gather(*map(self._count, limits)))

    def _judge(self, limits: dict[str, int], counts: list[int]) -> None:
        over = [
            key for (key, borne), count in zip(limits.items(), counts, strict=True) if count > borne
        ]
        if over:
            if len(self._over) < _MOST:
                self._over.update(over)
            raise self._too_many()

    def _too_many(self) -> TooMany:
        end = (self._window + 1) * WINDOW * _MICROSECONDS
        return TooMany(max(1, (end - self._now()) // _MICROSECONDS + 1))

    def _limits(self, address: str, account: str) -> dict[str, int]:
        """What is counted now, with its limit. Raises TooMany for what is known to be over."""
        window = self._now() // (WINDOW * _MICROSECONDS)
        if window != self._window:
            self._window = window
            self._over.clear()
        network = _network(address)
        limits = {self._key(network): self._per_address}
        if account:
            limits[self._key(network, account[:200])] = PER_ACCOUNT
        if not self._over.isdisjoint(limits):
            raise self._too_many()
        return limits

    def _key(self, *parts: str) -> str:
        """Hashed: who tried what is nothing the database should tell."""
        return hashlib.sha256("\0".join((str(self._window), *parts)).encode()).hexdigest()

    async def _count(self, key: str) -> int:
        """One more. Those of this process that come while one is being written are written
        together after it."""
        self._uncounted[key] = self._uncounted.get(key, 0) + 1
        while key in self._uncounted:
            task = self._counting.get(key)
            if task is None:
                task = self._counting[key] = asyncio.ensure_future(self._write(key))
            count = await asyncio.shield(task)
        return count

    async def _write(self, key: str) -> int:
        try:
            more = self._uncounted.pop(key)
            expires = (self._window + 1) * WINDOW * _MICROSECONDS
            while True:
                held = await self._store.get_grant(self._kind, key)
                if held is None:
                    if await self._store.add_grant(Grant(self._kind, key, b"%d" % more, expires)):
                        return more
                    if self._now() >= expires:  # the store forgets it at once
                        return more
                else:
                    count = int(held.value) + more
                    new = Grant(self._kind, key, b"%d" % count, held.expires)
                    if await self._store.swap_grant(held, new):
                        return count
        finally:
            del self._counting[key]


def _network(address: str) -> str:
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(IPv6Address(int(ip) >> 64 << 64))
    return address
