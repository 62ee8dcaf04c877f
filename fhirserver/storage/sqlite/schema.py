"""The database's tables, their version, and how an older database becomes the newest."""

from __future__ import annotations

import re
from pathlib import Path

import apsw

from fhirserver.storage.sqlite.connection import BUSY_MILLISECONDS
from fhirserver.storage.sqlite.tables import TABLES

#: PRAGMA application_id: "FHIR" in ASCII, so that another program's file is recognised as such.
APPLICATION = 0x46484952
VERSION = 3

RESOURCES = """
CREATE TABLE symbol(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE type(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE param(
  id INTEGER PRIMARY KEY, type INTEGER NOT NULL, code TEXT NOT NULL, UNIQUE(type, code)) STRICT;
CREATE TABLE state(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE resource(
  key INTEGER PRIMARY KEY, type INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
  updated INTEGER NOT NULL, seq INTEGER NOT NULL, method TEXT NOT NULL, content BLOB) STRICT;
CREATE UNIQUE INDEX resource_id ON resource(type, id);
CREATE UNIQUE INDEX resource_seq ON resource(seq);
CREATE INDEX resource_updated ON resource(type, updated, seq);
CREATE INDEX resource_current ON resource(type) WHERE content IS NOT NULL;
CREATE TABLE history(
  seq INTEGER PRIMARY KEY, key INTEGER NOT NULL, type INTEGER NOT NULL, id TEXT NOT NULL,
  version INTEGER NOT NULL, updated INTEGER NOT NULL, until INTEGER NOT NULL,
  method TEXT NOT NULL, content BLOB) STRICT;
CREATE UNIQUE INDEX history_version ON history(key, version);
CREATE INDEX history_instance ON history(key, updated, seq);
CREATE INDEX history_updated ON history(type, updated, seq);
CREATE TABLE bare(
  param INTEGER NOT NULL, key INTEGER NOT NULL, PRIMARY KEY(param, key)) STRICT, WITHOUT ROWID;
CREATE INDEX bare_key ON bare(key);
CREATE TABLE composite(
  param INTEGER NOT NULL, component INTEGER NOT NULL, v0 ANY NOT NULL, key INTEGER NOT NULL,
  element INTEGER NOT NULL, v1 ANY NOT NULL, v2 ANY NOT NULL, v3 ANY NOT NULL, v4 ANY NOT NULL,
  PRIMARY KEY(param, component, v0, key, element, v1, v2, v3, v4)) STRICT, WITHOUT ROWID;
CREATE INDEX composite_key ON composite(key, param, element);
CREATE VIRTUAL TABLE word USING fts5(
  words, content='', contentless_delete=1, detail=none, tokenize='ascii');
CREATE VIRTUAL TABLE word_term USING fts5vocab('word', 'row');
"""

GRANTS = """
CREATE TABLE grants(
  kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires INTEGER NOT NULL,
  family TEXT NOT NULL, client TEXT NOT NULL, patient TEXT NOT NULL,
  PRIMARY KEY(kind, key)) STRICT, WITHOUT ROWID;
CREATE INDEX grants_expires ON grants(expires);
CREATE INDEX grants_family ON grants(family) WHERE family<>'';
CREATE INDEX grants_client ON grants(client) WHERE client<>'';
CREATE INDEX grants_patient ON grants(patient) WHERE patient<>'';
"""

LOG = """
CREATE TABLE log(
  seq INTEGER PRIMARY KEY, chain TEXT NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL,
  content BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX log_chain ON log(chain, number);
"""

TABLES_OF_ALL = RESOURCES + GRANTS + LOG
#: What these create, for `check`.
NAMED = tuple(re.findall(r"CREATE (?:VIRTUAL |UNIQUE )?(?:TABLE|INDEX) (\w+)", TABLES_OF_ALL))


def index_tables() -> dict[str, str]:
    """Name and statement of every index table, and of its indexes."""
    made = {}
    for table in TABLES.values():
        types = dict(zip(table.fields, table.types, strict=True))
        columns = ", ".join(
            f"{name} {types.get(name, 'INTEGER')} NOT NULL" for name in table.columns
        )
        made[table.name] = (
            f"CREATE TABLE {table.name}({columns}, PRIMARY KEY({', '.join(table.columns)}))"
            " STRICT, WITHOUT ROWID"
        )
        made[f"{table.name}_key"] = f"CREATE INDEX {table.name}_key ON {table.name}(key, param)"
        for name, field in table.seconds:
            made[name] = f"CREATE INDEX {name} ON {table.name}(param, {field}, key)"
    return made


class UnknownSchema(RuntimeError):
    """The file is not one that this version of the server can open."""


def refuse_foreign(path: str) -> None:
    """Raises UnknownSchema for a file of another program, without changing a byte of it."""
    if not Path(path).exists() or Path(path).stat().st_size == 0:
        return
    try:
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.CantOpenError as error:
        raise UnknownSchema(f"{path} cannot be opened: {error}") from None
    try:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        application = connection.pragma("application_id")
        empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    except apsw.NotADBError:
        raise UnknownSchema(f"{path} is not a SQLite database") from None
    finally:
        connection.close()
    if not empty and application != APPLICATION:
        raise UnknownSchema(f"{path} is a SQLite file, but no database of this server")


def upgrade(connection: apsw.Connection, path: str) -> None:
    """Create the tables in an empty file, or bring an older database to VERSION."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.pragma("user_version")
        empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
        if version > VERSION:
            raise UnknownSchema(
                f"{path} has schema {version}; this server knows schemas up to {VERSION}. "
                "Start the newer server that wrote it, or restore a backup made before."
            )
        if empty:
            connection.execute(TABLES_OF_ALL)
            for statement in index_tables().values():
                connection.execute(statement)
            version = VERSION
            connection.pragma("application_id", APPLICATION)
        for step in range(version, VERSION):
            connection.execute(UPGRADES[step])
        connection.pragma("user_version", VERSION)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


#: UPGRADES[n] brings schema n to n + 1.
UPGRADES: dict[int, str] = {1: GRANTS, 2: LOG}
