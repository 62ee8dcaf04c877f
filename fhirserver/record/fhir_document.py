"""Whom a FHIR document (a Bundle of type document) is about, by its own word.

https://hl7.org/fhir/R4/documents.html: the subject of the Composition, in the Bundle or contained.
"""

from __future__ import annotations

from typing import Any

from fhirserver.errors import FHIRError
from fhirserver.model import json, xml
from fhirserver.record.cda import Header
from fhirserver.record.content_type import media_type

Resource = dict[str, Any]


def read(body: bytes, said: str) -> Header | None:
    """None when it is another resource, or names no Patient that it holds."""
    try:
        decode = xml.decode if media_type(said) == "application/fhir+xml" else json.decode
        bundle = decode(body)
    except FHIRError:
        return None
    patient = _subject(bundle)
    if patient is None:
        return None
    identifiers = tuple(
        (str(each["system"]), str(each["value"]))
        for each in _listed(patient.get("identifier"))
        if each.get("system") and each.get("value")
    )
    return Header(patient=identifiers)


def _subject(bundle: Resource) -> Resource | None:
    entries = _listed(bundle.get("entry"))
    first = entries[0].get("resource") if entries else None
    if bundle.get("resourceType") != "Bundle" or not isinstance(first, dict):
        return None
    subject = first.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    if first.get("resourceType") != "Composition" or not isinstance(reference, str):
        return None
    held = [(f"#{one.get('id')}", one) for one in _listed(first.get("contained"))]
    for entry in entries:
        resource = entry.get("resource")
        if isinstance(resource, dict):
            held.append((str(entry.get("fullUrl", "")), resource))
            held.append((f"{resource.get('resourceType')}/{resource.get('id')}", resource))
    for name, resource in held:
        if name == reference and resource.get("resourceType") == "Patient":
            return resource
    return None


def _listed(value: Any) -> list[Resource]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
