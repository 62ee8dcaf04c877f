"""Adds the caller's predicate to a query, everywhere a resource could show through.

The predicate binds the match itself and also the target of each chain and the source of each
`_has`: otherwise a caller could learn of a hidden resource by asking for what points to it
(https://hl7.org/fhir/R4/search.html#chaining, https://hl7.org/fhir/R4/search.html#has).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

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
    from fhirserver.search.expression import Expression, Query


def narrow(query: Query, predicate: Expression) -> Query:
    """The same query for a caller who may see only what `predicate` selects."""
    return replace(query, where=_and(_bound(query.where, predicate), predicate))


def _and(expression: Expression, predicate: Expression) -> Expression:
    if isinstance(expression, Everything):
        return predicate
    return All((expression, predicate))


def _bound(expression: Expression, predicate: Expression) -> Expression:
    """Bind the resources that `expression` reaches beside the matched one."""
    match expression:
        case All(parts):
            return All(tuple(_bound(part, predicate) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_bound(part, predicate) for part in parts))
        case Not(part):
            return Not(_bound(part, predicate))
        case Chain(param, types, target):
            return Chain(param, types, _and(_bound(target, predicate), predicate))
        case Has(type, param, source):
            return Has(type, param, _and(_bound(source, predicate), predicate))
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
