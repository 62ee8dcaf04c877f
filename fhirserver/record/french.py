"""Which resources the rules of the record bind (docs/record.md).

A DocumentReference is one when it claims a profile of PDSm, or its type is of the French systems
or a LOINC type of the ANS's value sets, or its class, format, facility or practice setting is of
an ANS system, or its subject has a national health identity (INS). Everything else is stored as
FHIR has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.codes import INS
from fhirserver.record.document_codes import codings, document_types
from fhirserver.record.names import LIST_TYPES, LOINC_OF_THE_ANS, PROFILES, TYPES_OF_THE_RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator

Resource = dict[str, Any]

_ANS = "https://mos.esante.gouv.fr/NOS/"


def says_so(resource: Resource) -> bool:
    """Whether the document itself tells, whoever its patient is."""
    if claims_profile(resource):
        return True
    for system, code in codings(resource.get("type")):
        if system in (TYPES_OF_THE_RECORD, LOINC_OF_THE_ANS):
            return True
        if document_types().known((system, code)):
            return True
    return any(system.startswith(_ANS) for system in _other_systems(resource))


def claims_profile(resource: Resource) -> bool:
    profiles = resource.get("meta", {}).get("profile", [])
    return any(str(profile).startswith(PROFILES) for profile in profiles)


def _other_systems(resource: Resource) -> Iterator[str]:
    context = resource.get("context", {})
    for concept in (
        *resource.get("category", ()),
        context.get("facilityType"),
        context.get("practiceSetting"),
    ):
        yield from (system for system, _ in codings(concept))
    for content in resource.get("content", ()):
        yield str(content.get("format", {}).get("system", ""))


def identities(patient: Resource | None) -> set[tuple[str, str]]:
    """The national health identities of a patient."""
    if patient is None:
        return set()
    return {
        (identifier["system"], str(identifier.get("value", "")))
        for identifier in patient.get("identifier", ())
        if identifier.get("system") in INS and identifier.get("value")
    }


def list_kind(resource: Resource | None) -> str:
    """`submissionset` or `folder` for a List of IHE MHD; empty for any other."""
    if resource is None:
        return ""
    for system, code in codings(resource.get("code")):
        if system == LIST_TYPES:
            return code
    return ""
