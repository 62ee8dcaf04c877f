"""The meaning of `_filter` (https://hl7.org/fhir/R4/search_filter.html).

A path names search parameters; a path of several follows references. Brackets filter what is
followed: `subject[gender eq male].name co pet` asks both of the same patient, and on a composite
`code-value-quantity[code eq 8480-6].value-quantity gt 150` both of the same element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import Invalid, NotSupported
from fhirserver.model import dates
from fhirserver.search.criterion import criterion, follow, known
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Compare,
    CompositeMatch,
    Either,
    Everything,
    Expression,
    Identity,
    Match,
    Not,
    Nothing,
    OfType,
    Present,
    Test,
    Updated,
)
from fhirserver.search.filter_syntax import Comparison, Filter, Logical, Segment, parse_filter
from fhirserver.search.lower import Setting, lower, meaning_type, value_test
from fhirserver.search.types import date, number, quantity, token
from fhirserver.search.types.convert import KINDS
from fhirserver.search.types.escape import split, unescape
from fhirserver.search.types.fold import LONGEST, fold

if TYPE_CHECKING:
    from fhirserver.conformance.search_parameter import SearchParameter


def lower_filter(setting: Setting, types: tuple[str, ...], text: str, depth: int = 0) -> Expression:
    """What `_filter=text` means on resources of `types`."""
    return _filter(setting, types, parse_filter(text), depth)


def _filter(setting: Setting, types: tuple[str, ...], filter: Filter, depth: int) -> Expression:
    match filter:
        case Logical("and", parts):
            return All(tuple(_filter(setting, types, part, depth) for part in parts))
        case Logical("or", parts):
            return AnyOf(tuple(_filter(setting, types, part, depth) for part in parts))
        case Logical("not", (part,)):
            return Not(_filter(setting, types, part, depth))
        case Comparison(path, operator, value):
            return _path(setting, types, path, operator, value, depth)
    raise Invalid("_filter: a filter was expected")


def _path(
    setting: Setting,
    types: tuple[str, ...],
    path: tuple[Segment, ...],
    operator: str,
    value: str,
    depth: int,
) -> Expression:
    first, *rest = path
    name, _, modifier = first.name.partition(":")
    if name == "_has" and first.filter is None and operator == "eq":
        joined = ".".join(segment.name for segment in path)
        found = criterion(setting, types, joined, value, depth)
        return Nothing() if found is None else found
    if name in ("id", "lastUpdated") and setting.registry.parameter("Resource", "_" + name):
        known_here = setting.registry.parameters(types[0] if types else "Resource")
        name = name if name in known_here else "_" + name
    groups: dict[Expression, list[str]] = {}
    for type, parameter in known(setting, types, name).items():
        if parameter.type == "composite" and rest:
            part: Expression = _composite(setting, parameter, first, rest, operator, value)
        elif rest:
            part = _followed(setting, parameter, modifier, first, rest, operator, value, depth)
        elif modifier:
            raise Invalid(f"_filter: '{first.name[:64]}' may not have a modifier")
        else:
            part = comparison(setting, parameter, operator, value)
        groups.setdefault(part, []).append(type)
    if len(groups) == 1:
        return next(iter(groups))
    return AnyOf(tuple(All((OfType(tuple(of)), part)) for part, of in groups.items()))


def _followed(
    setting: Setting,
    parameter: SearchParameter,
    modifier: str,
    first: Segment,
    rest: list[Segment],
    operator: str,
    value: str,
    depth: int,
) -> Expression:
    def meaning(target: str) -> Expression:
        further = _path(setting, (target,), tuple(rest), operator, value, depth + 1)
        if first.filter is None:
            return further
        return All((_filter(setting, (target,), first.filter, depth + 1), further))

    tail = ".".join(segment.name for segment in rest)
    found = follow(parameter, modifier or None, tail, meaning)
    return Nothing() if found is None else found


# --- one comparison -------------------------------------------------------------------------


def comparison(
    setting: Setting, parameter: SearchParameter, operator: str, value: str
) -> Expression:
    """What `parameter operator value` means."""
    code = parameter.code
    if "\0" in value:
        raise Invalid("_filter: a value may not contain the character NUL")
    if not value:
        raise Invalid(f"_filter: {code} {operator} has an empty value")
    if operator == "pr":
        return _present(parameter, value)
    if operator in ("ss", "sb", "in", "ni"):
        modifier = {"ss": "below", "sb": "above", "in": "in", "ni": "not-in"}[operator]
        if parameter.type != "token":
            raise _wrong(parameter, operator)
        found = lower(setting, parameter, modifier, _escaped(value))
        return Nothing() if found is None else found
    if meaning_type(parameter) in ("composite", "special"):
        if operator != "eq":
            raise _wrong(parameter, operator)
        found = lower(setting, parameter, None, value)
        return Nothing() if found is None else found
    if code == "_id":
        if operator not in ("eq", "ne"):
            raise _wrong(parameter, operator)
        return Identity((value,)) if operator == "eq" else Not(Identity((value,)))
    test = _test(setting, parameter, operator, value)
    if code == "_lastUpdated":
        return Updated(test)
    return Match(code, KINDS[parameter.type], test)


def _test(setting: Setting, parameter: SearchParameter, operator: str, value: str) -> Test:
    match parameter.type, operator:
        case "string", "eq":
            return Compare("folded", "eq", fold(value))
        case "string", "ne":
            return _other("folded", fold(value))
        case "string", "co" | "sw" | "ew":
            op = {"co": "contains", "sw": "starts", "ew": "ends"}[operator]
            return Compare("folded", op, fold(value))
        case "token", "co" | "sw" | "ew":
            op = {"co": "contains", "sw": "starts", "ew": "ends"}[operator]
            return Compare("code", op, value[:LONGEST])
        case "uri", "co" | "sw" | "ew":
            op = {"co": "contains", "sw": "starts", "ew": "ends"}[operator]
            return Compare("value", op, value[:LONGEST])
        case ("token", "eq") | ("uri", "eq") | ("reference", "eq" | "re"):
            return value_test(setting, parameter.type, parameter.targets, value)
        case "token", "ne":
            return _unequal_token(value)
        case "uri", "ne":
            return _other("value", value[:LONGEST])
        case "reference", "ne":
            test = value_test(setting, "reference", parameter.targets, value)
            return _negated(test)
        case "date", "po":
            return _overlap(value)
        case "date", "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "ap" | "sa" | "eb":
            return date.lower(operator + value, setting.now)
        case "number", "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "ap" | "sa" | "eb":
            return number.lower(operator + value)
        case "quantity", "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "ap" | "sa" | "eb":
            return quantity.lower(operator + value)
        case "string", "gt" | "lt" | "ge" | "le":
            return Compare("folded", operator, fold(value))
    raise _wrong(parameter, operator)


def _present(parameter: SearchParameter, value: str) -> Expression:
    if value not in ("true", "false"):
        raise Invalid(f"_filter: {parameter.code} pr is true or false, not '{value[:64]}'")
    if parameter.code in ("_id", "_lastUpdated"):
        return Everything() if value == "true" else Nothing()
    if parameter.type == "composite" or not parameter.expression:
        raise _wrong(parameter, "pr")
    found = Present(parameter.code, KINDS[parameter.type])
    return found if value == "true" else Not(found)


def _overlap(value: str) -> Test:
    try:
        low, high = dates.interval(value)
    except ValueError as error:
        raise Invalid(f"_filter: {error}") from None
    return Both((Compare("high", "gt", low), Compare("low", "lt", high)))


def _other(field: str, value: str) -> Test:
    return Either((Compare(field, "lt", value), Compare(field, "gt", value)))


def _unequal_token(value: str) -> Test:
    parts = [unescape(part)[:LONGEST] for part in split(value, "|")]
    if len(parts) == 1:
        return _other("code", parts[0])
    return _negated(token.lower(value))


def _negated(test: Test) -> Test:
    """No entry field is absent where `test` looks, so not equal is less or greater."""
    match test:
        case Compare(field, "eq", str() as value):
            return _other(field, value)
        case Compare(field, "in", tuple() as values):
            return Both(tuple(_other(field, value) for value in values))
        case Both(tests):
            return Either(tuple(_negated(part) for part in tests))
        case Either(tests):
            return Both(tuple(_negated(part) for part in tests))
    raise Invalid("_filter: ne has no meaning here")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,")


def _wrong(parameter: SearchParameter, operator: str) -> Invalid:
    return Invalid(
        f"_filter: the operator {operator} has no meaning for {parameter.code}, "
        f"a parameter of type {parameter.type}"
    )


# --- components of a composite ----------------------------------------------------------------


def _composite(
    setting: Setting,
    parameter: SearchParameter,
    first: Segment,
    rest: list[Segment],
    operator: str,
    value: str,
) -> Expression:
    """`composite[component op value].component op value`, on the same element."""
    if len(rest) != 1:
        raise Invalid(f"_filter: the components of {parameter.code} cannot be followed")
    asked = [Comparison((rest[0],), operator, value)]
    if first.filter is not None:
        inner = first.filter.parts if isinstance(first.filter, Logical) else (first.filter,)
        if isinstance(first.filter, Logical) and first.filter.operator != "and":
            raise NotSupported(f"_filter: in {parameter.code}[...] only and is supported")
        for part in inner:
            if not isinstance(part, Comparison) or len(part.path) != 1:
                raise NotSupported(
                    f"_filter: in {parameter.code}[...] only comparisons joined by and"
                )
            asked.append(part)
    tests: list[list[Test]] = [[] for _ in parameter.components]
    for one in asked:
        name = one.path[0].name
        for place, component in enumerate(parameter.components):
            definition = setting.registry.by_url(component.definition)
            if definition is not None and name in _names(definition, component.expression):
                tests[place].append(_test(setting, definition, one.operator, one.value))
                break
        else:
            raise Invalid(f"_filter: {parameter.code} has no component '{name[:64]}'")
    return CompositeMatch(
        parameter.code,
        tuple(KINDS[component.type] for component in parameter.components),
        tuple(one[0] if len(one) == 1 else Both(tuple(one)) for one in tests),
    )


def _names(definition: SearchParameter, expression: str) -> tuple[str, ...]:
    return definition.code, expression.partition(".")[0]
