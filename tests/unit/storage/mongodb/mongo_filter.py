"""What MongoDB's query language means, for the operators this engine uses, written down once more.

FerretDB 1.x lacks `$elemMatch` on sub-documents, so the filters made for MongoDB are judged by
this reading of https://www.mongodb.com/docs/manual/reference/operator/query/ instead of a server.
"""

from __future__ import annotations

import re
from typing import Any

_ABSENT = object()


def selects(condition: dict[str, Any], document: dict[str, Any]) -> bool:
    return all(_clause(name, value, document) for name, value in condition.items())


def _clause(name: str, value: Any, document: dict[str, Any]) -> bool:
    if name == "$and":
        return all(selects(part, document) for part in value)
    if name == "$or":
        return any(selects(part, document) for part in value)
    if name == "$nor":
        return not any(selects(part, document) for part in value)
    assert not name.startswith("$"), name
    operators = value if _is_operators(value) else {"$eq": value}
    return all(_operator(op, operand, name, document) for op, operand in operators.items())


def _is_operators(value: Any) -> bool:
    return isinstance(value, dict) and any(key.startswith("$") for key in value)


def _operator(op: str, operand: Any, path: str, document: dict[str, Any]) -> bool:
    if op == "$elemMatch":
        return any(
            isinstance(array, list)
            and any(isinstance(item, dict) and selects(operand, item) for item in array)
            for array in _values(document, path.split("."), False)
        )
    return any(_holds(op, operand, value) for value in _values(document, path.split("."), True))


def _values(document: Any, path: list[str], spread: bool) -> list[Any]:
    """Every value a path leads to; arrays on the way, and at its end if `spread`, are entered."""
    if not path:
        if spread and isinstance(document, list):
            return [document, *document]
        return [document]
    if isinstance(document, list):
        return [
            v for item in document if isinstance(item, dict) for v in _values(item, path, spread)
        ]
    if not isinstance(document, dict) or path[0] not in document:
        return [_ABSENT]
    return _values(document[path[0]], path[1:], spread)


def _holds(op: str, operand: Any, value: Any) -> bool:
    if op == "$in":
        return any(_holds("$eq", one, value) for one in operand)
    if op == "$regex":
        return isinstance(value, str) and re.search(operand, value) is not None
    if op == "$eq" and operand is None:
        return value is None or value is _ABSENT
    if _bracket(operand) != _bracket(value):
        return False
    match op:
        case "$eq":
            return bool(value == operand)
        case "$lt":
            return bool(value < operand)
        case "$lte":
            return bool(value <= operand)
        case "$gt":
            return bool(value > operand)
        case "$gte":
            return bool(value >= operand)
    raise AssertionError(op)


def _bracket(value: Any) -> str:
    """Values of different types do not compare; all numbers are one type."""
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__
