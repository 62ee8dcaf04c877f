"""$docref and $document over HTTP."""

from __future__ import annotations

import pytest
from over_http import FHIR_JSON, outcome_of

LOINC = "http://loinc.org"
MISSING = "http://fhirserver.example/StructureDefinition/document-missing-reference"


def post(fhir, resource):
    response = fhir.post(f"/{resource['resourceType']}", json=resource, headers=FHIR_JSON)
    assert response.status_code == 201, response.text
    return response.json()


def reference(resource):
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


def patient(fhir, tag):
    identifier = [{"system": "urn:test:document", "value": tag}]
    return post(fhir, {"resourceType": "Patient", "identifier": identifier, "active": True})


def document(whose, code, date, status="current", period=None, **more):
    return {
        "resourceType": "DocumentReference",
        "status": status,
        "type": {"coding": [{"system": "urn:test:types", "code": code}]},
        "subject": reference(whose),
        "date": date,
        "content": [{"attachment": {"contentType": "text/plain", "title": f"{code} {date}"}}],
        **({"context": {"period": period}} if period else {}),
        **more,
    }


def docref(fhir, **parameters):
    response = fhir.get("/DocumentReference/$docref", params=parameters)
    assert response.status_code == 200, response.text
    bundle = response.json()
    assert bundle["type"] == "searchset"
    entries = bundle.get("entry", [])
    assert bundle["total"] == len(entries)
    return [entry["resource"] for entry in entries]


def titles(found):
    return [d["content"][0]["attachment"]["title"] for d in found]


SUMMARY = "Synthèse médicale internationale du patient"
IPS = "http://hl7.org/fhir/uv/ips/StructureDefinition"
A, B, C = "a 2026-01-10T10:00:00Z", "b 2025-01-10T10:00:00Z", "c 2022-02-02T10:00:00Z"


@pytest.fixture
def documents(fhir, tag):
    whose = patient(fhir, tag)
    post(fhir, document(whose, "a", "2024-01-10T10:00:00Z"))
    post(fhir, document(whose, "a", "2026-01-10T10:00:00Z"))
    post(fhir, document(whose, "a", "2026-05-10T10:00:00Z", status="superseded"))
    care = {"start": "2023-03-01", "end": "2023-03-05"}
    post(fhir, document(whose, "b", "2025-01-10T10:00:00Z", period=care))
    profiled = {"meta": {"profile": ["http://example.org/StructureDefinition/mine"]}}
    post(fhir, document(whose, "c", "2022-02-02T10:00:00Z", **profiled))
    return whose["id"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [SUMMARY, A, B, C]),
        ({"on-demand": "true"}, [SUMMARY]),
        ({"on-demand": "false", "type": "a"}, [A]),
        ({"type": "urn:test:types|b"}, [B]),
        ({"type": "urn:other|b"}, []),
        ({"type": f"{LOINC}|60591-5"}, [SUMMARY]),
        ({"start": "2024-01-01", "end": "2025-12-31"}, ["a 2024-01-10T10:00:00Z"]),
        ({"start": "2023-03-04", "end": "2023-12-31"}, [B]),
        ({"end": "2023-01-01"}, [C]),
        ({"start": "2026-01-01"}, [SUMMARY, A]),
        ({"profile": "http://example.org/StructureDefinition/mine"}, [C]),
        ({"profile": f"{IPS}/Bundle-uv-ips|2.0.0"}, [SUMMARY]),
        ({"start": "2999-01-01"}, []),
    ],
)  # fmt: skip
def test_documents_that_are_found(fhir, documents, asked, expected):
    assert titles(docref(fhir, patient=documents, **asked)) == expected


def test_summary_is_fetched_where_its_reference_says(fhir, documents):
    (found,) = docref(fhir, patient=f"Patient/{documents}", **{"on-demand": "true"})
    fetched = fhir.get(found["content"][0]["attachment"]["url"])
    assert fetched.status_code == 200
    assert fetched.json()["entry"][0]["resource"]["resourceType"] == "Composition"
    checked = fhir.post("/DocumentReference/$validate", json=found, headers=FHIR_JSON).json()
    assert not [i for i in checked["issue"] if i["severity"] in ("error", "fatal")], checked


def test_parameters_in_a_body(fhir, documents):
    concept = {"coding": [{"system": "urn:test:types", "code": "b"}]}
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "patient", "valueId": documents},
            {"name": "type", "valueCodeableConcept": concept},
            {"name": "on-demand", "valueBoolean": False},
        ],
    }
    found = fhir.post("/DocumentReference/$docref", json=body, headers=FHIR_JSON).json()
    assert titles([e["resource"] for e in found["entry"]]) == [B]


def test_unknown_patient_has_no_documents(fhir, tag):
    assert docref(fhir, patient=f"no-{tag[:20]}") == []


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"patient": "1", "start": "yesterday"},
        {"patient": "1", "start": "2026-01-01", "end": "2025-01-01"},
        {"patient": "1", "on-demand": "perhaps"},
        {"patient": "1", "type": ""},
        {"patient": "1", "status": "current"},
        {"patient": "Group/1"},
        {"patient": ["1", "2"]},
    ],
)
def test_bad_calls_of_docref_are_refused(fhir, asked):
    outcome_of(fhir.get("/DocumentReference/$docref", params=asked), 400)


# --- $document ------------------------------------------------------------------------------


def composition(whose, author, *entries, **more):
    return {
        "resourceType": "Composition",
        "status": "final",
        "type": {"coding": [{"system": LOINC, "code": "11488-4"}]},
        "subject": reference(whose),
        "date": "2026-11-24",
        "author": [reference(author)],
        "title": "Compte rendu de consultation",
        "section": [{"title": "Tout", "entry": list(entries or [reference(whose)])}],
        **more,
    }


def observation(whose, **more):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": reference(whose),
        **more,
    }


def identities(bundle):
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"]]


def missing(bundle):
    return [e["valueUri"] for e in bundle["entry"][0].get("extension", ()) if e["url"] == MISSING]


@pytest.fixture
def whose(fhir, tag):
    return patient(fhir, tag)


@pytest.fixture
def author(fhir):
    return post(fhir, {"resourceType": "Practitioner", "name": [{"family": "ROUX"}]})


def test_document_has_everything_once(fhir, whose, author):
    organization = post(fhir, {"resourceType": "Organization", "name": "Cabinet"})
    member = post(fhir, observation(whose, performer=[reference(organization)]))
    panel = post(fhir, observation(whose, hasMember=[reference(member)]))
    made = post(fhir, composition(whose, author, reference(panel), reference(member)))
    response = fhir.get(f"/Composition/{made['id']}/$document")
    assert response.status_code == 200, response.text
    bundle = response.json()
    assert bundle["type"] == "document"
    found = identities(bundle)
    assert found[0] == f"Composition/{made['id']}"
    assert sorted(found[1:]) == sorted(
        reference(r)["reference"] for r in (whose, author, organization, member, panel)
    )
    base = str(fhir.base_url).rstrip("/")
    assert [e["fullUrl"] for e in bundle["entry"]] == [f"{base}/{name}" for name in found]
    assert missing(bundle) == []
    checked = fhir.post("/Bundle/$validate", json=bundle, headers=FHIR_JSON).json()
    assert not [i for i in checked["issue"] if i["severity"] in ("error", "fatal")], checked
    again = fhir.get("/Composition/$document", params={"id": f"{base}/Composition/{made['id']}"})
    assert identities(again.json()) == found


def test_circles_end(fhir, whose, author):
    first = post(fhir, observation(whose))
    second = post(fhir, observation(whose, derivedFrom=[reference(first)]))
    closed = first | {"derivedFrom": [reference(second)]}
    assert fhir.put(f"/Observation/{first['id']}", json=closed, headers=FHIR_JSON).is_success
    made = post(fhir, composition(whose, author, reference(first)))
    found = identities(fhir.get(f"/Composition/{made['id']}/$document").json())
    assert sorted(found) == sorted(set(found))
    assert len(found) == 5


def test_what_is_not_there_is_reported(fhir, whose, author, tag):
    gone = post(fhir, observation(whose))
    elsewhere = {"reference": "http://other.example/fhir/Observation/1"}
    never = {"reference": f"Observation/no-{tag[:20]}"}
    entries = (reference(gone), elsewhere, never)
    made = post(fhir, composition(whose, author, *entries))
    fhir.delete(f"/Observation/{gone['id']}")
    response = fhir.get(f"/Composition/{made['id']}/$document")
    assert response.status_code == 200
    assert missing(response.json()) == sorted(e["reference"] for e in entries)


def test_reference_to_a_version_brings_that_version(fhir, whose, author):
    old = post(fhir, observation(whose))
    fhir.put(f"/Observation/{old['id']}", json=old | {"code": {"text": "y"}}, headers=FHIR_JSON)
    versioned = {"reference": f"Observation/{old['id']}/_history/1"}
    made = post(fhir, composition(whose, author, versioned))
    bundle = fhir.get(f"/Composition/{made['id']}/$document").json()
    (found,) = [e["resource"] for e in bundle["entry"] if e["resource"]["id"] == old["id"]]
    assert found["code"] == {"text": "x"}
    assert missing(bundle) == []


def test_persisted_document_is_stored_as_a_bundle(fhir, whose, author):
    made = post(fhir, composition(whose, author))
    url = f"/Composition/{made['id']}/$document"
    outcome_of(fhir.get(url, params={"persist": "true"}), 400)
    response = fhir.post(f"{url}?persist=true")
    assert response.status_code == 200, response.text
    stored = fhir.get(response.headers["location"]).json()
    assert stored == response.json()
    assert stored["type"] == "document"
    assert stored["entry"][0]["resource"] == made


def test_document_as_a_page(fhir, whose, author):
    made = post(fhir, composition(whose, author))
    url = f"/Composition/{made['id']}/$document"
    response = fhir.get(url, headers={"accept": "text/html"})
    assert response.status_code == 200
    assert "<h1>Compte rendu de consultation</h1>" in response.text


def test_bad_calls_of_document_are_refused(fhir, whose, author, tag):
    made = post(fhir, composition(whose, author))
    url = f"/Composition/{made['id']}/$document"
    outcome_of(fhir.get(url, params={"graph": "http://example.org/GraphDefinition/g"}), (400, 501))
    outcome_of(fhir.get(url, params={"persist": "perhaps"}), 400)
    outcome_of(fhir.get(url, params={"depth": "1"}), 400)
    outcome_of(fhir.get("/Composition/$document"), 400)
    outcome_of(fhir.get("/Composition/$document", params={"id": "Patient/1"}), 400)
    outcome_of(fhir.get(f"/Composition/no-{tag[:20]}/$document"), 404)
