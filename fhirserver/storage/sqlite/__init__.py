"""The embedded storage engine: one SQLite file (docs/decisions/0002-sqlite-shape.md)."""

from fhirserver.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
