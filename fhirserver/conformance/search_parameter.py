"""One search parameter as the server uses it (https://hl7.org/fhir/R4/searchparameter.html)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Component:
    """A component of a composite: the parameter that tells its type, and its own path."""

    definition: str
    type: str
    expression: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchParameter:
    url: str
    code: str
    type: str  # string token reference date number quantity uri composite special
    base: tuple[str, ...]
    expression: str = ""
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    multiple_or: bool = True
    multiple_and: bool = True
    comparators: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    runtime: bool = False  # came as a resource, not with the specification
    active: bool = True
    description: str = ""
