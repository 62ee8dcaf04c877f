"""One suite for every storage engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clock import Clock
from engines import ENGINES, engine_named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fhirserver.storage.interface import Store


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Any:
    return engine_named(request.param)


@pytest.fixture
async def store(engine: Any, tmp_path: Path) -> AsyncIterator[Store]:
    store = await engine.create(tmp_path)
    yield store
    await engine.discard(store)


@pytest.fixture
async def ticking(engine: Any, tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose clock goes on by a millisecond whenever it is read: no two commits made one
    after the other share an instant."""
    store = await engine.create(tmp_path, Clock())
    yield store
    await engine.discard(store)
