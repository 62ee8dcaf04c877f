"""A clock for the engines that never stands still."""

from __future__ import annotations

START = 1_700_000_000_000_000
STEP = 1000


class Clock:
    """Microseconds since 1970, a millisecond later at every look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += STEP
        return self.now
