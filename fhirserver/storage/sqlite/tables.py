"""The index tables: which columns the entries of each kind become.

Every index row ends in the key of its resource. The primary key is (param, first column, key, the
rest), so the rows of one value lie in key order, and a second index (key, param, ...) finds the
rows of one resource. Both hold every column, so no search touches a table beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirserver.search.expression import Kind
from fhirserver.storage.sqlite.insert import Insert

IGNORE = "ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class Table:
    """One index table.

    `fields`: the entry's fields in column order, the first one leading the primary key.
    `symbols`: fields stored as a number of the table `symbol`.
    `seconds`: (index name, leading field) of further orders of the same rows.
    """

    name: str
    fields: tuple[str, ...]
    types: tuple[str, ...]
    symbols: frozenset[str] = frozenset()
    seconds: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return ("param", self.fields[0], "key", *self.fields[1:])

    @property
    def by_key(self) -> str:
        """Forces the index that finds the rows of one resource."""
        return f"INDEXED BY {self.name}_key"

    def by(self, field: str) -> str:
        """Forces the index that lies in the order of `field`."""
        if field == self.fields[0]:
            return f"INDEXED BY sqlite_autoindex_{self.name}_1"
        return f"INDEXED BY {next(name for name, led in self.seconds if led == field)}"

    @property
    def insert(self) -> Insert:
        return Insert(self.name, self.columns, IGNORE)

    @property
    def remove(self) -> str:
        where = " AND ".join(f"{column}=?" for column in self.columns)
        return f"DELETE FROM {self.name} WHERE {where}"

    @property
    def of_key(self) -> str:
        return f"SELECT {','.join(self.columns)} FROM {self.name} WHERE key=?"


INTERVAL = ("low", "high")

TABLES: dict[Kind, Table] = {
    Kind.STRING: Table(
        "string", ("folded", "text"), ("TEXT", "TEXT"), seconds=(("string_text", "text"),)
    ),
    Kind.TOKEN: Table(
        "token",
        ("code", "system"),
        ("TEXT", "INTEGER"),
        frozenset({"system"}),
        (("token_system", "system"),),
    ),
    Kind.REFERENCE: Table("reference", ("id", "type"), ("TEXT", "INTEGER"), frozenset({"type"})),
    Kind.DATE: Table("date", INTERVAL, ("INTEGER", "INTEGER"), seconds=(("date_high", "high"),)),
    Kind.NUMBER: Table("number", INTERVAL, ("REAL", "REAL"), seconds=(("number_high", "high"),)),
    Kind.QUANTITY: Table(
        "quantity",
        (*INTERVAL, "system", "code", "unit"),
        ("REAL", "REAL", "INTEGER", "INTEGER", "INTEGER"),
        frozenset({"system", "code", "unit"}),
        (("quantity_high", "high"),),
    ),
    Kind.URI: Table("uri", ("value",), ("TEXT",)),
    Kind.POSITION: Table("position", ("latitude", "longitude"), ("REAL", "REAL")),
}

#: Values without a searchable field: they count for `:missing` alone.
BARE = Table("bare", ("key",), ("INTEGER",))
BARE_INSERT = Insert("bare", ("param", "key"), IGNORE)
BARE_REMOVE = "DELETE FROM bare WHERE param=? AND key=?"
BARE_OF_KEY = "SELECT param,key FROM bare WHERE key=?"

#: Each component of a composite entry is a row: `element` tells the elements of one resource
#: apart, v0..v4 are the fields of the component's kind in the order of its table.
COMPOSITE_COLUMNS = ("param", "component", "v0", "key", "element", "v1", "v2", "v3", "v4")
COMPOSITE_INSERT = Insert("composite", COMPOSITE_COLUMNS, IGNORE)
COMPOSITE_REMOVE = "DELETE FROM composite WHERE " + " AND ".join(
    f"{column}=?" for column in COMPOSITE_COLUMNS
)
COMPOSITE_OF_KEY = f"SELECT {','.join(COMPOSITE_COLUMNS)} FROM composite WHERE key=?"
