"""Rules that hold between the elements of one node, and what a rule may look at.

https://hl7.org/fhir/R4/conformance-rules.html#constraints

A rule is told of a node whose structure is already found right. Most of FHIR's invariants have
one of a few shapes; the functions below make these. A name ending in `[x]` stands for every type
of that choice, and a primitive that has only extensions is present.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fhirserver.model.definitions import type_definition

Node = dict[str, Any]
MAX_DEPTH = 64  # levels of elements; a body is refused before at 60 levels of JSON


@dataclass(slots=True)
class Scope:
    """Where a node stands: FHIRPath's %resource and %rootResource, and what may be referred to."""

    resource: Node
    root: Node
    contained_ids: frozenset[str] = frozenset()
    is_contained: bool = False
    conditional_references: bool = False
    depth: int = 0  # of the fast pass
    local_references: set[str] = field(default_factory=set)  # filled on the way: '#x' met so far


Check = Callable[[Node, Scope], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """`check` is false when the rule is broken; `text` says what holds when it is kept."""

    key: str
    text: str
    check: Check
    severity: str = "error"


def json_names(type_: str, *names: str) -> frozenset[str]:
    """The JSON members that make any of the elements `names` of `type_` present."""
    found: set[str] = set()
    for name in names:
        wanted = name.removesuffix("[x]")
        for element in type_definition(type_).elements.values():
            if element.choice == wanted if name.endswith("[x]") else element.name == wanted:
                found.add(element.name)
                if element.primitive:
                    found.add("_" + element.name)
    if not found:
        raise KeyError(f"{type_} has none of {names}")
    return frozenset(found)


def needs(key: str, type_: str, name: str, *others: str) -> Rule:
    """Where `name` is, at least one of `others` is too."""
    has, other = json_names(type_, name), json_names(type_, *others)
    return Rule(
        key,
        f"'{name}' needs {_either(others)} beside it",
        lambda node, _: has.isdisjoint(node) or not other.isdisjoint(node),
    )


def some(key: str, type_: str, *names: str) -> Rule:
    """At least one of `names` is there."""
    has = json_names(type_, *names)
    return Rule(key, f"needs {_either(names)}", lambda node, _: not has.isdisjoint(node))


def not_both(key: str, type_: str, one: str, *others: str) -> Rule:
    """Where `one` is, none of `others` is."""
    has, other = json_names(type_, one), json_names(type_, *others)
    return Rule(
        key,
        f"'{one}' must not stand beside {_either(others)}",
        lambda node, _: has.isdisjoint(node) or other.isdisjoint(node),
    )


def exactly_one(key: str, type_: str, one: str, *others: str) -> Rule:
    """Either `one` or some of `others` is there, not both."""
    has, other = json_names(type_, one), json_names(type_, *others)
    return Rule(
        key,
        f"needs either '{one}' or {_either(others)}, not both",
        lambda node, _: has.isdisjoint(node) != other.isdisjoint(node),
    )


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"'{name}'" for name in names)


def has_code(concepts: Any, system: str, *codes: str) -> bool:
    """Whether a CodeableConcept, or one of several, has one of `codes` of `system`."""
    for concept in concepts if isinstance(concepts, list) else (concepts,) if concepts else ():
        for coding in concept.get("coding", ()):
            if coding.get("system") == system and coding.get("code") in codes:
                return True
    return False


def descendants(node: Any, name: str) -> Iterator[Any]:
    """Every value under a member `name`, at any depth."""
    if isinstance(node, list):
        for item in node:
            yield from descendants(item, name)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield value
            yield from descendants(value, name)


def distinct(values: list[Any]) -> bool:
    """No two of `values` are the same."""
    return len(set(values)) == len(values)
