"""Grants in SQLite: one row each, written by the writing thread alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

HANDLES = ("kind", "key", "family", "client", "patient")

_COLUMNS = "kind,key,value,expires,family,client,patient"
_WRITE = f"INTO grants({_COLUMNS}) VALUES(?,?,?,?,?,?,?)"
_READ = f"SELECT {_COLUMNS} FROM grants WHERE kind=? AND key=? AND expires>?"
_TAKE = f"DELETE FROM grants WHERE kind=? AND key=? RETURNING {_COLUMNS}"
_SWAP = (
    "UPDATE grants SET value=?,expires=?,family=?,client=?,patient=?"
    " WHERE kind=? AND key=? AND value=? AND expires>?"
)


def _row(grant: Grant) -> tuple[str | bytes | int, ...]:
    return (
        grant.kind,
        grant.key,
        grant.value,
        grant.expires,
        grant.family,
        grant.client,
        grant.patient,
    )


def put(connection: apsw.Connection, grant: Grant) -> None:
    connection.execute(f"INSERT OR REPLACE {_WRITE}", _row(grant))


def add(connection: apsw.Connection, grant: Grant, now: int) -> bool:
    connection.execute(
        "DELETE FROM grants WHERE kind=? AND key=? AND expires<=?", (grant.kind, grant.key, now)
    )
    connection.execute(f"INSERT OR IGNORE {_WRITE}", _row(grant))
    return connection.changes() > 0


def get(connection: apsw.Connection, kind: str, key: str, now: int) -> Grant | None:
    for row in connection.execute(_READ, (kind, key, now)):
        return Grant(*row)
    return None


def take(connection: apsw.Connection, kind: str, key: str, now: int) -> Grant | None:
    taken = [Grant(*row) for row in connection.execute(_TAKE, (kind, key))]
    return taken[0] if taken and taken[0].expires > now else None


def swap(connection: apsw.Connection, held: Grant, new: Grant, now: int) -> bool:
    connection.execute(
        _SWAP,
        (
            new.value,
            new.expires,
            new.family,
            new.client,
            new.patient,
            held.kind,
            held.key,
            held.value,
            now,
        ),
    )
    return connection.changes() > 0


def listed(connection: apsw.Connection, kind: str, now: int) -> list[Grant]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM grants WHERE kind=? AND expires>? ORDER BY key", (kind, now)
    )
    return [Grant(*row) for row in rows]


def drop(connection: apsw.Connection, handles: Mapping[str, str]) -> int:
    given = {name: handles[name] for name in HANDLES if handles.get(name)}
    if not given:
        raise ValueError("at least one handle has to be given")
    # The partial indexes serve only who says that the handle is not empty.
    condition = " AND ".join(f"{name}=? AND {name}<>''" for name in given)
    connection.execute(f"DELETE FROM grants WHERE {condition}", tuple(given.values()))
    return connection.changes()


def purge(connection: apsw.Connection, now: int) -> int:
    connection.execute("DELETE FROM grants WHERE expires<=?", (now,))
    return connection.changes()
