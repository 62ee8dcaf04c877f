"""Finding and fetching documents: ITI-66, ITI-67, ITI-68."""

from __future__ import annotations

import json
import uuid

import pytest
import record_samples as samples
from over_http import outcome_of

FACILITY = "https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite"
PRACTICE = "https://mos.esante.gouv.fr/NOS/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice"
FORMAT = "https://mos.esante.gouv.fr/NOS/TRE_A11-IheFormatCode/FHIR/TRE-A11-IheFormatCode"
ORGANIZATION = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-authorOrg"
SOURCE_ID = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId"


@pytest.fixture(scope="module")
def published(fresh_server):
    """A patient with one document of many metadata, and another document that has none of them."""
    import httpx

    tag = uuid.uuid4().hex[:8]
    with httpx.Client(base_url=fresh_server.base_url, timeout=30) as fhir:
        identifier = {"system": "urn:oid:1.2.250.1.999", "value": tag}
        person = {"resourceType": "Patient", "active": True, "identifier": [identifier]}
        patient = f"Patient/{fhir.post('/Patient', json=person).json()['id']}"
        rich = rich_document(patient)
        answer = fhir.post("/DocumentReference", json=rich)
        assert answer.status_code == 201, answer.text
        old = answer.json()
        plain = samples.simplified(
            patient, type="34112-3", date="2020-01-01T00:00:00Z", relatesTo=appends(old["id"])
        )
        plain["author"] = [{"reference": "Organization/elsewhere"}]
        other = fhir.post("/DocumentReference", json=plain)
        assert other.status_code == 201, other.text
        yield fhir, patient, tag, old, other.json()


def appends(id):
    return [{"code": "appends", "target": {"reference": f"DocumentReference/{id}"}}]


def rich_document(patient):
    document = samples.simplified(
        patient,
        attachment={"creation": "2026-03-02T10:00:00+01:00"},
        date="2026-03-03T10:00:00+01:00",
        description="suivi",
        securityLabel=[{"coding": [{"system": samples.CONFIDENTIALITY, "code": "R"}]}],
        contained=[
            {
                "resourceType": "PractitionerRole",
                "id": "role",
                "practitioner": {"reference": "#dr"},
            },
            {
                "resourceType": "Practitioner",
                "id": "dr",
                "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810101201234"}],
                "name": [{"family": "Leclèrc", "given": ["Sophie"]}],
            },
        ],
        author=[{"reference": "#role"}],
        context={
            "event": [{"coding": [{"system": "urn:oid:1.2", "code": "ev1"}]}],
            "period": {"start": "2026-03-01T09:00:00+01:00", "end": "2026-03-02T09:00:00+01:00"},
            "facilityType": {"coding": [{"system": FACILITY, "code": "SA01"}]},
            "practiceSetting": {"coding": [{"system": PRACTICE, "code": "ETABLISSEMENT"}]},
            "related": [{"reference": "ServiceRequest/sr1"}],
        },
    )
    document["content"][0]["format"] = {"system": FORMAT, "code": "urn:ihe:iti:xds-sd:pdf:2008"}
    return document


BY = [
    "type=http://loinc.org|11488-4",
    f"category={samples.CLASSES}|10&type=11488-4",
    f"setting={PRACTICE}|ETABLISSEMENT",
    f"facility={FACILITY}|SA01",
    f"format={FORMAT}|urn:ihe:iti:xds-sd:pdf:2008",
    "event=ev1",
    f"security-label={samples.CONFIDENTIALITY}|R",
    "period=ge2026-03-01&period=le2026-03-02",
    "creation=2026-03-02",
    "creation=ge2026-03-01&creation=lt2026-03-03",
    "date=2026-03-03",
    "author.family=leclerc",
    "author.given=sophie",
    "author:Practitioner.family=leclerc",
    "author.family:exact=Leclèrc",
    "author.identifier=urn:oid:1.2.250.1.71.4.2.1|810101201234",
    "related=ServiceRequest/sr1",
    "period-start=2026-03-01",
    "period-start=ge2026-03-01&period-start=lt2026-03-02",
    "period-end=2026-03-02",
    "isArchived:missing=true&event=ev1",
    "description=suivi",
]


@pytest.mark.parametrize("by", BY)
def test_documents_are_found_by_what_they_have(published, by):
    fhir, patient, tag, rich, _ = published
    for whose in (f"patient={patient}", f"patient.identifier=urn:oid:1.2.250.1.999|{tag}"):
        url = f"/DocumentReference?{whose}&status=current&{by}"
        found = fhir.get(url, headers={"prefer": "handling=strict"})
        assert found.status_code == 200, found.text
        ids = [each["resource"]["id"] for each in found.json().get("entry", [])]
        assert ids == [rich["id"]], url


@pytest.mark.parametrize(
    "by",
    [
        "author.family=mercier",
        "author.given=leclerc",
        "author:Patient.family=leclerc",
        "creation=2026-03-04",
        "period-start=2026-03-02",
        "status=superseded",
        "isArchived=true",
        "author.family:exact=leclerc",
    ],
)
def test_and_not_by_what_they_have_not(published, by):
    fhir, patient, *_ = published
    found = fhir.get(f"/DocumentReference?patient={patient}&{by}").json()
    assert "entry" not in found


def test_documents_are_found_by_their_relation(published):
    fhir, patient, _, rich, other = published
    url = f"/DocumentReference?patient={patient}&relatesto=DocumentReference/{rich['id']}"
    assert [e["resource"]["id"] for e in fhir.get(url).json()["entry"]] == [other["id"]]


def test_documents_are_found_by_unique_id_by_post_too(published):
    fhir, _, _, rich, _ = published
    value = rich["masterIdentifier"]["value"]
    data = {"identifier": f"urn:ietf:rfc:3986|{value}", "status": "current"}
    found = fhir.post("/DocumentReference/_search", data=data).json()
    assert [each["resource"]["id"] for each in found["entry"]] == [rich["id"]]


def test_submission_sets_are_found_by_what_they_have(fhir, tag):
    made = fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    patient = f"Patient/{made.json()['id']}"
    submission = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid.uuid4()}"}],
        "code": {"coding": [{"system": samples.LIST_TYPES, "code": "submissionset"}]},
        "subject": {"reference": patient},
        "date": "2026-04-01T10:00:00+02:00",
        "contained": [
            {"resourceType": "Practitioner", "id": "dr", "name": [{"family": f"Né{tag}"}]}
        ],
        "source": {
            "reference": "#dr",
            "extension": [
                {"url": ORGANIZATION, "valueReference": {"reference": "Organization/ch-1"}}
            ],
        },
        "extension": [
            {"url": SOURCE_ID, "valueIdentifier": {"system": "urn:x", "value": tag}},
            {"url": samples.ARCHIVED, "valueBoolean": False},
        ],
    }
    answer = fhir.post("/List", json=submission)
    assert answer.status_code == 201, answer.text
    for by in (
        f"source.family=ne{tag}",
        "authorOrg=Organization/ch-1",
        f"sourceId=urn:x|{tag}",
        "isArchived=false",
        "date=2026-04-01",
        f"identifier={submission['identifier'][0]['value']}",
    ):
        url = f"/List?patient={patient}&code={samples.LIST_TYPES}|submissionset&{by}"
        found = fhir.get(url, headers={"prefer": "handling=strict"})
        assert found.status_code == 200, found.text
        assert len(found.json().get("entry", [])) == 1, by
    assert "entry" not in fhir.get(f"/List?patient={patient}&source.family=other").json()


# --- ITI-68 ----------------------------------------------------------------------------------


def content_of(published):
    fhir, _, _, rich, _ = published
    return fhir, rich["content"][0]["attachment"]["url"]


@pytest.mark.parametrize("accept", ["application/pdf", "*/*", "application/*;q=0.5", None])
def test_a_document_is_fetched_as_its_bytes(published, accept):
    fhir, url = content_of(published)
    answer = fhir.get(url, headers={"accept": accept} if accept else {})
    assert (answer.status_code, answer.content) == (200, samples.PDF)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["etag"] == 'W/"1"'
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_document_is_told_of_without_its_bytes(published):
    fhir, url = content_of(published)
    answer = fhir.head(url, headers={"accept": "application/pdf"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-length"] == str(len(samples.PDF))


def test_a_document_known_already_is_not_sent_again(published):
    fhir, url = content_of(published)
    headers = {"accept": "application/pdf", "if-none-match": 'W/"1"'}
    assert fhir.get(url, headers=headers).status_code == 304


def test_a_document_is_not_sent_as_another_type(published):
    fhir, url = content_of(published)
    outcome_of(fhir.get(url, headers={"accept": "image/png"}), 406)
    outcome_of(fhir.get("/Binary/unknown", headers={"accept": "application/pdf"}), 404)


def test_a_fhir_document_comes_back_as_its_content(fhir):
    made = fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    patient = f"Patient/{made.json()['id']}"
    content = json.dumps(
        {"resourceType": "Bundle", "type": "document", "identifier": {"value": "1"}}
    ).encode()
    resource = samples.simplified(
        patient, body=content, content_type="application/fhir+json", type="60591-5"
    )
    answer = fhir.post("/DocumentReference", json=resource)
    assert answer.status_code == 201, answer.text
    url = answer.json()["content"][0]["attachment"]["url"]
    for accept in ("application/fhir+json", "application/fhir+json, */*;q=0.1", "*/*"):
        fetched = fhir.get(url, headers={"accept": accept})
        assert fetched.content == content, accept
        assert fetched.headers["content-type"].startswith("application/fhir+json")
    wrapped = fhir.get(url, params={"_format": "json"}).json()
    assert wrapped["resourceType"] == "Binary"
    wrapped = fhir.get(url, headers={"accept": "application/fhir+xml"})
    assert b"<Binary" in wrapped.content
