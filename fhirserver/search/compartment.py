"""What is in a compartment, as an expression (https://hl7.org/fhir/R4/compartmentdefinition.html).

A resource is in a patient's compartment when one of the parameters that the definition names for
its type points to the patient; the patient itself is in it too.
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
    Nothing,
    OfType,
)

if TYPE_CHECKING:
    from fhirserver.conformance.registry import Registry


def compartment_types(registry: Registry, name: str) -> frozenset[str]:
    """The types that can be in compartment `name`. Raises NotFound."""
    return frozenset({*_definition(registry, name), name})


def in_compartment(
    registry: Registry, name: str, id: str, types: tuple[str, ...] = ()
) -> Expression:
    """Resources in the compartment of `name`/`id`, of `types` if any are given.
    Raises NotFound when R4 has no such compartment."""
    definition = _definition(registry, name)
    groups: dict[tuple[str, ...], list[str]] = {}
    for type in types or tuple(sorted({*definition, name})):
        codes = definition.get(type, ())
        if codes:
            groups.setdefault(tuple(codes), []).append(type)
    parts: list[Expression] = [
        All((OfType(tuple(of)), _points(codes, name, id))) for codes, of in groups.items()
    ]
    if not types or name in types:
        parts.append(All((OfType((name,)), Identity((id,)))))
    if not parts:
        return Nothing()
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _points(codes: tuple[str, ...], type: str, id: str) -> Expression:
    test = Both((Compare("type", "eq", type), Compare("id", "eq", id)))
    parts = tuple(Match(code, Kind.REFERENCE, test) for code in codes)
    return parts[0] if len(parts) == 1 else AnyOf(parts)


def _definition(registry: Registry, name: str) -> dict[str, tuple[str, ...]]:
    try:
        return dict(registry.compartment(name))
    except KeyError:
        raise NotFound(f"R4 has no compartment '{name[:64]}'.") from None
