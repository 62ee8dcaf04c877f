"""Changing what is published: status, visibility, archiving; nothing else."""

from __future__ import annotations

import base64
import uuid

import pytest
import record_samples as samples
from over_http import outcome_of

PATCH = {"content-type": "application/json-patch+json"}


@pytest.fixture
def patient(fhir):
    made = fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    return f"Patient/{made.json()['id']}"


@pytest.fixture
def made(fhir, patient):
    answer = fhir.post("/DocumentReference", json=samples.simplified(patient))
    assert answer.status_code == 201, answer.text
    return answer.json()


def patched(fhir, document, *operations):
    """A conditional PATCH by unique id."""
    identifier = document["masterIdentifier"]
    return fhir.patch(
        "/DocumentReference",
        params={"identifier": f"{identifier['system']}|{identifier['value']}"},
        json=list(operations),
        headers=PATCH,
    )


def label(code, system=samples.VISIBILITY):
    return {"coding": [{"system": system, "code": code}]}


def archived(value):
    return {"url": samples.ARCHIVED, "valueBoolean": value}


def test_visibility_archiving_and_status_change_by_conditional_patch(fhir, patient, made):
    steps = [
        {"op": "add", "path": "/securityLabel", "value": [label("MASQUE_PS")]},
        {"op": "add", "path": "/extension", "value": [archived(True)]},
        {"op": "replace", "path": "/status", "value": "superseded"},
    ]
    for number, step in enumerate(steps, 2):
        answer = patched(fhir, made, step)
        assert answer.status_code == 200, answer.text
        assert answer.json()["meta"]["versionId"] == str(number)
    found = fhir.get("/DocumentReference", params={"patient": patient, "isArchived": "true"}).json()
    (document,) = [each["resource"] for each in found["entry"]]
    assert document["status"] == "superseded"
    assert document["securityLabel"] == [label("MASQUE_PS")]
    again = patched(fhir, made, {"op": "replace", "path": "/extension/0", "value": archived(False)})
    assert again.status_code == 200
    params = {"patient": patient, "isArchived": "true"}
    assert "entry" not in fhir.get("/DocumentReference", params=params).json()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/description", "other"),
        ("/type", {"coding": [{"system": "http://loinc.org", "code": "34112-3"}]}),
        ("/subject", {"reference": "Patient/other"}),
        ("/content/0/attachment/title", "other"),
        ("/content/0/attachment/url", "Binary/other"),
        ("/masterIdentifier/value", "urn:oid:1.2"),
        ("/author/0/reference", "Practitioner/other"),
        ("/extension", [{"url": "http://example.org/x", "valueBoolean": True}]),
    ],
)
def test_any_other_change_is_not_allowed(fhir, made, path, value):
    answer = patched(fhir, made, {"op": "add", "path": path, "value": value})
    (issue,) = outcome_of(answer, 405)["issue"]
    assert path.split("/")[1] in issue["expression"][0]
    after = made | {}
    if path == "/description":
        after["description"] = value
        put = fhir.put(f"/DocumentReference/{made['id']}", json=after)
        outcome_of(put, 405)
    assert fhir.get(f"/DocumentReference/{made['id']}").json() == made


def test_removing_is_a_change_too(fhir, made):
    for path in ("/masterIdentifier", "/category", "/author"):
        outcome_of(patched(fhir, made, {"op": "remove", "path": path}), 405)


def test_five_labels_are_too_many(fhir, made):
    labels = [label(c) for c in ("MASQUE_PS", "INVISIBLE_PATIENT", "MASQUE_PT", "MASQUE_PSOCIAL")]
    add = {"op": "add", "path": "/securityLabel", "value": labels}
    assert patched(fhir, made, add).status_code == 200
    more = {"op": "add", "path": "/securityLabel/-", "value": label("R", samples.CONFIDENTIALITY)}
    outcome_of(patched(fhir, made, more), 422)


def test_a_put_of_the_document_as_it_was_sent_changes_nothing(fhir, patient):
    sent = samples.simplified(patient, id=uuid.uuid4().hex)
    sent["category"] = [{"coding": [{"system": samples.CLASSES, "code": "11"}]}]
    first = fhir.put(f"/DocumentReference/{sent['id']}", json=sent)
    assert first.status_code == 201, first.text
    assert first.json()["category"][0]["coding"][0]["code"] == "10"
    again = fhir.put(f"/DocumentReference/{sent['id']}", json=sent)
    assert again.status_code == 200, again.text
    for name in ("content", "category", "masterIdentifier"):
        assert again.json()[name] == first.json()[name]
    other = samples.text64(b"%PDF-1.7 other")
    sent["content"][0]["attachment"]["data"] = other
    outcome_of(fhir.put(f"/DocumentReference/{sent['id']}", json=sent), 405)


def test_the_content_of_a_document_does_not_change(fhir, made):
    url = made["content"][0]["attachment"]["url"]
    binary = fhir.get(url, headers={"accept": "application/fhir+json"}).json()
    assert fhir.put(url, json=binary).status_code == 200
    other = {"data": base64.b64encode(b"%PDF-1.4 other").decode()}
    for changed in (binary | other, binary | {"contentType": "text/html"}):
        outcome_of(fhir.put(url, json=changed), 405)
    del binary["data"]
    outcome_of(fhir.put(url, json=binary), 405)
    assert fhir.get(url, headers={"accept": "application/pdf"}).content == samples.PDF


def test_the_content_of_a_document_goes_with_it(fhir, made):
    url = made["content"][0]["attachment"]["url"]
    outcome_of(fhir.delete(url), 409)
    assert fhir.get(url, headers={"accept": "application/pdf"}).content == samples.PDF
    assert fhir.delete(f"/DocumentReference/{made['id']}").status_code == 204
    assert fhir.delete(url).status_code == 204
    loose = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="}
    id = fhir.post("/Binary", json=loose, headers={"content-type": "application/fhir+json"})
    assert fhir.delete(f"/Binary/{id.json()['id']}").status_code == 204


def test_a_deleted_document_stays_so(fhir, patient, made):
    delete = {"op": "replace", "path": "/status", "value": "entered-in-error"}
    assert patched(fhir, made, delete).status_code == 200
    outcome_of(patched(fhir, made, {"op": "replace", "path": "/status", "value": "current"}), 409)
    params = {"patient": patient, "status": "current"}
    assert "entry" not in fhir.get("/DocumentReference", params=params).json()


def test_a_replaced_document_is_current_again_only_without_its_replacement(fhir, patient, made):
    relation = samples.replaces(f"DocumentReference/{made['id']}")
    new = fhir.post("/DocumentReference", json=samples.simplified(patient, relatesTo=relation))
    restore = {"op": "replace", "path": "/status", "value": "current"}
    outcome_of(patched(fhir, made, restore), 409)
    delete = {"op": "replace", "path": "/status", "value": "entered-in-error"}
    assert patched(fhir, new.json(), delete).status_code == 200
    assert patched(fhir, made, restore).status_code == 200


def test_documents_that_are_none_of_the_record_change_as_they_like(fhir):
    resource = {
        "resourceType": "DocumentReference",
        "status": "entered-in-error",
        "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}],
    }
    id = fhir.post("/DocumentReference", json=resource).json()["id"]
    after = resource | {"id": id, "status": "current", "description": "x"}
    assert fhir.put(f"/DocumentReference/{id}", json=after).status_code == 200
