"""What holds for every test."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Servers within the test process leave cycles, and the collector of a server runs rarely."""
    yield
    gc.collect()
