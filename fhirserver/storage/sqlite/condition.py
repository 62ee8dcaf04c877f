"""Tests on the fields of one index entry to SQL conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fhirserver.storage.sqlite.shape import Shape

TRUE, FALSE = "1", "0"


def both(conditions: Sequence[str]) -> str:
    """AND, with constants folded."""
    kept = [condition for condition in conditions if condition != TRUE]
    if FALSE in kept:
        return FALSE
    return " AND ".join(kept) if kept else TRUE


def either(conditions: Sequence[str]) -> str:
    """OR, with constants folded."""
    kept = [condition for condition in conditions if condition != FALSE]
    if TRUE in kept:
        return TRUE
    if len(kept) < 2:
        return kept[0] if kept else FALSE
    return "(" + " OR ".join(f"({condition})" for condition in kept) + ")"


def negate(condition: str) -> str:
    if condition in (TRUE, FALSE):
        return FALSE if condition == TRUE else TRUE
    return f"NOT ({condition})"


def compile_test(test: Shape, columns: Mapping[str, str], symbols: frozenset[str]) -> str:
    """The condition that a row passes `test`.

    `columns` gives the SQL of each field; those in `symbols` hold numbers of the table `symbol`,
    so they are compared through it.
    """
    op = test[0]
    if op == "both":
        return both([compile_test(part, columns, symbols) for part in test[1]])
    if op == "either":
        return either([compile_test(part, columns, symbols) for part in test[1]])
    if op == "within":
        return _within(test[2], columns)
    field, value = test[1], test[2]
    if field not in columns:
        raise ValueError(f"no such field of an entry here: {field}")
    if op not in COMPARISONS:
        raise ValueError(f"no such comparison: {op}")
    column = columns[field]
    if field not in symbols:
        return COMPARISONS[op](column, value)
    if op == "eq":
        return f"{column}=(SELECT id FROM symbol WHERE text=?{value})"
    condition = COMPARISONS[op]("text", value)
    if condition == FALSE:
        return FALSE
    return f"{column} IN (SELECT id FROM symbol WHERE {condition})"


def _in(column: str, value: Shape) -> str:
    if not value:
        return FALSE
    if value[0] == "array":
        return f"{column} IN (SELECT value FROM carray(?{value[1]}))"
    return f"{column} IN ({','.join(f'?{slot}' for slot in value)})"


COMPARISONS: dict[str, Callable[[str, Any], str]] = {
    "eq": lambda column, slot: f"{column}=?{slot}",
    "lt": lambda column, slot: f"{column}<?{slot}",
    "le": lambda column, slot: f"{column}<=?{slot}",
    "gt": lambda column, slot: f"{column}>?{slot}",
    "ge": lambda column, slot: f"{column}>=?{slot}",
    "in": _in,
    "starts": lambda column, slot: f"({column}>=?{slot} AND {column}<?{slot + 1})",
    "contains": lambda column, slot: f"instr({column},?{slot})>0",
    "ends": lambda column, slot: f"substr({column},-length(?{slot}))=?{slot}",
}


def _within(slot: int, columns: Mapping[str, str]) -> str:
    latitude, longitude = columns["latitude"], columns["longitude"]
    return (
        f"({latitude} BETWEEN ?{slot + 3} AND ?{slot + 4}"
        f" AND great_circle(?{slot},?{slot + 1},{latitude},{longitude})<=?{slot + 2})"
    )
