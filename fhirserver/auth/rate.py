"""How many failures in a row are borne: sign-ins and token requests that go wrong.

Counted in this process, in fixed windows; each process of a server counts for itself. Failures
count per address, and per account as tried from one address, so that nobody can lock another's
account from afar.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 60
PER_ACCOUNT = 20
PER_ADDRESS = 60
#: Authorization requests begun from one address; a hospital may have one for all its people.
BEGUN = 600
_MOST = 50_000  # so many are counted at once


class TooMany(Exception):
    """Come back after `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many failures; try again in {seconds} s")
        self.seconds = seconds


class Failures:
    """`per_address`: how many from one address; requests that are kept for a while count too, by
    an instance of their own."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, per_address: int = PER_ADDRESS
    ) -> None:
        self._monotonic = monotonic
        self._per_address = per_address
        self._window = 0
        self._counts: dict[tuple[str, ...], int] = {}

    def check(self, address: str, account: str = "") -> None:
        """Raises TooMany."""
        now = self._monotonic()
        self._turn(now)
        over = self._counts.get((address,), 0) >= self._per_address
        if account:
            over = over or self._counts.get((address, account[:200]), 0) >= PER_ACCOUNT
        if over:
            raise TooMany(max(1, int((self._window + 1) * WINDOW - now) + 1))

    def failed(self, address: str, account: str = "") -> None:
        self._turn(self._monotonic())
        for key in ((address,), (address, account[:200])) if account else ((address,),):
            if key in self._counts or len(self._counts) < _MOST:
                self._counts[key] = self._counts.get(key, 0) + 1

    def _turn(self, now: float) -> None:
        window = int(now // WINDOW)
        if window != self._window:
            self._window = window
            self._counts.clear()
