"""Of many processes on one store, one at a time holds a lease, until it lets go or ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.storage.interface import Store

_KIND = "lease"


class Lease:
    """The lease `name`, for the process that calls itself `process`. `clock`: microseconds."""

    def __init__(self, store: Store, name: str, process: str, clock: Callable[[], int]) -> None:
        self._store = store
        self._name = name
        self._process = process.encode()
        self._clock = clock

    async def hold(self, seconds: float) -> bool:
        """Take it, or keep it, for so long from now; whether this process has it. It is written
        anew only when half of the time is over: a durable write is not for every round."""
        now, span = self._clock(), int(seconds * 1_000_000)
        until = now + span
        grant = Grant(_KIND, self._name, self._process, until)
        held = await self._store.get_grant(_KIND, self._name)
        if held is None:
            return await self._store.add_grant(grant)
        if held.value == self._process and held.expires - now > span // 2:
            return True
        return held.value == self._process and await self._store.swap_grant(held, grant)

    async def release(self) -> None:
        """Let go of it, if this process has it."""
        held = await self._store.get_grant(_KIND, self._name)
        if held is not None and held.value == self._process:
            await self._store.drop_grants(kind=_KIND, key=self._name)
