"""The garbage collector during a load.

What a load makes lives until it is committed, hundreds of thousands of objects without a cycle
among them. The collector's usual habit, to look at all young ones for each 700 made, took a third
of the writing process's time.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def rarely_collecting() -> Iterator[None]:
    before = gc.get_threshold()
    begin_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def begin_rarely() -> None:
    """From here on what is there already is passed over, and what comes is looked at seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
