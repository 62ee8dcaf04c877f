"""An expression without its values: what a compiled statement is kept under.

`lift` turns an expression into nested tuples in which every value is replaced by the number of its
SQL parameter, and appends the values to a list. Two searches of one shape share their SQL.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import apsw

from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Chain,
    Compare,
    CompositeMatch,
    Either,
    Everything,
    Has,
    Identity,
    Match,
    Not,
    Nothing,
    OfType,
    Present,
    Updated,
    Within,
)
from fhirserver.search.types.position import EARTH_RADIUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.search.expression import Expression

Shape = tuple[Any, ...]
#: What apsw binds as one array.
ARRAY: type = type(apsw.carray(("",)))


class Values(list[Any]):
    """The values of a query by slot; `arrays` holds what those bound as one array contain."""

    __slots__ = ("arrays",)

    def __init__(self) -> None:
        super().__init__()
        self.arrays: list[tuple[Any, ...]] = []

    @property
    def content(self) -> Any:
        """All values, comparable: an array is bound as an object without a value of its own."""
        if not self.arrays:
            return self
        return [None if isinstance(v, ARRAY) else v for v in self], self.arrays


#: Up to so many alternatives are parameters of their own; more texts travel as one array.
ALTERNATIVES = 16
LARGEST = 2**63 - 1
EVERYTHING: Shape = ("all", ())
NOTHING: Shape = ("any", ())


def lift(node: Expression, values: Values) -> Shape:
    """The shape of `node`; its values are appended to `values`."""
    try:
        return LIFT[type(node)](node, values)
    except KeyError:
        raise TypeError(f"no such search expression: {type(node).__name__}") from None


def bindable(value: Any) -> Any:
    """SQLite's integers have 64 bits; larger ones compare as floating point numbers."""
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return value


def after_prefix(prefix: str) -> str | bytes:
    """The smallest text greater than every text that starts with `prefix`.

    When there is none, an empty BLOB, which SQLite orders after all text.
    """
    while prefix:
        point = ord(prefix[-1]) + 1
        if point == 0xD800:  # surrogates are no characters
            point = 0xE000
        if point <= 0x10FFFF:
            return prefix[:-1] + chr(point)
        prefix = prefix[:-1]
    return b""


def _slot(value: Any, values: Values) -> int:
    values.append(value)
    return len(values)


def _alternatives(alternatives: tuple[Any, ...], values: Values) -> Shape:
    if len(alternatives) <= ALTERNATIVES or not isinstance(alternatives[0], str):
        return tuple(_slot(bindable(value), values) for value in alternatives)
    values.arrays.append(alternatives)
    return ("array", _slot(apsw.carray(tuple(alternatives)), values))


def _compare(test: Compare, values: Values) -> Shape:
    if test.op == "in":
        if not isinstance(test.value, tuple):
            raise TypeError("the comparison `in` takes a tuple of values")
        return ("in", test.field, _alternatives(test.value, values))
    if test.op == "starts":
        slot = _slot(test.value, values)
        values.append(after_prefix(test.value))  # type: ignore[arg-type]
        return ("starts", test.field, slot)
    return (test.op, test.field, _slot(bindable(test.value), values))


def _both(test: Both, values: Values) -> Shape:
    return ("both", tuple(lift_test(part, values) for part in test.tests))


def _either(test: Either, values: Values) -> Shape:
    return ("either", tuple(lift_test(part, values) for part in test.tests))


def _within(test: Within, values: Values) -> Shape:
    # A belt of latitudes, a little too wide for rounding, bounds the index walk.
    belt = math.degrees(test.metres / EARTH_RADIUS) * (1 + 1e-9) + 1e-9
    slot = _slot(float(test.latitude), values)
    values += [float(test.longitude), float(test.metres)]
    values += [test.latitude - belt, test.latitude + belt]
    return ("within", "", slot)


TESTS: dict[type, Callable[[Any, Values], Shape]] = {
    Compare: _compare,
    Both: _both,
    Either: _either,
    Within: _within,
}


def lift_test(test: Any, values: Values) -> Shape:
    try:
        return TESTS[type(test)](test, values)
    except KeyError:
        raise TypeError(f"no such test: {type(test).__name__}") from None


def _all(node: All, values: Values) -> Shape:
    parts: list[Shape] = []
    for part in node.parts:
        lifted = lift(part, values)
        if lifted[0] == "all":
            parts += lifted[1]
        else:
            parts.append(lifted)
    return parts[0] if len(parts) == 1 else ("all", tuple(parts))


def _any(node: AnyOf, values: Values) -> Shape:
    return ("any", tuple(lift(part, values) for part in node.parts))


def _match(node: Match, values: Values) -> Shape:
    return ("match", node.param, node.kind, lift_test(node.test, values))


def _composite(node: CompositeMatch, values: Values) -> Shape:
    tests = tuple(lift_test(test, values) for test in node.tests)
    if len(tests) != len(node.kinds):
        raise ValueError("a composite needs one test for each component")
    return ("composite", node.param, node.kinds, tests)


LIFT: dict[type, Callable[[Any, Values], Shape]] = {
    Everything: lambda node, values: EVERYTHING,
    Nothing: lambda node, values: NOTHING,
    All: _all,
    AnyOf: _any,
    Not: lambda node, values: ("not", lift(node.part, values)),
    OfType: lambda node, values: ("type", node.types),
    Identity: lambda node, values: ("id", _alternatives(node.ids, values)),
    Updated: lambda node, values: ("updated", lift_test(node.test, values)),
    Match: _match,
    CompositeMatch: _composite,
    Present: lambda node, values: ("present", node.param, node.kind),
    Chain: lambda node, values: ("chain", node.param, node.types, lift(node.target, values)),
    Has: lambda node, values: ("has", node.type, node.param, lift(node.source, values)),
}
