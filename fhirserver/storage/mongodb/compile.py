"""Search expressions to MongoDB filters, one small function per node.

A filter is *exact* when it selects what the expression selects, and otherwise selects at least
that: whoever walks its results judges each with `search/evaluate.py`. Nothing here asks the
database; chains and `_has` are taken apart before (`stage.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import asin, cos, degrees, radians, sin
from typing import Any

from fhirserver.search.evaluate import ENTRY_CLASS
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Chain,
    Compare,
    CompositeMatch,
    Either,
    Everything,
    Expression,
    Has,
    Identity,
    Kind,
    Match,
    Not,
    Nothing,
    OfType,
    Present,
    Test,
    Updated,
    Within,
)
from fhirserver.search.types.position import EARTH_RADIUS
from fhirserver.storage.mongodb.dialect import Dialect
from fhirserver.storage.mongodb.entry_document import COMPOSITE, storable

#: Selects no document.
NONE: dict[str, Any] = {"_id": {"$in": []}}

#: How wide the instant of a resource's last change is, in microseconds (`Updated`).
_UPDATED_WIDTH = 1000
_OPERATORS = {"eq": "$eq", "lt": "$lt", "le": "$lte", "gt": "$gt", "ge": "$gte", "in": "$in"}
_BOUNDED = frozenset({Kind.DATE, Kind.NUMBER, Kind.QUANTITY})


@dataclass(frozen=True, slots=True)
class Filter:
    """A MongoDB filter; `exact` False: it may select more than the expression does."""

    document: dict[str, Any]
    exact: bool = True


@dataclass(frozen=True, slots=True)
class _Scope:
    dialect: Dialect
    types: tuple[str, ...]  # the resource is of one of these; empty: not known


def compile_expression(
    expression: Expression, dialect: Dialect, types: tuple[str, ...] = ()
) -> Filter:
    """The filter of `expression` on current documents of `types` (empty: of any type)."""
    return _node(expression, _Scope(dialect, types))


def conjunction(*documents: dict[str, Any]) -> dict[str, Any]:
    """A filter that selects what every one of `documents` selects."""
    parts = [document for document in documents if document]
    if any(part == NONE for part in parts):
        return NONE
    merged: dict[str, Any] = {}
    left: list[dict[str, Any]] = []
    for part in parts:
        if any(name in merged or name.startswith("$") for name in part):
            left.append(part)
        else:
            merged |= part
    return merged | ({"$and": left} if left else {})


# --- nodes ------------------------------------------------------------------------------------


def _node(expression: Expression, scope: _Scope) -> Filter:
    compiler = _NODES.get(type(expression))
    if compiler is None:
        raise TypeError(f"not a search expression: {expression!r}")
    return compiler(expression, scope)


def _everything(expression: Everything, scope: _Scope) -> Filter:
    return Filter({})


def _nothing(expression: Nothing, scope: _Scope) -> Filter:
    return Filter(NONE)


def _all(expression: All, scope: _Scope) -> Filter:
    for part in expression.parts:
        if isinstance(part, OfType):
            kept = tuple(t for t in part.types if not scope.types or t in scope.types)
            scope = _Scope(scope.dialect, kept)
            if not kept:
                return Filter(NONE)
    parts = [_node(part, scope) for part in expression.parts]
    document = conjunction(*[part.document for part in parts])
    return Filter(document, document == NONE or all(part.exact for part in parts))


def _any_of(expression: AnyOf, scope: _Scope) -> Filter:
    parts = [_node(part, scope) for part in expression.parts]
    parts = [part for part in parts if part.document != NONE]
    exact = all(part.exact for part in parts)
    if not parts:
        return Filter(NONE)
    if any(not part.document for part in parts):
        return Filter({}, exact)
    if len(parts) == 1:
        return parts[0]
    return Filter({"$or": [part.document for part in parts]}, exact)


def _not(expression: Not, scope: _Scope) -> Filter:
    part = _node(expression.part, scope)
    if not part.exact:
        return Filter({}, False)
    if not part.document:
        return Filter(NONE)
    if part.document == NONE:
        return Filter({})
    return Filter({"$nor": [part.document]})


def _of_type(expression: OfType, scope: _Scope) -> Filter:
    return Filter(one_of("type", expression.types))


def _identity(expression: Identity, scope: _Scope) -> Filter:
    if len(scope.types) == 1:
        # The primary key says both, and every server has an index on it.
        return Filter(one_of("_id", [f"{scope.types[0]}/{id}" for id in expression.ids]))
    return Filter(one_of("id", expression.ids))


def one_of(field: str, values: tuple[str, ...] | list[str]) -> dict[str, Any]:
    if not values:
        return NONE
    return {field: values[0] if len(values) == 1 else {"$in": list(values)}}


def _updated(expression: Updated, scope: _Scope) -> Filter:
    return Filter(_updated_test(expression.test))


def _updated_test(test: Test) -> dict[str, Any]:
    if isinstance(test, Both):
        return conjunction(*[_updated_test(part) for part in test.tests])
    if isinstance(test, Either):
        return _either([_updated_test(part) for part in test.tests])
    if isinstance(test, Compare) and test.field in ("low", "high") and test.op in _OPERATORS:
        width = _UPDATED_WIDTH if test.field == "high" else 0
        if isinstance(test.value, tuple):
            return {"updated": {"$in": [storable(value - width) for value in test.value]}}  # type: ignore[operator]
        return {"updated": {_OPERATORS[test.op]: storable(test.value - width)}}  # type: ignore[operator]
    raise TypeError(f"not a test of an instant: {test!r}")


def _match(expression: Match, scope: _Scope) -> Filter:
    _require_fields(expression.kind, expression.test)
    test = _implied(expression.test) if expression.kind in _BOUNDED else expression.test
    return _element(str(expression.kind), expression.param, [("", test)], {}, scope)


def _composite_match(expression: CompositeMatch, scope: _Scope) -> Filter:
    kinds, tests = {}, []
    for number, (kind, test) in enumerate(zip(expression.kinds, expression.tests, strict=True), 1):
        _require_fields(kind, test)
        kinds[f"part{number}.kind"] = str(kind)
        tests.append((f"part{number}.", _implied(test) if kind in _BOUNDED else test))
    return _element(COMPOSITE, expression.param, tests, kinds, scope)


def _present(expression: Present, scope: _Scope) -> Filter:
    return Filter({f"index.{expression.kind}.param": expression.param})


def _chain(expression: Chain, scope: _Scope) -> Filter:
    if not expression.types:
        return Filter(NONE)
    test = Compare("type", "in", expression.types)
    return Filter(_match(Match(expression.param, Kind.REFERENCE, test), scope).document, False)


def _has(expression: Has, scope: _Scope) -> Filter:
    return Filter({}, False)


_NODES: dict[type, Callable[[Any, _Scope], Filter]] = {
    Everything: _everything,
    Nothing: _nothing,
    All: _all,
    AnyOf: _any_of,
    Not: _not,
    OfType: _of_type,
    Identity: _identity,
    Updated: _updated,
    Match: _match,
    CompositeMatch: _composite_match,
    Present: _present,
    Chain: _chain,
    Has: _has,
}


# --- tests on one entry -----------------------------------------------------------------------


def _element(
    kind: str, param: str, tests: list[tuple[str, Test]], fixed: dict[str, Any], scope: _Scope
) -> Filter:
    """Some element of the array `index.<kind>` is of `param` and passes every test."""
    path = f"index.{kind}"
    at = "" if scope.dialect.element_match else f"{path}."
    conditions = [{at + "param": param}, {at + name: value for name, value in fixed.items()}]
    exact = True
    for prefix, test in tests:
        condition, test_exact = _test(test, at + prefix)
        conditions.append(condition)
        exact = exact and test_exact
    document = conjunction(*conditions)
    if document == NONE:
        return Filter(NONE)
    if scope.dialect.element_match:
        return Filter({path: {"$elemMatch": document}}, exact)
    # Flat conditions may be met by different elements: more may pass than should.
    return Filter(document, len(document) == 1)


def _require_fields(kind: Kind, test: Test) -> None:
    """A test names fields that entries of `kind` have: on the server any other would just find
    nothing."""
    fields = ENTRY_CLASS[kind]._fields[1:]  # type: ignore[attr-defined]
    match test:
        case Both(tests) | Either(tests):
            for part in tests:
                _require_fields(kind, part)
        case Compare(field) if field not in fields:
            raise ValueError(f"an entry of kind {kind} has no field {field}")
        case Within() if kind != Kind.POSITION:
            raise ValueError(f"an entry of kind {kind} is no position")


def _test(test: Test, at: str) -> tuple[dict[str, Any], bool]:
    compiler = _TESTS.get(type(test))
    if compiler is None:
        raise TypeError(f"not a test of an index entry: {test!r}")
    return compiler(test, at)


def _both(test: Both, at: str) -> tuple[dict[str, Any], bool]:
    parts = [_test(part, at) for part in test.tests]
    return conjunction(*[part for part, _ in parts]), all(exact for _, exact in parts)


def _either_test(test: Either, at: str) -> tuple[dict[str, Any], bool]:
    parts = [_test(part, at) for part in test.tests]
    return _either([part for part, _ in parts]), all(exact for _, exact in parts)


def _either(documents: list[dict[str, Any]]) -> dict[str, Any]:
    documents = [document for document in documents if document != NONE]
    if not documents:
        return NONE
    if any(not document for document in documents):
        return {}
    return documents[0] if len(documents) == 1 else {"$or": documents}


def _compare(test: Compare, at: str) -> tuple[dict[str, Any], bool]:
    field = at + test.field
    if test.op == "starts":
        return {field: _starting(str(test.value))}, True
    if test.op == "contains":
        return {field: {"$regex": _literal(str(test.value))}}, True
    if test.op == "ends":
        return {field: {"$regex": _literal(str(test.value)) + "$"}}, False
    if test.op == "in":
        values = test.value if isinstance(test.value, tuple) else tuple(str(test.value))
        return one_of(field, values), True
    if test.op not in _OPERATORS:
        raise ValueError(f"not a comparison: {test.op}")
    return {field: {_OPERATORS[test.op]: storable(test.value)}}, True


def _starting(prefix: str) -> dict[str, Any]:
    """The range of texts that begin with `prefix`: an index serves it, and code points decide."""
    bounds: dict[str, Any] = {"$gte": prefix}
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            bounds["$lt"] = prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
            break
        prefix = prefix[:-1]
    return bounds


def _literal(text: str) -> str:
    """A regular expression for `text` itself, in words that PCRE and RE2 share."""
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character == "\0":
        return r"\x00"
    if character.isascii() and not (character.isalnum() or character.isspace()):
        return "\\" + character
    return character


def _within(test: Within, at: str) -> tuple[dict[str, Any], bool]:
    """A box around the circle; the poles and the date line make it wider, never smaller."""
    reach = degrees(test.metres / EARTH_RADIUS) * 1.000001 + 1e-9
    south, north = test.latitude - reach, test.latitude + reach
    box: dict[str, Any] = {f"{at}latitude": {"$gte": south, "$lte": north}}
    if south <= -90 or north >= 90:
        return box, False
    # Where the meridian touches the circle, the angle at the pole is widest.
    widest = sin(radians(reach)) / cos(radians(test.latitude))
    east_west = degrees(asin(min(1.0, widest))) * 1.000001 + 1e-9
    west, east = test.longitude - east_west, test.longitude + east_west
    if west < -180 or east > 180:
        return box, False
    return box | {f"{at}longitude": {"$gte": west, "$lte": east}}, False


_TESTS: dict[type, Callable[[Any, str], tuple[dict[str, Any], bool]]] = {
    Both: _both,
    Either: _either_test,
    Compare: _compare,
    Within: _within,
}


def _implied(test: Test) -> Test:
    """`test` with what low <= high adds, so that the index on `low` is bounded on both sides."""
    if isinstance(test, Either):
        return Either(tuple(_implied(part) for part in test.tests))
    tests = test.tests if isinstance(test, Both) else (test,)
    added = [
        Compare("low", "le", part.value)
        for part in tests
        if isinstance(part, Compare) and part.field == "high" and part.op in ("lt", "le")
    ]
    if not added or any(
        isinstance(part, Compare) and part.field == "low" and part.op in ("lt", "le", "eq")
        for part in tests
    ):
        return test
    return Both((*tests, *added))
