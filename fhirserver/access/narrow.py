"""Adds the caller's rules to a query, everywhere a resource could show through.

They bind the match itself and also the target of each chain and the source of each `_has`:
otherwise a caller could learn of a hidden resource by asking for what points to it
(https://hl7.org/fhir/R4/search.html#chaining, https://hl7.org/fhir/R4/search.html#has). A query
that reaches only to types the caller may not read is Forbidden, whether there are any or not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from fhirserver.access.decision.build import EVERYTHING, NOTHING, all_of, any_of
from fhirserver.access.existence import identity_asked
from fhirserver.errors import Forbidden
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.search.expression import (
    All,
    AnyOf,
    Chain,
    CompositeMatch,
    Everything,
    Has,
    Identity,
    Match,
    Not,
    Nothing,
    OfType,
    Present,
    Updated,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhirserver.access.rules import Rules
    from fhirserver.search.expression import Expression, Query

_WORDS = {
    "c": "create",
    "r": "read",
    "u": "change",
    "d": "delete",
    "s": "search",
}


def forbidden(action: str, types: Iterable[str]) -> Forbidden:
    """The one answer to an action that the caller's scopes and role do not give."""
    named = ", ".join(types) or "any type"
    return Forbidden(f"Your authorization does not let you {_WORDS[action]} {named[:200]}.")


def demand(rules: Rules, action: str, type: str) -> Expression:
    """The predicate of an action. Raises Forbidden when there is none."""
    found = rules.predicate(action, type)
    if found is None:
        raise forbidden(action, (type,))
    return found


def narrow(query: Query, rules: Rules, action: str = "s", *, lenient: bool = False) -> Query:
    """The same query for a caller of these rules. Of several types those that may not be searched
    are left out; when none is left it is Forbidden, or with `lenient` selects nothing."""
    where = _bound(query.where, rules)
    if len(query.types) == 1 and not lenient:
        predicate = demand(rules, action, query.types[0])
        if action == "s" and identity_asked(query) and rules.by_identifier() is not None:
            predicate = EVERYTHING  # what of them is shown, the store sees to
        return replace(query, where=_and(where, predicate))
    types, predicate = over(rules, action, query.types)
    if types is None:
        return replace(query, where=_and(where, predicate))
    if not types:
        if lenient:
            return replace(query, where=NOTHING)
        raise forbidden(action, query.types)
    return replace(query, types=types, where=_and(where, predicate))


def over(
    rules: Rules, action: str, types: Iterable[str]
) -> tuple[tuple[str, ...] | None, Expression]:
    """Those of `types` (none: of all) that the action may be done to, and the predicate over
    them; None for the types when the same holds of every type."""
    every = not types
    groups: dict[Expression, list[str]] = {}
    reached: list[str] = []
    asked = sorted(RESOURCE_TYPES) if every else list(types)
    for type in asked:
        predicate = rules.predicate(action, type)
        if predicate is None or isinstance(predicate, Nothing):
            # Nothing of it shows, but the question may be put.
            if predicate is not None:
                reached.append(type)
            continue
        groups.setdefault(predicate, []).append(type)
        reached.append(type)
    if every and len(reached) == len(asked) and len(groups) == 1:
        return None, next(iter(groups))
    if len(groups) == 1 and len(next(iter(groups.values()))) == len(reached):
        return tuple(reached), next(iter(groups))
    parts = [all_of(OfType(tuple(of)), predicate) for predicate, of in groups.items()]
    return tuple(reached), any_of(*parts)


def _and(expression: Expression, predicate: Expression) -> Expression:
    if isinstance(expression, Everything):
        return predicate
    if isinstance(predicate, Everything):
        return expression
    return All((expression, predicate))


def _bound(expression: Expression, rules: Rules) -> Expression:
    """Bind the resources that `expression` reaches beside the matched one."""
    match expression:
        case All(parts):
            return All(tuple(_bound(part, rules) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_bound(part, rules) for part in parts))
        case Not(part):
            return Not(_bound(part, rules))
        case Chain(param, types, target):
            reached, predicate = over(rules, "r", types)
            if reached is None:
                reached = types
            if not reached:
                raise forbidden("r", types)
            return Chain(param, reached, _and(_bound(target, rules), predicate))
        case Has(type, param, source):
            return Has(type, param, _and(_bound(source, rules), demand(rules, "r", type)))
        case (
            Everything()
            | Nothing()
            | OfType()
            | Identity()
            | Updated()
            | Match()
            | CompositeMatch()
            | Present()
        ):
            return expression
        case _:
            assert_never(expression)
