"""Database URLs and the storage engines they name."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fhirserver.app.refusal import StartRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.storage.interface import Store


def _sqlite(url: str) -> Store:
    from fhirserver.storage.sqlite import SqliteStore

    path = url.removeprefix("sqlite://").removeprefix("/")
    if not path:
        path = str(Path(tempfile.mkdtemp(prefix="fhirserver-")) / "fhirserver.db")
    return SqliteStore(path)


def _mongodb(url: str) -> Store:
    from fhirserver.storage.mongodb import MongoStore

    return MongoStore(url)


#: URL scheme -> engine. A new engine is a line here.
ENGINES: dict[str, Callable[[str], Store]] = {
    "sqlite": _sqlite,
    "mongodb": _mongodb,
    "mongodb+srv": _mongodb,
}


def open_engine(url: str) -> Store:
    """The store a database URL names, not yet open."""
    scheme = url.partition("://")[0]
    engine = ENGINES.get(scheme)
    if engine is None or "://" not in url:
        known = ", ".join(f"{name}://" for name in ENGINES)
        raise StartRefused(f"The database URL must begin with one of {known}")
    return engine(url)
