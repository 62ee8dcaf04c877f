"""Chains into contained resources: a chained condition is evaluated inside them too
(https://hl7.org/fhir/R4/search.html#contained).

A contained resource is nowhere to be joined with, so its container is indexed by what a chain may
ask of it, under the name of the whole chain (`author:Practitioner.family`). Done for the chains
that documents are searched by with contained authors (IHE MHD ITI-66, ITI-67); other chains see
literal references alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fhirserver.search.entries import Entry

_OF_PERSONS = frozenset({"family", "given", "name", "identifier", "practitioner"})

#: Resource type -> element (and search parameter) -> what of its contained target is indexed.
CHAINS: dict[str, dict[str, frozenset[str]]] = {
    "DocumentReference": {
        "author": _OF_PERSONS,
        "authenticator": _OF_PERSONS,
        "custodian": frozenset({"identifier", "name"}),
    },
    "List": {"source": _OF_PERSONS},
}


def followed(parameter: str, tail: str) -> bool:
    """Whether `parameter.tail` is one of the chains that reach contained resources."""
    return any(tail in chains.get(parameter, ()) for chains in CHAINS.values())


def named(parameter: str, type: str, tail: str) -> str:
    """The parameter of the entries that tell of contained targets of this type."""
    return f"{parameter}:{type}.{tail}"


def entries(
    resource: dict[str, Any], entries_of: Callable[[dict[str, Any]], list[Entry]]
) -> Iterator[Entry]:
    """The entries of contained targets under the names of the chains to them."""
    chains = CHAINS.get(str(resource.get("resourceType")))
    contained = resource.get("contained")
    if chains is None or not isinstance(contained, list):
        return
    by_id = {f"#{one.get('id')}": one for one in contained if isinstance(one, dict)}
    for element, wanted in chains.items():
        found: set[Entry] = set()
        for target in _targets(resource.get(element), by_id):
            for entry in entries_of({k: v for k, v in target.items() if k != "contained"}):
                if entry.param in wanted:
                    name = named(element, target["resourceType"], entry.param)
                    found.add(entry._replace(param=name))
        yield from found


def _targets(value: Any, by_id: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The contained resources referred to, and the person behind a contained PractitionerRole."""
    for reference in value if isinstance(value, list) else [value]:
        if not isinstance(reference, dict):
            continue
        target = by_id.get(str(reference.get("reference", "")))
        if target is None:
            continue
        yield target
        if target.get("resourceType") == "PractitionerRole":
            person = target.get("practitioner")
            behind = person.get("reference") if isinstance(person, dict) else None
            if isinstance(behind, str) and behind in by_id:
                yield by_id[behind]
