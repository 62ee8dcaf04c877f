"""From a resource to its index entries: what it can be found by.

For each resource type the paths of all its search parameters are merged into one tree, so that
every element is visited once and an absent one costs nothing. The tree is made anew when the
registry's epoch has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.search import through_contained
from fhirserver.search.entries import TokenEntry
from fhirserver.search.plan import Plan

if TYPE_CHECKING:
    from fhirserver.conformance.registry import Registry
    from fhirserver.search.entries import Entry


#: Where an entry tells of a contained resource: its type and local id.
CONTAINED = "_contained"


class Indexer:
    """Makes index entries. `local_bases`: the URLs this server is known by, whose references
    are local ones."""

    def __init__(self, registry: Registry, local_bases: tuple[str, ...] = ()) -> None:
        self._registry = registry
        self._bases = tuple(base.rstrip("/") + "/" for base in local_bases)
        self._plans: dict[str, Plan] = {}
        self._epoch = registry.epoch

    def entries(self, resource: dict[str, Any]) -> list[Entry]:
        """The entries of a resource, each once. Elements that are not what R4 says are passed
        over: refusing them is the validator's work."""
        if self._epoch != self._registry.epoch:
            self._plans, self._epoch = {}, self._registry.epoch
        type = resource["resourceType"]
        plan = self._plans.get(type)
        if plan is None:
            plan = self._plans[type] = Plan(self._registry, type, self._bases)
        entries = plan.entries(resource)
        if "contained" in resource:
            entries += _contained(resource["contained"])
            entries += through_contained.entries(resource, self._inside)
        return entries

    def _inside(self, contained: dict[str, Any]) -> list[Entry]:
        """The entries of a contained resource, none if R4 has no such type."""
        return self.entries(contained) if contained.get("resourceType") in RESOURCE_TYPES else []


def _contained(resources: Any) -> list[TokenEntry]:
    """What makes a container findable by `_contained`: one entry for each resource in it."""
    if not isinstance(resources, list):
        return []
    return [
        TokenEntry(CONTAINED, str(one.get("resourceType", "")), str(one.get("id", ""))[:64])
        for one in resources
        if isinstance(one, dict)
    ]
