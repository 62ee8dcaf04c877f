"""Documents to publish: PDSm shapes with everything a test does not care for."""

from __future__ import annotations

import base64
import hashlib
import uuid

PDF = b"%PDF-1.4\n1 0 obj\n<</Type/Catalog>>\nendobj\n%%EOF\n"
CLASSES = "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
VISIBILITY = (
    "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/"
    "TRE-A07-StatutVisibiliteDocument"
)
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ARCHIVED = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"
LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
TEST_INS = "urn:oid:1.2.250.1.213.1.4.10"


def sha1(body):
    return base64.b64encode(hashlib.sha1(body).digest()).decode()


def text64(body):
    return base64.b64encode(body).decode()


def unique():
    return {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid.uuid4()}"}


def document(patient, type="11488-4", system="http://loinc.org", **more):
    """Metadata without content."""
    return {
        "resourceType": "DocumentReference",
        "masterIdentifier": unique(),
        "status": "current",
        "type": {"coding": [{"system": system, "code": type}]},
        "subject": {"reference": patient},
        "date": "2026-11-20T10:00:00+01:00",
        "author": [{"reference": "Practitioner/dr-example"}],
    } | more


def simplified(patient, body=PDF, content_type="application/pdf", attachment=None, **more):
    """ITI-105: the content inside."""
    inside = {"contentType": content_type, "data": text64(body), "title": "Compte rendu"}
    return document(patient, **more) | {
        "content": [{"attachment": inside | (attachment or {})}],
    }


def submission(patient, *documents, binaries=(), sets=None, more=()):
    """ITI-65: a Bundle of a SubmissionSet, documents with their fullUrl, and Binaries."""
    urls = [f"urn:uuid:{uuid.uuid4()}" for _ in documents]
    made = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": LIST_TYPES, "code": "submissionset"}]},
        "subject": {"reference": patient},
        "date": "2026-11-20T10:00:00+01:00",
        "source": {"reference": "Practitioner/dr-example"},
        "entry": [{"item": {"reference": url}} for url in urls],
    } | (sets or {})
    entries = [entry("List", made)]
    entries += [
        entry("DocumentReference", each, url) for each, url in zip(documents, urls, strict=True)
    ]
    entries += [entry("Binary", binary, url) for url, binary in binaries]
    return {"resourceType": "Bundle", "type": "transaction", "entry": [*entries, *more]}


def entry(type, resource, url=None, method="POST"):
    return {
        "fullUrl": url or f"urn:uuid:{uuid.uuid4()}",
        "resource": resource,
        "request": {"method": method, "url": type},
    }


def carried(patient, body=PDF, content_type="application/pdf", attachment=None, **more):
    """A document whose content is a Binary of the same Bundle, and that Binary."""
    url = f"urn:uuid:{uuid.uuid4()}"
    inside = {
        "contentType": content_type,
        "url": url,
        "size": len(body),
        "hash": sha1(body),
        "title": "Compte rendu",
    }
    made = document(patient, **more) | {
        "content": [{"attachment": inside | (attachment or {})}],
    }
    binary = {"resourceType": "Binary", "contentType": content_type, "data": text64(body)}
    return made, (url, binary)


def whole(patient, **more):
    """A Bundle of one document."""
    made, binary = carried(patient, **more)
    return submission(patient, made, binaries=[binary])


def superseding(identity):
    """The PATCH entry by which a Bundle makes a replaced document superseded."""
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "value", "valueCode": "superseded"},
    ]
    patch = {
        "resourceType": "Parameters",
        "parameter": [{"name": "operation", "part": parts}],
    }
    return entry(identity, patch, method="PATCH")


def replaces(identity):
    return [{"code": "replaces", "target": {"reference": identity}}]
