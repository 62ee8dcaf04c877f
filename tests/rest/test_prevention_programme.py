"""Screening and check-ups over HTTP: $prevention-programme and the CarePlan kept of it."""

from __future__ import annotations

import httpx
import pytest
from over_http import FHIR_JSON, outcome_of

DEMO = "urn:oid:1.2.250.1.213.1.4.11"


@pytest.fixture
def fhir(fresh_server):
    """A server of this module's own: each space has resources that the server computes."""
    with httpx.Client(base_url=fresh_server.base_url, timeout=60) as client:
        yield client


def post(fhir, resource):
    response = fhir.post(f"/{resource['resourceType']}", json=resource, headers=FHIR_JSON)
    assert response.status_code == 201, response.text
    return response.json()


def space(fhir, tag, system=DEMO, birth="1970-01-10"):
    identifier = [{"system": system, "value": tag[:15]}]
    return post(
        fhir,
        {
            "resourceType": "Patient",
            "identifier": identifier,
            "gender": "female",
            "birthDate": birth,
        },
    )


def mammography(patient, day, **elements):
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "71651007"}]}
    return {
        "resourceType": "Procedure",
        "status": "completed",
        "code": code,
        "subject": {"reference": f"Patient/{patient['id']}"},
        "performedDateTime": day,
        **elements,
    }


def breast(plan):
    return [
        (a["detail"]["statusReason"]["coding"][0]["code"], a["detail"]["scheduledPeriod"]["start"])
        for a in plan["activity"]
        if a["detail"]["code"]["coding"][0]["code"] == "breast"
    ]


def stored(fhir, patient):
    found = fhir.get("/CarePlan", params={"patient": patient["id"]}).json()
    entries = [entry["resource"] for entry in found.get("entry", [])]
    assert len(entries) <= 1
    return entries[0] if entries else None


def test_programme_of_a_stored_patient_reads_the_record(fhir, tag):
    patient = space(fhir, tag, system="urn:test")
    url = f"/Patient/{patient['id']}/$prevention-programme"
    before = fhir.get(url, params={"date": "2026-06-01"})
    assert before.status_code == 200, before.text
    assert breast(before.json()) == [("due", "2020-01-10")]
    post(fhir, mammography(patient, "2025-06-02"))
    after = fhir.get(url, params={"date": "2026-06-01"}).json()
    assert breast(after) == [("done", "2025-06-02"), ("upcoming", "2027-06-02")]
    checked = fhir.post("/CarePlan/$validate", json=after, headers=FHIR_JSON).json()
    assert not [i for i in checked["issue"] if i["severity"] in ("error", "fatal")], checked


def test_bad_calls_of_the_programme_are_refused(fhir, tag):
    patient = space(fhir, tag, system="urn:test")
    url = f"/Patient/{patient['id']}/$prevention-programme"
    outcome_of(fhir.get(url, params={"date": "2026"}), 400)
    outcome_of(fhir.get(url, params={"day": "2026-06-01"}), 400)
    outcome_of(fhir.get(f"/Patient/no-{tag[:20]}/$prevention-programme"), 404)
    nobody = post(fhir, {"resourceType": "Patient", "active": True})
    outcome_of(fhir.get(f"/Patient/{nobody['id']}/$prevention-programme"), 422)


def test_space_has_one_plan_that_follows_what_is_done(fhir, tag):
    patient = space(fhir, tag)
    first = stored(fhir, patient)
    assert breast(first) == [("due", "2020-01-10")]
    done = post(fhir, mammography(patient, "2025-06-02"))
    second = stored(fhir, patient)
    assert second["id"] == first["id"]
    assert breast(second) == [("done", "2025-06-02"), ("upcoming", "2027-06-02")]
    fhir.put(f"/Procedure/{done['id']}", json={**done, "note": [{"text": "x"}]}, headers=FHIR_JSON)
    assert stored(fhir, patient)["meta"]["versionId"] == second["meta"]["versionId"]
    fhir.delete(f"/Procedure/{done['id']}")
    assert breast(stored(fhir, patient)) == [("due", "2020-01-10")]


def test_patient_without_a_national_identity_has_no_plan(fhir, tag):
    patient = space(fhir, tag, system="urn:test")
    post(fhir, mammography(patient, "2025-06-02"))
    assert stored(fhir, patient) is None


def test_nobody_else_writes_a_plan_with_the_servers_identifier(fhir, tag):
    patient = space(fhir, tag)
    forged = {k: v for k, v in stored(fhir, patient).items() if k not in ("id", "meta")}
    outcome_of(fhir.post("/CarePlan", json=forged, headers=FHIR_JSON), 403)
    outcome_of(fhir.delete(f"/CarePlan/{stored(fhir, patient)['id']}"), 403)
    own = {**forged, "identifier": [{"system": "urn:test", "value": tag}]}
    assert fhir.delete(f"/CarePlan/{post(fhir, own)['id']}").status_code in (200, 204)


def test_stored_plan_follows_results_and_what_ends_a_screening(fhir, tag):
    patient = space(fhir, tag)
    subject = {"reference": f"Patient/{patient['id']}"}
    positive = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29771-3"}]},
        "subject": subject,
        "effectiveDateTime": "2026-05-01",
        "valueCodeableConcept": {"text": "Positif"},
    }
    positive = post(fhir, positive)
    assert states(stored(fhir, patient), "colorectal") == ["done", "due"]
    (demanded,) = [a for a in stored(fhir, patient)["activity"] if "reasonReference" in a["detail"]]
    assert demanded["detail"]["code"]["coding"][-1]["code"] == "colonoscopy"
    corrected = {**positive, "status": "corrected", "valueCodeableConcept": {"text": "Négatif"}}
    fhir.put(f"/Observation/{positive['id']}", json=corrected, headers=FHIR_JSON)
    assert states(stored(fhir, patient), "colorectal") == ["done", "upcoming"]
    removed = {**mammography(patient, "2026-05-02"), "code": {}}
    removed["code"] = {"coding": [{"system": "http://snomed.info/sct", "code": "236886002"}]}
    post(fhir, removed)
    assert states(stored(fhir, patient), "cervix") == ["follow-up"]


def states(plan, item):
    return [
        activity["detail"]["statusReason"]["coding"][0]["code"]
        for activity in plan["activity"]
        if activity["detail"]["code"]["coding"][0]["code"] == item
    ]
