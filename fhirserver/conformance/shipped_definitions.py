"""The definitions of our own that travel with the server (profiles/, terminology/), as versions.

They are served where nothing is stored under their id, so whoever follows a canonical URL that the
server states finds what it means. They are part of the server: nobody writes them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from fhirserver.model import shipped
from fhirserver.model.content import content
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode
from fhirserver.model.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TYPES = frozenset(
    {
        "CodeSystem",
        "ConceptMap",
        "Measure",
        "OperationDefinition",
        "SearchParameter",
        "StructureDefinition",
        "ValueSet",
    }
)
_FOLDERS = ("profiles", "terminology")
_COMPILED = "r4"  # tables made of HL7's definitions, no resources
_SINCE = "2026-11-24"  # of what has no date


def definition(type: str, id: str) -> Version | None:
    """The one of that id; None where there is none."""
    return _definitions().get((type, id)) if type in TYPES else None


def of_type(type: str) -> list[Version]:
    if type not in TYPES:
        return []
    return [version for (each, _), version in _definitions().items() if each == type]


@cache
def _definitions() -> Mapping[tuple[str, str], Version]:
    return {(each["resourceType"], each["id"]): _version(each) for each in _resources()}


def _resources() -> Iterator[dict[str, Any]]:
    for name in _FOLDERS:
        for file in sorted(shipped.folder(name).glob("*/*.json")):
            if file.parent.name == _COMPILED:
                continue
            body = file.read_bytes()
            if b'"resourceType"' not in body:
                continue  # a table
            # A file holds one resource, or an array of them.
            found = decode(b'{"all":' + body + b"}")["all"]
            for each in found if isinstance(found, list) else [found]:
                if each.get("resourceType") in TYPES and "id" in each:
                    yield each


def _version(resource: dict[str, Any]) -> Version:
    day = datetime.fromisoformat(str(resource.get("date") or _SINCE)[:10])
    updated = microseconds(day.replace(tzinfo=UTC))
    type, id = resource["resourceType"], resource["id"]
    body = content(resource, id).stamp(1, instant(updated))
    return Version(type, id, 1, updated, "PUT", body)
