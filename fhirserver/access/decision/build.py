"""Small expressions that the rules are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Compare,
    Either,
    Everything,
    Kind,
    Match,
    Not,
    Nothing,
    Present,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhirserver.search.expression import Expression, Test

    Reference = tuple[str, str]

EVERYTHING = Everything()
NOTHING = Nothing()


def all_of(*parts: Expression) -> Expression:
    """Every one of `parts`, without what says nothing."""
    kept: dict[Expression, None] = {}
    for part in parts:
        if isinstance(part, Nothing):
            return NOTHING
        if isinstance(part, All):
            kept |= dict.fromkeys(part.parts)
        elif not isinstance(part, Everything):
            kept[part] = None
    if not kept:
        return EVERYTHING
    return next(iter(kept)) if len(kept) == 1 else All(tuple(kept))


def any_of(*parts: Expression) -> Expression:
    kept: dict[Expression, None] = {}
    for part in parts:
        if isinstance(part, Everything):
            return EVERYTHING
        if isinstance(part, AnyOf):
            kept |= dict.fromkeys(part.parts)
        elif not isinstance(part, Nothing):
            kept[part] = None
    if not kept:
        return NOTHING
    return next(iter(kept)) if len(kept) == 1 else AnyOf(tuple(kept))


def negate(part: Expression) -> Expression:
    match part:
        case Everything():
            return NOTHING
        case Nothing():
            return EVERYTHING
        case Not(inner):
            return inner
        case _:
            return Not(part)


def truth(value: bool) -> Expression:
    return EVERYTHING if value else NOTHING


def token(param: str, *codes: str, system: str | None = None) -> Expression:
    """Some coding of `param` has one of `codes`, of any system when none is named."""
    if not codes:
        return NOTHING
    code = Compare("code", "eq", codes[0]) if len(codes) == 1 else Compare("code", "in", codes)
    test: Test = code if system is None else Both((Compare("system", "eq", system), code))
    return Match(param, Kind.TOKEN, test)


def numbered(param: str, numbers: Iterable[Reference]) -> Expression:
    """`param` is one of these identifiers, each a system and a value."""
    tests = tuple(
        Both((Compare("system", "eq", system), Compare("code", "eq", value)))
        for system, value in sorted(numbers)
    )
    if not tests:
        return NOTHING
    return Match(param, Kind.TOKEN, tests[0] if len(tests) == 1 else Either(tests))


def refers(param: str, references: Iterable[Reference]) -> Expression:
    """`param` points to one of `references`."""
    tests = tuple(
        Both((Compare("type", "eq", type), Compare("id", "eq", id))) for type, id in references
    )
    if not tests:
        return NOTHING
    return Match(param, Kind.REFERENCE, tests[0] if len(tests) == 1 else Either(tests))


def refers_to_type(param: str, type: str) -> Expression:
    return Match(param, Kind.REFERENCE, Compare("type", "eq", type))


def absent(param: str, kind: Kind = Kind.TOKEN) -> Expression:
    return Not(Present(param, kind))


def in_force(param: str, moment: int) -> Expression:
    """The period of `param` covers `moment`; without a period it always does."""
    now = Both((Compare("low", "le", moment), Compare("high", "gt", moment)))
    return AnyOf((absent(param, Kind.DATE), Match(param, Kind.DATE, now)))
