"""What an operator should know of a database: integrity, schema, indexes, index rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.storage.sqlite import schema
from fhirserver.storage.sqlite.tables import TABLES

if TYPE_CHECKING:
    import apsw


def check(connection: apsw.Connection) -> list[str]:
    """Problems found, each with what to do; [] when all is well."""
    problems = []
    for (found,) in connection.execute("PRAGMA integrity_check(20)"):
        if found != "ok":
            problems.append(f"the file is damaged, restore a backup: {found}")
    version = connection.pragma("user_version")
    if version != schema.VERSION:
        problems.append(f"schema {version} instead of {schema.VERSION}: start the server once")
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    problems += [
        f"{name} is missing: restore a backup or load the data anew"
        for name in (*schema.index_tables(), *schema.NAMED)
        if name not in there
    ]
    if problems:
        return problems
    for name in (*(table.name for table in TABLES.values()), "bare", "composite"):
        orphan = connection.execute(
            f"SELECT key FROM {name} i INDEXED BY {name}_key WHERE NOT EXISTS"
            " (SELECT 1 FROM resource r WHERE r.key=i.key AND r.content IS NOT NULL) LIMIT 1"
        ).fetchone()
        if orphan is not None:
            problems.append(f"{name} has index rows of no current resource: run reindex")
    # What was erased begins anew with its deletion.
    past = "(SELECT count(*) FROM history h WHERE h.key=r.key)"
    gap = connection.execute(
        f"SELECT t.name,r.id FROM resource r JOIN type t ON t.id=r.type WHERE r.version<>1+{past}"
        f" AND NOT (r.content IS NULL AND {past}=0) AND NOT EXISTS (SELECT 1 FROM history e"
        f" WHERE e.key=r.key AND e.content IS NULL AND e.version=r.version-{past}) LIMIT 1"
    ).fetchone()
    if gap is not None:
        problems.append(f"versions of {gap[0]}/{gap[1]} are missing: restore a backup")
    return problems
