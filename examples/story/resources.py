"""The resources that the people of the story write."""

from __future__ import annotations

import base64
import uuid
from datetime import date
from typing import Any

OWN = "http://fhirserver.example"
MASKS = (
    "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/"
    "TRE-A07-StatutVisibiliteDocument"
)
_ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

Resource = dict[str, Any]


def letter(patient: str, organization: str, day: str, text: str) -> Resource:
    """A discharge letter, published by ITI-105: the document inside its metadata."""
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid.uuid4()}"},
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11490-0"}]},
        "subject": {"reference": patient},
        "date": f"{day}T10:00:00+01:00",
        "author": [{"reference": organization}],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain",
                    "title": "Lettre de liaison à la sortie",
                    "data": data,
                }
            }
        ],
    }


def choice(patient: str, category: str, kind: str, text: str, **provision: Any) -> Resource:
    """A choice of the citizen (docs/access.md)."""
    privacy = {
        "system": "http://terminology.hl7.org/CodeSystem/consentscope",
        "code": "patient-privacy",
    }
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [privacy]},
        "category": [{"coding": [{"system": _ACT, "code": category}]}],
        "patient": {"reference": patient},
        "dateTime": date.today().isoformat(),
        "performer": [{"reference": patient}],
        "policyRule": {"text": text},
        "provision": {"type": kind, **provision},
    }


def actor(reference: str) -> list[Resource]:
    return [{"role": {"text": "reader"}, "reference": {"reference": reference}}]


def purpose(code: str, system: str = _REASON) -> list[Resource]:
    return [{"system": system, "code": code}]


def parameters(**values: Any) -> Resource:
    """`slot_reference=("valueReference", {...})`"""
    listed = [{"name": n.replace("_", "-"), v[0]: v[1]} for n, v in values.items()]
    return {"resourceType": "Parameters", "parameter": listed}


def concept(of: str, code: str) -> Resource:
    return {"coding": [{"system": f"{OWN}/CodeSystem/catalogue-{of}", "code": code}]}


def referencing(status: str) -> Resource:
    part = {"url": "status", "valueCode": status}
    return {"url": f"{OWN}/StructureDefinition/catalogue-referencing", "extension": [part]}


def convention(code: str, *scopes: str) -> Resource:
    system = f"{OWN}/CodeSystem/catalogue-purpose"
    inner: list[Resource] = [{"url": "code", "valueCoding": {"system": system, "code": code}}]
    inner += [
        {"url": "scope", "extension": [{"url": "value", "valueString": scope}]} for scope in scopes
    ]
    return {
        "url": f"{OWN}/StructureDefinition/catalogue-convention",
        "extension": [{"url": "purpose", "extension": inner}],
    }
