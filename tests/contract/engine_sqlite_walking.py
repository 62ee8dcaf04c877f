"""The embedded engine, made to take every criterion for unselective: it walks indexes in order
where it would otherwise collect and sort, as it does in a large database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_sqlite import discard, unavailable

from fhirserver.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["NAME", "create", "discard", "unavailable"]

NAME = "sqlite_walking"


async def create(folder: Path, clock: Callable[[], int]) -> SqliteStore:
    store = SqliteStore(folder / "contract.db", clock=clock, probe_limit=0)
    await store.open()
    return store
