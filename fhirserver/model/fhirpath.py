"""FHIRPath paths compiled to closures over JSON (https://hl7.org/fhir/R4/fhirpath.html).

A closure takes a resource as `json.decode` gives it and yields the values found, each with its
FHIR type, which the element tables tell: `Observation.value` knows valueQuantity and the rest.
What is not covered here goes to the complete evaluator in `fhirpath_evaluate.py`, a hundred
times slower and without types.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fhirserver.model.definitions import PRIMITIVES, RESOURCE_TYPES, type_definition
from fhirserver.model.fhirpath_syntax import (
    Binary,
    Call,
    Index,
    Literal,
    Member,
    Node,
    Other,
    Root,
    This,
    TypeTest,
    Unsupported,
    parse,
)

#: A value, its FHIR type ("" when unknown), and a primitive's `_name` sibling with extensions.
Item = tuple[Any, str, Any]
Path = Callable[[list[Item]], list[Item]]

_ABSTRACT = frozenset({"Resource", "DomainResource"})
_TRUE: list[Item] = [(True, "boolean", None)]
_FALSE: list[Item] = [(False, "boolean", None)]


def compile_path(expression: str) -> Callable[[dict[str, Any]], list[Any]]:
    """A function from resource to the values that `expression` selects."""
    typed = compile_typed(expression)
    return lambda resource: [value for value, _ in typed(resource)]


def compile_typed(expression: str) -> Callable[[dict[str, Any]], list[tuple[Any, str]]]:
    """A function from resource to the values that `expression` selects, each with its type."""
    try:
        path = compile_node(parse(expression))
    except Unsupported:
        return _complete(expression)

    def run(resource: dict[str, Any]) -> list[tuple[Any, str]]:
        start = [(resource, str(resource.get("resourceType", "")), None)]
        return [(value, type) for value, type, _ in path(start) if value is not None]

    return run


def _complete(expression: str) -> Callable[[dict[str, Any]], list[tuple[Any, str]]]:
    def run(resource: dict[str, Any]) -> list[tuple[Any, str]]:
        from fhirserver.model.fhirpath_evaluate import evaluate

        return [(value, "") for value in evaluate(expression, resource)]

    return run


def compile_node(node: Node) -> Path:
    """The closure of a syntax tree; Unsupported when it uses a function that is not here."""
    match node:
        case This():
            return lambda focus: focus
        case Literal(value):
            found: list[Item] = [] if value is None else [(value, "", None)]
            return lambda focus: found
        case Member(source, name):
            return _member(source, name)
        case Index(source, place):
            inner = compile_node(source)
            return lambda focus: inner(focus)[place : place + 1]
        case TypeTest(operator, source, type):
            return _type_test(operator, compile_node(source), type)
        case Binary(operator, left, right):
            return _binary(operator, compile_node(left), compile_node(right))
        case Call(source, name, arguments):
            return _call(name, compile_node(source), arguments)
        case Root():
            raise Unsupported("%resource")
        case Other(text):
            raise Unsupported(text)


# --- members --------------------------------------------------------------------------------


@cache
def elements_named(type: str, name: str) -> tuple[tuple[str, str, bool], ...]:
    """(JSON name, type, many) of every element of `type` that FHIRPath calls `name`."""
    try:
        definition = type_definition(type)
    except KeyError:
        return ()
    return tuple(
        (element.name, element.type, element.many)
        for element in definition.elements.values()
        if (element.choice or element.name) == name
    )


def _member(source: Node, name: str) -> Path:
    if isinstance(source, This) and (name in RESOURCE_TYPES or name in _ABSTRACT):
        return lambda focus: [item for item in focus if is_type(item[1], name)]
    inner = compile_node(source)
    sibling = "_" + name

    def run(focus: list[Item]) -> list[Item]:
        out: list[Item] = []
        for value, type, extra in inner(focus):
            if not isinstance(value, dict):
                if name == "value":
                    out.append((value, type, extra))
                elif isinstance(extra, dict):
                    _take(extra, "Element", name, sibling, out)
            else:
                _take(value, type, name, sibling, out)
        return out

    return run


def _take(value: dict[str, Any], type: str, name: str, sibling: str, out: list[Item]) -> None:
    if not type or type in _ABSTRACT:
        type = value.get("resourceType", type)
    for key, element_type, many in elements_named(type, name):
        found = value.get(key)
        extra = value.get("_" + key) if element_type in PRIMITIVES else None
        if found is None and extra is None:
            continue
        if found is not None and element_type in _ABSTRACT:
            held = found if many else [found]
            out.extend([(one, one.get("resourceType", element_type), None) for one in held])
        elif not many:
            out.append((found, element_type, extra))
        elif found is not None and extra is None:
            out.extend([(one, element_type, None) for one in found])
        elif extra is not None:
            values = found or [None] * len(extra)
            out.extend((one, element_type, also) for one, also in zip(values, extra, strict=False))


# --- types ----------------------------------------------------------------------------------


@cache
def is_type(type: str, wanted: str) -> bool:
    """Whether FHIR type `type` is `wanted` or derived from it."""
    wanted = wanted.removeprefix("FHIR.").removeprefix("System.")
    current: str | None = type
    while current:
        if current in (wanted, wanted[0].lower() + wanted[1:]):
            return True
        try:
            current = type_definition(current).base
        except KeyError:
            return False
    return False


def _type_test(operator: str, inner: Path, type: str) -> Path:
    if operator != "is":
        return lambda focus: [item for item in inner(focus) if is_type(item[1], type)]

    def run(focus: list[Item]) -> list[Item]:
        found = inner(focus)
        if not found:
            return []
        return _TRUE if is_type(found[0][1], type) else _FALSE

    return run


# --- operators ------------------------------------------------------------------------------


def truth(found: list[Item]) -> bool | None:
    """The boolean a collection stands for; None when it is empty."""
    if not found:
        return None
    value = found[0][0]
    return value if isinstance(value, bool) else True


def _boolean(value: bool | None) -> list[Item]:
    return [] if value is None else _TRUE if value else _FALSE


def _and(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _or(left: bool | None, right: bool | None) -> bool | None:
    if left or right:
        return True
    return None if left is None or right is None else False


def _xor(left: bool | None, right: bool | None) -> bool | None:
    return None if left is None or right is None else left != right


def _implies(left: bool | None, right: bool | None) -> bool | None:
    return _or(None if left is None else not left, right)


_LOGIC = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}


def _binary(operator: str, left: Path, right: Path) -> Path:
    if operator == "|":
        return lambda focus: _distinct(left(focus) + right(focus))
    if operator in _LOGIC:
        logic = _LOGIC[operator]
        return lambda focus: _boolean(logic(truth(left(focus)), truth(right(focus))))
    if operator in ("=", "!="):
        wanted = operator == "="

        def equal(focus: list[Item]) -> list[Item]:
            first, second = left(focus), right(focus)
            if not first or not second:
                return []
            return _boolean(([i[0] for i in first] == [i[0] for i in second]) is wanted)

        return equal
    if operator in ("<", ">", "<=", ">="):
        return _order(operator, left, right)
    if operator in ("in", "contains"):
        if operator == "contains":
            left, right = right, left

        def member_of(focus: list[Item]) -> list[Item]:
            first, second = left(focus), right(focus)
            return _boolean(first[0][0] in [i[0] for i in second]) if first else []

        return member_of
    raise Unsupported(f"the operator {operator}")


def _order(operator: str, left: Path, right: Path) -> Path:
    def run(focus: list[Item]) -> list[Item]:
        first, second = left(focus), right(focus)
        if not first or not second:
            return []
        a, b = first[0][0], second[0][0]
        try:
            if operator == "<":
                return _boolean(a < b)
            if operator == ">":
                return _boolean(a > b)
            return _boolean(a <= b if operator == "<=" else a >= b)
        except TypeError:
            return []

    return run


def _distinct(items: list[Item]) -> list[Item]:
    if len(items) < 2:
        return items
    out: list[Item] = []
    for item in items:
        if not any(item[0] is other[0] or item[0] == other[0] for other in out):
            out.append(item)
    return out


# --- functions ------------------------------------------------------------------------------


def _call(name: str, inner: Path, arguments: tuple[Node, ...]) -> Path:
    if name == "extension" and len(arguments) == 1 and isinstance(arguments[0], Literal):
        url = arguments[0].value
        extensions = _member_of(inner, "extension")
        return lambda focus: [i for i in extensions(focus) if i[0].get("url") == url]
    if name == "hasExtension" and len(arguments) == 1:
        found = _call("extension", inner, arguments)
        return lambda focus: _boolean(bool(found(focus)))
    if name in _WITH_CRITERIA and len(arguments) == 1:
        return _WITH_CRITERIA[name](inner, compile_node(arguments[0]))
    if name in _PLAIN and not arguments:
        return _PLAIN[name](inner)
    raise Unsupported(f"the function {name}() with {len(arguments)} arguments")


def _member_of(inner: Path, name: str) -> Path:
    step = _member(This(), name)
    return lambda focus: step(inner(focus))


def _where(inner: Path, criteria: Path) -> Path:
    return lambda focus: [item for item in inner(focus) if truth(criteria([item]))]


def _select(inner: Path, projection: Path) -> Path:
    return lambda focus: [found for item in inner(focus) for found in projection([item])]


def _exists_where(inner: Path, criteria: Path) -> Path:
    return lambda focus: _boolean(any(truth(criteria([item])) for item in inner(focus)))


def _all(inner: Path, criteria: Path) -> Path:
    return lambda focus: _boolean(all(truth(criteria([item])) for item in inner(focus)))


def _combine(inner: Path, other: Path) -> Path:
    return lambda focus: inner(focus) + other(focus)


def _starts_with(inner: Path, other: Path) -> Path:
    return _text_test(inner, other, lambda text, part: text.startswith(part))


def _ends_with(inner: Path, other: Path) -> Path:
    return _text_test(inner, other, lambda text, part: text.endswith(part))


def _contains(inner: Path, other: Path) -> Path:
    return _text_test(inner, other, lambda text, part: part in text)


def _text_test(inner: Path, other: Path, test: Callable[[str, str], bool]) -> Path:
    def run(focus: list[Item]) -> list[Item]:
        found, part = inner(focus), other(focus)
        if not found or not part:
            return []
        text, wanted = found[0][0], part[0][0]
        if not isinstance(text, str) or not isinstance(wanted, str):
            return []
        return _boolean(test(text, wanted))

    return run


def _resolve(inner: Path) -> Path:
    """What a reference points to, as far as its text tells: only the type is known."""

    def run(focus: list[Item]) -> list[Item]:
        out: list[Item] = []
        for value, _, _ in inner(focus):
            type = reference_type(value)
            if type is not None:
                out.append(({"resourceType": type}, type, None))
        return out

    return run


def reference_type(value: Any) -> str | None:
    """The resource type that a Reference, canonical or uri says it points to."""
    stated = None
    if isinstance(value, dict):
        stated = value.get("type")
        value = value.get("reference")
    if isinstance(value, str) and not value.startswith(("#", "urn:")):
        parts = value.partition("?")[0].split("/")
        if len(parts) >= 4 and parts[-2] == "_history":
            del parts[-2:]
        if len(parts) >= 2 and parts[-2] in RESOURCE_TYPES:
            return parts[-2]
        if len(parts) == 1 and "?" in value and parts[0] in RESOURCE_TYPES:
            return parts[0]
    return stated if stated in RESOURCE_TYPES else None


_WITH_CRITERIA: dict[str, Callable[[Path, Path], Path]] = {
    "where": _where,
    "select": _select,
    "exists": _exists_where,
    "all": _all,
    "combine": _combine,
    "union": lambda inner, other: _binary("|", inner, other),
    "startsWith": _starts_with,
    "endsWith": _ends_with,
    "contains": _contains,
}

_PLAIN: dict[str, Callable[[Path], Path]] = {
    "resolve": _resolve,
    "exists": lambda inner: lambda focus: _boolean(bool(inner(focus))),
    "hasValue": lambda inner: (
        lambda focus: _boolean(
            any(i[0] is not None and not isinstance(i[0], dict) for i in inner(focus))
        )
    ),
    "empty": lambda inner: lambda focus: _boolean(not inner(focus)),
    "not": lambda inner: lambda focus: _boolean(_xor(truth(inner(focus)), True)),
    "first": lambda inner: lambda focus: inner(focus)[:1],
    "last": lambda inner: lambda focus: inner(focus)[-1:],
    "single": lambda inner: lambda focus: inner(focus)[:1],
    "tail": lambda inner: lambda focus: inner(focus)[1:],
    "distinct": lambda inner: lambda focus: _distinct(inner(focus)),
    "count": lambda inner: lambda focus: [(len(inner(focus)), "integer", None)],
}
