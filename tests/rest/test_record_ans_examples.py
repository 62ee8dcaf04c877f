"""The examples of PDSm and of the DMP's draft guide: taken, or refused for a reason told."""

from __future__ import annotations

import gzip
import json
import re

import pytest
from over_http import ROOT, outcome_of

from fhirserver.model.patch_json import apply

TOLD = json.loads((ROOT / "tests" / "data" / "french-record-examples.json").read_text())
REFUSED = TOLD["refused"]
INS = "279035121518989"
SYSTEM = "urn:oid:1.2.250.1.213.1.4.8"
PACKAGES = ("ans.fhir.fr.pdsm", "ans.fhir.fr.pdsm4dmp")
REPLACEMENT = "Bundle-example-td2-1-remplacement.json"
ITI_65 = "Bundle-example-td2-iti65-lot-soumission.json"
ITI_105 = "DocumentReference-example-td2-iti105-publication-simplifiee.json"


@pytest.fixture(scope="module")
def examples(shared_data):
    found = {}
    with gzip.open(shared_data / "french" / "examples.ndjson.gz", "rt") as lines:
        for line in lines:
            each = json.loads(line)
            if each["package"] in PACKAGES:
                text = json.dumps(each["resource"]).replace("123456789012345", INS)
                found[each["file"]] = json.loads(text)
    return found


def patient_of(fhir):
    """The Patient with the INS of the examples."""
    found = fhir.get("/Patient", params={"identifier": f"{SYSTEM}|{INS}"}).json()
    if found.get("entry"):
        return f"Patient/{found['entry'][0]['resource']['id']}"
    person = {
        "resourceType": "Patient",
        "active": True,
        "identifier": [{"use": "official", "system": SYSTEM, "value": INS}],
        "name": [{"use": "official", "family": "PAT-TROIS", "given": ["DOMINIQUE"]}],
        "gender": "female",
        "birthDate": "1979-03-28",
    }
    answer = fhir.post("/Patient", json=person)
    assert answer.status_code == 201, answer.text
    return f"Patient/{answer.json()['id']}"


def with_subject(resource, patient):
    """Three examples lack the value of the identifier they name the Patient by, and a Bundle that
    is stored as it is keeps no conditional references; in these the Patient stands itself."""
    pattern = r"Patient\?identifier=urn:oid:[0-9.]+" + (
        r"(?:\|\d+)?" if resource["resourceType"] == "Bundle" else r"(?![0-9.|])"
    )
    return json.loads(re.sub(pattern, patient, json.dumps(resource)))


def send(fhir, resource):
    if resource.get("type") == "transaction":
        return fhir.post("/", json=resource)
    type, id = resource["resourceType"], resource["id"]
    return fhir.put(f"/{type}/{id}", json=resource)


def has_transactions(fhir):
    rest = fhir.get("/metadata").json()["rest"][0]
    return "transaction" in {each["code"] for each in rest.get("interaction", [])}


def test_each_example_is_taken_or_refused_as_told(fresh_server, examples):
    import httpx

    with httpx.Client(base_url=fresh_server.base_url, timeout=60) as fhir:
        patient = patient_of(fhir)
        transactions = has_transactions(fhir)
        assert REFUSED.keys() <= examples.keys()
        # Resources before what they are part of, sets last.
        order = sorted(
            examples, key=lambda file: ("transaction" in str(examples[file].get("type")), file)
        )
        for file in order:
            example = examples[file]
            transaction = example.get("type") == "transaction"
            if transaction and not transactions:
                continue
            if not transaction:
                example = with_subject(example, patient)
            answer = send(fhir, example)
            told = REFUSED.get(file)
            if told is None:
                assert answer.status_code in (200, 201), (file, answer.text[:500])
                continue
            issues = outcome_of(answer, told["status"])["issue"]
            assert told["expression"] in [e for i in issues for e in i["expression"]], (
                file,
                issues,
            )
            if file == REPLACEMENT:
                continue
            corrected = send(fhir, apply(example, told["patch"]))
            assert corrected.status_code in (200, 201), (file, corrected.text[:500])


def test_a_published_example_is_found_again(fhir, examples):
    """ITI-65 and ITI-105 in; ITI-66, ITI-67 and ITI-68 out."""
    patient = patient_of(fhir)
    simplified = with_subject(examples[ITI_105], patient)
    uniques = [simplified["masterIdentifier"]["value"]]
    answer = fhir.post("/DocumentReference", json=simplified)
    assert answer.status_code == 201, answer.text
    if has_transactions(fhir):
        bundle = examples[ITI_65]
        answer = fhir.post("/", json=bundle)
        assert answer.status_code == 200, answer.text
        uniques.append(bundle["entry"][1]["resource"]["masterIdentifier"]["value"])
    whose = {"patient.identifier": f"{SYSTEM}|{INS}", "status": "current"}
    found = fhir.get("/DocumentReference", params=whose | {"type": "http://loinc.org|11488-4"})
    documents = {
        each["resource"]["masterIdentifier"]["value"]: each["resource"]
        for each in found.json()["entry"]
    }
    assert set(uniques) <= documents.keys()
    sets = fhir.get("/List", params=whose | {"code": "submissionset"}).json()["entry"]
    named = {i["item"]["reference"] for s in sets for i in s["resource"]["entry"]}
    for value in uniques:
        document = documents[value]
        assert f"DocumentReference/{document['id']}" in named
        assert document["subject"]["reference"] == patient
        attachment = document["content"][0]["attachment"]
        assert attachment["hash"] == "A/hMRrv6Y15BjSM8kMLidrz+mHc="
        fetched = fhir.get(attachment["url"], headers={"accept": "application/xml"})
        assert fetched.content.endswith(b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>')
        assert len(fetched.content) == attachment["size"] == 80
        again = simplified if value == uniques[0] else None
        if again:
            outcome_of(fhir.post("/DocumentReference", json=again), 409)


def test_the_example_of_a_replacement_replaces(fhir, examples):
    if not has_transactions(fhir):
        pytest.skip("this store has no transactions")
    patient = patient_of(fhir)
    old = with_subject(examples["DocumentReference-doc-x-id.json"], patient)
    answer = fhir.put("/DocumentReference/doc-x-id", json=old | {"status": "current"})
    assert answer.status_code == 201, answer.text
    answer = fhir.post("/", json=examples[REPLACEMENT])
    assert answer.status_code == 200, answer.text
    after = fhir.get("/DocumentReference/doc-x-id").json()
    assert after["status"] == "superseded"
    found = fhir.get("/DocumentReference", params={"relatesto": "DocumentReference/doc-x-id"})
    assert [e["resource"]["status"] for e in found.json()["entry"]] == ["current"]
