"""What the diary keeps for each space follows the record, on each engine."""

from __future__ import annotations

from over_http import FHIR_JSON


def post(fhir, resource):
    answer = fhir.post(f"/{resource['resourceType']}", json=resource, headers=FHIR_JSON)
    assert answer.status_code == 201, answer.text
    return answer.json()


def kept(fhir, type, patient):
    (entry,) = fhir.get(f"/{type}", params={"patient": patient["id"]}).json()["entry"]
    return entry["resource"]


def doses(recommendation):
    return {
        r["targetDisease"]["coding"][0]["code"]: r.get("doseNumberPositiveInt")
        for r in recommendation["recommendation"]
    }


def test_forecast_and_programme_of_a_space_follow_its_record(fhir, tag):
    identifier = [{"system": "urn:oid:1.2.250.1.213.1.4.11", "value": tag[:15]}]
    patient = {"resourceType": "Patient", "birthDate": "2026-01-10", "identifier": identifier}
    patient = post(fhir, patient)
    assert doses(kept(fhir, "ImmunizationRecommendation", patient))["76902006"] == 1
    plan = kept(fhir, "CarePlan", patient)
    reference = {"reference": f"Patient/{patient['id']}"}
    coding = {"system": "urn:oid:1.2.250.1.213.2.3.1", "code": "60645557"}
    event = {
        "resourceType": "Immunization",
        "status": "completed",
        "patient": reference,
        "occurrenceDateTime": "2026-03-10",
        "vaccineCode": {"coding": [coding]},
    }
    post(fhir, event)
    assert doses(kept(fhir, "ImmunizationRecommendation", patient))["76902006"] == 2
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "410620009"}]}
    examined = {
        "resourceType": "Procedure",
        "status": "completed",
        "code": code,
        "subject": reference,
        "performedDateTime": "2026-03-12",
    }
    examined = post(fhir, examined)
    later = kept(fhir, "CarePlan", patient)
    assert later["id"] == plan["id"]
    closed = [a["outcomeReference"] for a in later["activity"] if "outcomeReference" in a]
    assert closed == [[{"reference": f"Procedure/{examined['id']}"}]]
