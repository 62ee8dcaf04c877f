"""From the identifier an identity provider vouches for to the resources it stands for.

A citizen is the Patient with that INS; whoever represents or helps others is also the
RelatedPerson resources with it; a professional is the Practitioner with that national identifier,
in each PractitionerRole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from fhirserver.access.caller import Role
from fhirserver.auth.identity.traits import matches
from fhirserver.model import json
from fhirserver.search.parse import criteria

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from fhirserver.auth.identity.traits import Traits
    from fhirserver.conformance.registry import Registry
    from fhirserver.storage.interface import Store

#: Professions of a PractitionerRole.code.
PROFESSIONS = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
#: INS by NIR and by NIA, and their test domain.
INS = tuple(f"urn:oid:1.2.250.1.213.1.4.{n}" for n in (8, 9, 10))
_MOST = 50


class Capacity(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way in which a person may act. `patient`: whose record, for a citizen or a proxy."""

    fhir_user: str
    role: str
    label: str
    patient: str = ""
    profession: str = ""
    organization: str = ""


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody who has signed in. `subject`: stable and unique, of the provider's making.
    `regulates`: may answer for a SAMU (centre 15). `reason`: of the access mode, if the provider
    was told one."""

    subject: str
    name: str
    capacities: tuple[Capacity, ...]
    acr: str = ""
    regulates: bool = False
    reason: str = ""


class Directory:
    """Finds people's resources. It reads the store itself: who signs in has no rights yet."""

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    async def person(
        self, subject: str, name: str, system: str, value: str, *, acr: str = ""
    ) -> Person | None:
        """The person with this identifier; None if the directory holds nobody."""
        if not value:
            return None
        token = f"{system}|{value}"
        capacities = [capacity_of(p) for p in await self._find("Patient", identifier=token)]
        for related in await self._find("RelatedPerson", identifier=token):
            found = await self._with_name(capacity_of(related))
            if found.patient and related.get("active", True):
                capacities.append(found)
        for practitioner in await self._find("Practitioner", identifier=token):
            capacities += await self._roles(practitioner)
        if not capacities:
            return None
        return Person(subject, name or capacities[0].label, tuple(capacities), acr)

    async def by_traits(self, traits: Traits) -> tuple[str, str] | None:
        """System and value of the INS of the one Patient with these traits; None if there is
        none, or more than one."""
        found = await self._find(
            "Patient", birthdate=traits.born, gender=traits.gender, family=traits.family
        )
        fitting = [patient for patient in found if matches(traits, patient)]
        if len(fitting) != 1:
            return None
        for identifier in fitting[0].get("identifier", []):
            if identifier.get("system") in INS and identifier.get("value"):
                return identifier["system"], identifier["value"]
        return None

    async def capacity(self, type: str, id: str) -> Capacity | None:
        """That of one resource (`Patient/1`, `PractitionerRole/2`)."""
        resource = await self.read(type, id)
        if resource is None:
            return None
        if type == "Practitioner":
            return (await self._roles(resource))[0]
        if type == "PractitionerRole":
            return _role(resource)
        return capacity_of(resource) if type in ("Patient", "RelatedPerson") else None

    async def patient(self, text: str, systems: tuple[str, ...]) -> str | None:
        """The id of the patient whom a professional names by INS or logical id."""
        text = text.strip().removeprefix("Patient/")
        if not text or len(text) > 128:
            return None
        resource = await self.read("Patient", text)
        if resource is not None:
            return str(resource["id"])
        compact = "".join(text.split())
        for system in systems:
            found = await self._find("Patient", identifier=f"{system}|{compact}")
            if len(found) == 1:
                return str(found[0]["id"])
        return None

    async def read(self, type: str, id: str) -> dict[str, Any] | None:
        version = await self._store.read(type, id)
        if version is None or version.content is None:
            return None
        return json.decode(version.content)

    async def _roles(self, practitioner: dict[str, Any]) -> list[Capacity]:
        reference = f"Practitioner/{practitioner['id']}"
        roles = await self._find("PractitionerRole", practitioner=reference)
        found = [_role(r, name_of(practitioner)) for r in roles if r.get("active", True)]
        return found or [
            Capacity(reference, Role.PROFESSIONAL, name_of(practitioner), profession="")
        ]

    async def _with_name(self, capacity: Capacity) -> Capacity:
        patient = await self.read("Patient", capacity.patient)
        if patient is None:
            return msgspec.structs.replace(capacity, patient="")
        return msgspec.structs.replace(capacity, label=name_of(patient))

    async def _find(self, type: str, **parameters: str) -> list[dict[str, Any]]:
        text = "&".join(f"{name}={quote(_escape(v))}" for name, v in parameters.items())
        query = criteria(self._registry, type, text, now=self._clock())
        page = await self._store.search(query)
        return [json.decode(v.content) for v in page.versions[:_MOST] if v.content is not None]


def capacity_of(resource: dict[str, Any]) -> Capacity:
    """That of a Patient or RelatedPerson."""
    type, id = resource["resourceType"], resource["id"]
    if type == "Patient":
        return Capacity(f"Patient/{id}", Role.CITIZEN, name_of(resource), patient=id)
    reference = (resource.get("patient") or {}).get("reference", "")
    return Capacity(
        f"RelatedPerson/{id}",
        Role.PROXY,
        name_of(resource),
        patient=reference.removeprefix("Patient/") if reference.startswith("Patient/") else "",
    )


def _role(resource: dict[str, Any], name: str = "") -> Capacity:
    codes = [
        coding.get("code", "")
        for concept in resource.get("code", [])
        for coding in concept.get("coding", [])
        if coding.get("system") == PROFESSIONS
    ]
    practitioner = resource.get("practitioner") or {}
    organization = resource.get("organization") or {}
    label = name or practitioner.get("display") or f"PractitionerRole/{resource['id']}"
    place = organization.get("display") or organization.get("reference", "")
    return Capacity(
        f"PractitionerRole/{resource['id']}",
        Role.PROFESSIONAL,
        f"{label} ({place})" if place else label,
        profession=codes[0] if codes else "",
        organization=organization.get("reference", ""),
    )


def name_of(resource: dict[str, Any]) -> str:
    """A person's name as one reads it."""
    names = resource.get("name") or []
    for name in sorted(names, key=lambda n: n.get("use") != "usual"):
        if name.get("text"):
            return str(name["text"])
        parts = [*name.get("given", [])[:1], name.get("family", "")]
        text = " ".join(part for part in parts if part)
        if text:
            return text
    return f"{resource['resourceType']}/{resource['id']}"


def _escape(value: str) -> str:
    """A value with a bar of its own after the first would be read as more than it is."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("$", "\\$")
