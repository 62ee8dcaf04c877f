"""Compartments as search expressions (https://hl7.org/fhir/R4/compartmentdefinition.html).

A compartment holds the resource it is named after and those whose reference parameters, named by
the CompartmentDefinition for each type, point to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import NotFound
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Compare,
    Expression,
    Identity,
    Kind,
    Match,
    OfType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhirserver.conformance.registry import Registry


def member_types(registry: Registry, name: str) -> tuple[str, ...]:
    """The types that compartment `name` can hold: the one it is named after, then the others in
    order. Raises NotFound when there is no such compartment."""
    try:
        members = registry.compartment(name)
    except KeyError as error:
        raise NotFound(f"There is no compartment {name[:80]}.") from error
    return (name, *sorted(type for type, codes in members.items() if codes and type != name))


def compartment(registry: Registry, name: str, id: str, types: Iterable[str]) -> Expression:
    """What selects the resources of `types` in the compartment of `name`/`id`. Raises NotFound
    for a type that is never in it."""
    known = member_types(registry, name)
    members = registry.compartment(name)
    by_code: dict[str, list[str]] = {}
    parts: list[Expression] = []
    types = tuple(types)
    for type in types:
        if type not in known:
            raise NotFound(f"{type[:80]} is never in a {name} compartment.")
        if type == name:
            parts.append(All((OfType((name,)), Identity((id,)))))
        for code in members.get(type, ()):
            by_code.setdefault(code, []).append(type)
    pointing = Both((Compare("type", "eq", name), Compare("id", "eq", id)))
    for code, having in by_code.items():
        match = Match(code, Kind.REFERENCE, pointing)
        # Without other types in the query the engine need not look at the type again.
        parts.append(match if len(types) == 1 else All((OfType(tuple(having)), match)))
    if len(types) == 1 and types[0] == name:
        parts[0] = Identity((id,))
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))
