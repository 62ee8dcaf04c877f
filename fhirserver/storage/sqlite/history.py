"""History interactions and the feed of changes, on one connection.

The current version of a resource lies in `resource`, the superseded ones in `history`, each with
the instant `until` which it was current; both have an index in the order of commits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.model.version import Page, Version
from fhirserver.storage.interface import InvalidCursor
from fhirserver.storage.sqlite import cursor

if TYPE_CHECKING:
    from collections.abc import Collection

    import apsw

    from fhirserver.model.version import HistorySelection
    from fhirserver.storage.sqlite.names import Names

NEWEST = (
    "(SELECT seq FROM resource INDEXED BY resource_updated"
    " WHERE type=(SELECT id FROM type WHERE name=?) ORDER BY updated DESC,seq DESC LIMIT 1)"
)
COLUMNS = "type,id,version,updated,method,content,key,seq"


def history(connection: apsw.Connection, names: Names, selection: HistorySelection) -> Page:
    """One page of versions, newest first."""
    name = cursor.digest(
        (selection.type, selection.id, selection.types, selection.since, selection.at)
    )
    before = None
    if selection.after is not None:
        before = cursor.read(selection.after, name, 2)
        if type(before[0]) is not int:
            raise InvalidCursor("not a cursor of this server")
    if selection.count <= 0:
        return Page([])
    arms, binds = _arms(connection, names, selection, before)
    if not arms:
        return Page([])
    sql = " UNION ALL ".join(arms) + " ORDER BY updated DESC, seq DESC LIMIT ?"
    rows = connection.execute(sql, (*binds, selection.count + 1)).fetchall()
    found = [version(names, row) for row in rows[: selection.count]]
    if len(rows) <= selection.count:
        return Page(found)
    return Page(found, cursor.write(name, (found[-1].updated, found[-1].seq)))


def history_count(
    connection: apsw.Connection,
    names: Names,
    selection: HistorySelection,
    limit: int | None = None,
) -> int:
    arms, binds = _arms(connection, names, selection, None, "1")
    if not arms:
        return 0
    found: int = connection.execute(
        f"SELECT count(*) FROM ({' UNION ALL '.join(arms)} LIMIT ?)",
        (*binds, -1 if limit is None else limit),
    ).get
    return found


def newest(connection: apsw.Connection, types: tuple[str, ...]) -> int:
    """The place of the newest commit of a resource of `types`; 0 if there is none. No index by
    type and place is needed, since times follow the order of commits."""
    if not types:
        return 0
    each = ",".join(f"coalesce({NEWEST},0)" for _ in types)
    return int(connection.execute(f"SELECT max({each},0)", types).get)


def settled(connection: apsw.Connection) -> int:
    """The place of the last commit: what is superseded has a successor in `resource`."""
    return connection.execute("SELECT max(seq) FROM resource").get or 0


def changes(
    connection: apsw.Connection,
    names: Names,
    between: tuple[int, int],
    types: Collection[str] | None,
    limit: int,
) -> list[Version]:
    """Up to `limit` versions (of `types`) after the first place up to the second, in commit
    order."""
    of = ""
    if types is not None:
        known = [number for name in types if (number := names.type(name)) is not None]
        of = f" AND +type IN ({','.join(map(str, known))})"
    sql = (
        f"SELECT {COLUMNS} FROM resource INDEXED BY resource_seq WHERE seq>?1 AND seq<=?2{of}"
        f" UNION ALL SELECT {COLUMNS} FROM history WHERE seq>?1 AND seq<=?2{of}"
        " ORDER BY seq LIMIT ?3"
    )
    return [version(names, row) for row in connection.execute(sql, (*between, limit))]


def version(names: Names, row: tuple[Any, ...]) -> Version:
    return Version(names.type_name(row[0]), *row[1:])


def _arms(
    connection: apsw.Connection,
    names: Names,
    selection: HistorySelection,
    before: list[Any] | None,
    columns: str = COLUMNS,
) -> tuple[list[str], list[Any]]:
    """The SELECTs whose union holds the versions, and what they bind.

    Every arm walks an index in the order (updated, seq), which is the order of commits, so the
    union is a merge that stops at the page's end.
    """
    shared: list[str] = []
    values: list[Any] = []
    if before is not None:
        shared.append("(updated,seq)<(?,?)")
        values += before
    if selection.since is not None:
        shared.append("updated>=?")
        values.append(selection.since)
    superseded: list[str] = []
    late: list[Any] = []
    if selection.at is not None:
        shared.append("updated<?")
        values.append(selection.at[1])
        superseded.append("until>?")
        late.append(selection.at[0])
    arms: list[str] = []
    binds: list[Any] = []

    def add(where: list[str], given: list[Any], current: str, past: str) -> None:
        arms.append(f"SELECT {columns} FROM {current} WHERE {' AND '.join(where + shared)}")
        binds.extend(given + values)
        every = where + shared + superseded
        arms.append(f"SELECT {columns} FROM {past} WHERE {' AND '.join(every)}")
        binds.extend(given + values + late)

    if selection.type is not None and selection.id is not None:
        type = names.type(selection.type)
        key = None
        if type is not None:
            key = connection.execute(
                "SELECT key FROM resource WHERE type=? AND id=?", (type, selection.id)
            ).fetchone()
        if key is not None:
            add(["key=?"], [key[0]], "resource", "history INDEXED BY history_instance")
        return arms, binds
    if selection.type is not None:
        wanted = [selection.type]
    else:
        wanted = list(dict.fromkeys(selection.types or names.types()))
    for each in wanted:
        type = names.type(each)
        if type is not None:
            add(
                ["type=?"],
                [type],
                "resource INDEXED BY resource_updated",
                "history INDEXED BY history_updated",
            )
    return arms, binds
