"""The order of a search: sort keys of one type, and where a page goes on (keyset)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhirserver.search.expression import Kind
from fhirserver.storage.sqlite.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.search.expression import Sort
    from fhirserver.storage.sqlite.compile import Compiler
    from fhirserver.storage.sqlite.tables import Table

#: The field of each kind that orders; two: the one ascending, the other descending.
FIELDS: dict[Kind, tuple[str, str]] = {
    Kind.STRING: ("folded", "folded"),
    Kind.TOKEN: ("code", "code"),
    Kind.REFERENCE: ("id", "id"),
    Kind.DATE: ("low", "high"),
    Kind.NUMBER: ("low", "high"),
    Kind.QUANTITY: ("low", "high"),
    Kind.URI: ("value", "value"),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key for one type. `column` is a column of `resource`, or None and then `param`
    tells the search parameter's number (None: this type has no value for it)."""

    descending: bool
    column: str | None = None
    table: Table | None = None
    field: str = ""
    param: int | None = None

    @property
    def empty(self) -> bool:
        return self.column is None and self.param is None

    def value(self, key: str, resource: str, a: str) -> str:
        """SQL of the sort value of the resource `key` (joined as `resource`)."""
        if self.column is not None:
            return f"{resource}.{self.column}"
        if self.param is None or self.table is None:
            return "NULL"
        extreme = "max" if self.descending else "min"
        return (
            f"(SELECT {extreme}({a}.{self.field}) FROM {self.table.name} {a} {self.table.by_key}"
            f" WHERE {a}.key={key} AND {a}.param={self.param})"
        )


def keys_of(sort: Sequence[Sort], compiler: Compiler, type: int) -> list[Key]:
    made = []
    for each in sort:
        if each.param == "_id":
            made.append(Key(each.descending, column="id"))
        elif each.param == "_lastUpdated":
            made.append(Key(each.descending, column="updated"))
        elif each.kind not in FIELDS:
            raise ValueError(f"no order is defined for entries of kind {each.kind}")
        else:
            field = FIELDS[each.kind][each.descending]
            table, param = TABLES[each.kind], compiler.param(type, each.param)
            made.append(Key(each.descending, table=table, field=field, param=param))
    return made


def order_by(keys: Sequence[Key], values: Sequence[str], key: str) -> str:
    """ORDER BY for these SQL values of the keys, missing last, ties by key."""
    terms = []
    for each, value in zip(keys, values, strict=True):
        if each.empty:
            continue
        terms.append(value + (" DESC" if each.descending else " ASC NULLS LAST"))
    return ",".join([*terms, key])


def beyond(
    keys: Sequence[Key], values: Sequence[str], key: str, after: Sequence[Any], slot: int
) -> str:
    """The condition that a row comes after (`after`, key): slots from `slot` on hold these."""
    condition = f"{key}>?{slot + len(keys)}"
    for place in range(len(keys) - 1, -1, -1):
        value, given = values[place], f"?{slot + place}"
        if after[place] is None:
            # The slot is bound though it is not compared.
            condition = f"({value} IS NULL AND {condition})"
        else:
            op = "<" if keys[place].descending else ">"
            missing = f" OR {value} IS NULL"
            condition = f"({value}{op}{given}{missing} OR ({value}={given} AND {condition}))"
    return condition


def merge(pages: list[list[Any]], sort: Sequence[Sort], width: int, key: int) -> list[Any]:
    """Rows of several types in one order; the sort values stand from column `width` on, the
    resource's key in column `key`."""
    rows = [row for page in pages for row in page]
    rows.sort(key=lambda row: row[key])
    for place in range(len(sort) - 1, -1, -1):
        column = width + place
        have = [row for row in rows if row[column] is not None]
        missing = [row for row in rows if row[column] is None]
        have.sort(key=lambda row: row[column], reverse=sort[place].descending)
        rows = have + missing
    return rows
