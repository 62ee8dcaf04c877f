"""Resources inside a resource (https://hl7.org/fhir/R4/references.html#contained)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhirserver.validation.rule import Node, Scope


def ids(resource: Node) -> frozenset[str]:
    """The ids of the contained resources."""
    return frozenset(
        id
        for contained in resource.get("contained", ())
        if isinstance(contained, dict) and isinstance(id := contained.get("id"), str)
    )


def faults(resource: Node) -> Iterator[tuple[int, str, str]]:
    """What breaks the rules of containment: (index, invariant, text)."""
    seen: set[str] = set()
    for index, contained in enumerate(resource["contained"]):
        id = contained.get("id")
        if id is None:
            yield index, "contained", "a contained resource needs an id to be referred to"
        elif id in seen:
            yield index, "contained", f"another contained resource has the id '{id}' too"
        seen.add(id)
        if "contained" in contained:
            yield index, "dom-2", "a contained resource contains no resources itself"
        meta = contained.get("meta", {})
        if "versionId" in meta or "lastUpdated" in meta:
            yield index, "dom-4", "a contained resource has no versionId and no lastUpdated"
        if "security" in meta:
            yield index, "dom-5", "a contained resource has no security label of its own"


def unreferenced(resource: Node, scope: Scope) -> Iterator[int]:
    """Indices of contained resources that nothing refers to and that do not refer to their
    container (dom-3). `scope` knows the references met on the way."""
    missing = scope.contained_ids - scope.local_references
    if not missing:
        return
    pointed: set[str] = set()
    _gather(resource, pointed)
    for index, contained in enumerate(resource["contained"]):
        id = contained.get("id")
        if id in missing and f"#{id}" not in pointed:
            own: set[str] = set()
            _gather(contained, own)
            if "#" not in own:
                yield index


def _gather(node: Any, into: set[str]) -> None:
    """Every string that starts with '#': canonicals, uris and urls point inside as well."""
    if isinstance(node, dict):
        for value in node.values():
            _gather(value, into)
    elif isinstance(node, list):
        for value in node:
            _gather(value, into)
    elif isinstance(node, str) and node.startswith("#"):
        into.add(node)
