"""The embedded engine for the contract suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "sqlite"


def unavailable() -> str | None:
    """Why this engine cannot be tested here; None when it can."""
    return None


async def create(folder: Path, clock: Callable[[], int] | None = None) -> SqliteStore:
    """An open store on a new, empty database. `clock` gives microseconds since 1970."""
    path = folder / "contract.db"
    store = SqliteStore(path) if clock is None else SqliteStore(path, clock=clock)
    await store.open()
    return store


async def again(store: SqliteStore) -> SqliteStore:
    """Another open store on the database of `store`, as a second process would have it."""
    other = SqliteStore(store._path)
    await other.open()
    return other


async def discard(store: SqliteStore) -> None:
    """Close the store and remove its database (pytest removes the folder)."""
    await store.close()
