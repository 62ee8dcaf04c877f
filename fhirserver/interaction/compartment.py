"""The types a compartment search goes through
(https://hl7.org/fhir/R4/http.html#vsearch, https://hl7.org/fhir/R4/compartmentdefinition.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import NotFound
from fhirserver.search.compartment import compartment_types, in_compartment

if TYPE_CHECKING:
    from fhirserver.conformance.registry import Registry
    from fhirserver.search.expression import Expression


def member_types(registry: Registry, name: str) -> tuple[str, ...]:
    """The types compartment `name` can hold: the one it is named after, then the others in order.
    Raises NotFound when there is no such compartment."""
    members = registry.compartment(name) if name in registry.compartments() else {}
    held = {type for type in compartment_types(registry, name) if members.get(type)}
    return (name, *sorted(held - {name}))


def within(registry: Registry, name: str, id: str, types: tuple[str, ...]) -> Expression:
    """What selects the resources of `types` in the compartment of `name`/`id`. Raises NotFound
    for a type that is never in it."""
    known = member_types(registry, name)
    for type in types:
        if type not in known:
            raise NotFound(f"{type[:80]} is never in a {name} compartment.")
    return in_compartment(registry, name, id, types)
