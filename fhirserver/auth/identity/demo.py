"""The built-in identity provider: anyone may be one of the sample people, without a password.

For trying out and for tests; refused under production settings and marked on every page it shows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.auth.identity.person import name_of
from fhirserver.model import shipped

if TYPE_CHECKING:
    from fhirserver.auth.identity.person import Directory, Person

ACR = "demo"
_INS = "urn:oid:1.2.250.1.213.1.4."
_PROFESSIONAL = "urn:oid:1.2.250.1.71.4.2.1"


@dataclass(frozen=True, slots=True)
class Sample:
    """`key`: `Patient/camille-lefevre`. `kind`: citizen or professional. Parents and carers are
    citizens with further capacities."""

    key: str
    kind: str
    name: str
    system: str
    value: str


@lru_cache(maxsize=1)
def samples() -> dict[str, Sample]:
    """The people of examples/, by key."""
    found: dict[str, Sample] = {}
    for file in sorted(shipped.folder("examples").glob("*.json")):
        for entry in json.loads(file.read_bytes()).get("entry", []):
            sample = _sample(entry.get("resource", {}))
            if sample is not None:
                found[sample.key] = sample
    return found


async def sign_in(key: str, directory: Directory) -> Person | None:
    """The sample person, if the store holds them."""
    sample = samples().get(key)
    if sample is None:
        return None
    person = await directory.person(
        f"demo|{key}", sample.name, sample.system, sample.value, acr=ACR
    )
    return person and msgspec.structs.replace(person, regulates=True)


def _sample(resource: dict[str, Any]) -> Sample | None:
    type = resource.get("resourceType")
    if type not in ("Patient", "Practitioner"):
        return None
    for identifier in resource.get("identifier", []):
        system = identifier.get("system", "")
        if (type == "Patient" and system.startswith(_INS)) or system == _PROFESSIONAL:
            kind = "citizen" if type == "Patient" else "professional"
            key = f"{type}/{resource['id']}"
            return Sample(key, kind, name_of(resource), system, identifier["value"])
    return None
