"""$immds-forecast over HTTP (https://hl7.org/fhir/us/immds/OperationDefinition-ImmDSForecastOperation.html)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from over_http import FHIR_JSON, outcome_of

from fhirserver.diary.following import FOLLOWING
from fhirserver.interaction.create import create

CIS = "urn:oid:1.2.250.1.213.2.3.1"
HEXYON, PRIORIX, VARIVAX = "60645557", "61896473", "69201849"


@pytest.fixture
def fhir(fresh_server):
    """A server of this module's own: each space has resources that the server computes."""
    with httpx.Client(base_url=fresh_server.base_url, timeout=60) as client:
        yield client


def given(day, code=HEXYON, system=CIS, **elements):
    return {
        "resourceType": "Immunization",
        "status": "completed",
        "vaccineCode": {"coding": [{"system": system, "code": code}]},
        "occurrenceDateTime": day,
        **elements,
    }


def child(birth="2026-01-10", **elements):
    return {"resourceType": "Patient", "birthDate": birth, "gender": "female", **elements}


def asked(on="2026-06-15", patient=None, immunizations=(), **others):
    parameter = [
        {"name": "assessmentDate", "valueDate": on},
        {"name": "patient", "resource": patient or child()},
        *({"name": "immunization", "resource": one} for one in immunizations),
        *({"name": name, "resource": one} for name, many in others.items() for one in many),
    ]
    return {"resourceType": "Parameters", "parameter": parameter}


def forecast(fhir, **elements):
    response = fhir.post("/$immds-forecast", json=asked(**elements), headers=FHIR_JSON)
    assert response.status_code == 200, response.text
    return read(response.json())


def read(answer):
    assert answer["resourceType"] == "Parameters"
    named = [(p["name"], p["resource"]) for p in answer["parameter"]]
    recommendations = [r for n, r in named if n == "recommendation"]
    assert len(recommendations) == 1
    return [r for n, r in named if n == "evaluation"], recommendations[0]


def of_disease(recommendation, code):
    return [
        r for r in recommendation["recommendation"]
        if r["targetDisease"]["coding"][0]["code"] == code
    ]  # fmt: skip


def codes(concept):
    return [coding["code"] for coding in concept["coding"]]


def dates(recommendation):
    return {
        criterion["code"]["coding"][0]["code"]: criterion["value"]
        for criterion in recommendation["dateCriterion"]
    }


def test_hexavalent_at_two_months_makes_the_second_dose_due_at_four(fhir):
    evaluations, recommendation = forecast(
        fhir, on="2026-05-10", immunizations=[given("2026-03-10", id="first")]
    )
    (tetanus,) = of_disease(recommendation, "76902006")
    assert codes(tetanus["forecastStatus"]) == ["due", "notComplete"]
    assert dates(tetanus) == {
        "30981-5": "2026-05-10",
        "30980-7": "2026-05-10",
        "59778-1": "2026-06-10",
    }
    assert tetanus["doseNumberPositiveInt"] == 2
    assert tetanus["seriesDosesPositiveInt"] == 3
    assert tetanus["supportingImmunization"] == [{"reference": "Immunization/first"}]
    assert "mandatory" in [code for reason in tetanus["forecastReason"] for code in codes(reason)]
    assert len(evaluations) == 6  # one for each disease of the hexavalent vaccine
    assert {codes(e["doseStatus"])[0] for e in evaluations} == {"valid"}
    assert {e["immunizationEvent"]["reference"] for e in evaluations} == {"Immunization/first"}


def test_measles_dose_before_twelve_months_does_not_count(fhir):
    evaluations, recommendation = forecast(
        fhir, on="2027-02-01", immunizations=[given("2026-10-10", PRIORIX)]
    )
    measles = [e for e in evaluations if codes(e["targetDisease"]) == ["14189004"]]
    assert [codes(e["doseStatus"]) for e in measles] == [["notvalid"]]
    assert codes(measles[0]["doseStatusReason"][0]) == ["tooyoung", "tooyoung", "outsidesched"]
    (due,) = of_disease(recommendation, "14189004")
    assert due["doseNumberPositiveInt"] == 1
    assert dates(due)["30980-7"] == "2027-01-10"


def test_answer_tells_its_ruleset(fhir):
    evaluations, recommendation = forecast(fhir, immunizations=[given("2026-03-10")])
    for resource in (*evaluations, recommendation):
        (extension,) = resource["extension"]
        assert extension["url"].endswith("/StructureDefinition/vaccination-ruleset")
        assert extension["valueCanonical"].endswith("calendrier-vaccinal-fr|2026.1")


def test_answer_is_valid_fhir(fhir):
    unknown = given("2026-04-01", "99", "http://hl7.org/fhir/sid/cvx", patient={"display": "x"})
    event = given("2026-03-10", patient={"display": "x"})
    evaluations, recommendation = forecast(fhir, immunizations=[event, unknown])
    assert len(evaluations) == 7
    for resource in (*evaluations, recommendation):
        response = fhir.post(
            f"/{resource['resourceType']}/$validate", json=resource, headers=FHIR_JSON
        )
        issues = response.json()["issue"]
        assert not [i for i in issues if i["severity"] in ("error", "fatal")], (issues, resource)


def test_unknown_vaccine_is_reported(fhir):
    evaluations, _ = forecast(fhir, immunizations=[given("2026-04-01", "424242", id="strange")])
    (only,) = evaluations
    assert codes(only["doseStatus"]) == ["notvalid"]
    assert codes(only["doseStatusReason"][0]) == ["unknown-vaccine"]
    assert only["immunizationEvent"] == {"reference": "Immunization/strange"}


def test_xml_is_taken_and_given(fhir):
    body = (
        '<Parameters xmlns="http://hl7.org/fhir">'
        '<parameter><name value="assessmentDate"/><valueDate value="2026-06-15"/></parameter>'
        '<parameter><name value="patient"/><resource><Patient>'
        '<birthDate value="2026-01-10"/></Patient></resource></parameter></Parameters>'
    )
    headers = {"content-type": "application/fhir+xml", "accept": "application/fhir+xml"}
    response = fhir.post("/$immds-forecast", content=body, headers=headers)
    assert response.status_code == 200
    assert b"<ImmunizationRecommendation" in response.content


BAD = {
    "no body": (None, 400, "$immds-forecast takes a Parameters resource"),
    "no date": ({"drop": "assessmentDate"}, 400, "assessmentDate is needed"),
    "no patient": ({"drop": "patient"}, 400, "patient is needed"),
    "partial date": ({"on": "2026"}, 400, "whole date"),
    "unknown parameter": ({"observations": [child()]}, 400, "no parameter observations"),
    "wrong type": ({"immunization": [child()]}, 400, "must be a resource Immunization"),
    "no birth date": ({"patient": {"resourceType": "Patient"}}, 422, "birthDate"),
    "bad birth date": ({"patient": child("2026-13-01")}, 422, "no date"),
    "born later": ({"patient": child("2026-07-01")}, 422, "before the birth"),
    "bad status": ({"immunizations": [given("2026-03-10", status="done")]}, 422, "status"),
    "no vaccine": (
        {"immunizations": [{**given("2026-03-10"), "vaccineCode": None}]},
        422,
        "needed",
    ),
    "bad day": ({"immunizations": [given("10.3.2026")]}, 422, "no date"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_its_place(fhir, case):
    change, status, text = BAD[case]
    body = None
    if change is not None:
        dropped = change.get("drop")
        body = asked(**{k: v for k, v in change.items() if k != "drop"})
        body["parameter"] = [p for p in body["parameter"] if p["name"] != dropped]
    sent = {"json": body, "headers": FHIR_JSON} if body else {}
    response = fhir.post("/$immds-forecast", **sent)
    issue = outcome_of(response, status)["issue"][0]
    assert text in issue["diagnostics"]
    if body is not None:
        assert issue["expression"][0].startswith("Parameters.parameter")


# --- the record --------------------------------------------------------------------------------


def space(fhir, tag, birth="2026-01-10", **elements):
    identifier = [{"system": "urn:oid:1.2.250.1.213.1.4.11", "value": tag[:15]}]
    response = fhir.post(
        "/Patient", json=child(birth, identifier=identifier, **elements), headers=FHIR_JSON
    )
    assert response.status_code == 201, response.text
    return response.json()


def post(fhir, resource):
    response = fhir.post(f"/{resource['resourceType']}", json=resource, headers=FHIR_JSON)
    assert response.status_code == 201, response.text
    return response.json()


def of(patient):
    return {"reference": f"Patient/{patient['id']}"}


def stored(fhir, patient):
    found = fhir.get("/ImmunizationRecommendation", params={"patient": patient["id"]}).json()
    entries = [entry["resource"] for entry in found.get("entry", [])]
    assert len(entries) <= 1
    return entries[0] if entries else None


def number(recommendation, disease):
    (found,) = of_disease(recommendation, disease)
    return found.get("doseNumberPositiveInt")


def test_forecast_of_a_stored_patient_reads_the_record(fhir, tag):
    patient = space(fhir, tag)
    event = post(fhir, given("2026-03-10", patient=of(patient)))
    url = f"/Patient/{patient['id']}/$immds-forecast"
    by_get = fhir.get(url, params={"assessmentDate": "2026-06-15"})
    by_post = fhir.post(
        url,
        json={
            "resourceType": "Parameters",
            "parameter": [{"name": "assessmentDate", "valueDate": "2026-06-15"}],
        },
        headers=FHIR_JSON,
    )
    assert by_get.status_code == 200, by_get.text
    assert by_get.json() == by_post.json()
    evaluations, recommendation = read(by_get.json())
    assert recommendation["patient"] == of(patient)
    assert number(recommendation, "76902006") == 2
    assert {e["immunizationEvent"]["reference"] for e in evaluations} == {
        f"Immunization/{event['id']}"
    }


def test_forecast_of_a_stored_patient_takes_no_other_parameters(fhir, tag):
    patient = space(fhir, tag)
    url = f"/Patient/{patient['id']}/$immds-forecast"
    outcome_of(fhir.get(url, params={"date": "2026-06-15"}), 400)
    outcome_of(fhir.get(url, params={"assessmentDate": "soon"}), 400)
    outcome_of(fhir.post(url, json=asked(), headers=FHIR_JSON), 400)
    outcome_of(fhir.get(f"/Patient/no-{tag[:20]}/$immds-forecast"), 404)


def test_immunization_brings_the_stored_recommendation_up_to_date(fhir, tag):
    patient = space(fhir, tag)
    first = stored(fhir, patient)
    assert number(first, "76902006") == 1
    event = post(fhir, given("2026-03-10", patient=of(patient)))
    second = stored(fhir, patient)
    assert second["id"] == first["id"]
    assert number(second, "76902006") == 2
    fhir.delete(f"/Immunization/{event['id']}")
    assert number(stored(fhir, patient), "76902006") == 1


def test_stored_recommendation_gets_no_new_version_when_nothing_changed(fhir, tag):
    patient = space(fhir, tag)
    event = post(fhir, given("2026-03-10", patient=of(patient)))
    version = stored(fhir, patient)["meta"]["versionId"]
    fhir.put(f"/Immunization/{event['id']}", json={**event, "lotNumber": "A1"}, headers=FHIR_JSON)
    fhir.put(f"/Patient/{patient['id']}", json={**patient, "active": True}, headers=FHIR_JSON)
    assert stored(fhir, patient)["meta"]["versionId"] == version


def test_corrected_birth_date_changes_the_stored_recommendation(fhir, tag):
    patient = space(fhir, tag)
    changed = {**patient, "birthDate": "2026-02-20"}
    response = fhir.put(f"/Patient/{patient['id']}", json=changed, headers=FHIR_JSON)
    assert response.status_code == 200
    (tetanus,) = of_disease(stored(fhir, patient), "76902006")
    assert dates(tetanus)["30980-7"] == "2026-04-20"


def test_immunosuppression_closes_live_vaccines_in_the_stored_recommendation(fhir, tag):
    patient = space(fhir, tag)
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "234532001"}]}
    post(fhir, {"resourceType": "Condition", "subject": of(patient), "code": code})
    (measles,) = of_disease(stored(fhir, patient), "14189004")
    assert codes(measles["forecastStatus"]) == ["contraindicated", "contraindicated"]


def test_stored_recommendation_counts_a_hidden_dose_and_is_hidden_like_it(fhir, tag):
    patient = space(fhir, tag)
    system = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
    masked = {"security": [{"system": system, "code": "MASQUE_PS"}]}
    post(fhir, given("2026-03-10", patient=of(patient), meta=masked))
    assert number(stored(fhir, patient), "76902006") == 2
    assert stored(fhir, patient)["meta"]["security"] == masked["security"]


def test_patient_without_a_national_identity_has_no_stored_recommendation(fhir):
    patient = post(fhir, child())
    post(fhir, given("2026-03-10", patient=of(patient)))
    assert stored(fhir, patient) is None


def test_nobody_else_writes_a_recommendation_with_the_servers_identifier(fhir, tag):
    patient = space(fhir, tag)
    kept = stored(fhir, patient)
    forged = {name: value for name, value in kept.items() if name not in ("id", "meta")}
    response = fhir.post("/ImmunizationRecommendation", json=forged, headers=FHIR_JSON)
    outcome_of(response, 403)


def test_many_immunizations_at_once_leave_one_recommendation_that_knows_all(fhir, tag):
    patient = space(fhir, tag)
    days = ["2026-03-10", "2026-05-10", "2026-04-01", "2026-04-02", "2026-04-03", "2026-04-04"]
    events = [given(day, patient=of(patient)) for day in days[:2]]
    events += [given(day, "67786749", patient=of(patient)) for day in days[2:]]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda event: post(fhir, event), events))
    kept = stored(fhir, patient)
    assert number(kept, "76902006") == 3
    assert number(kept, "16814004") == 2


async def test_settings_decide_where_the_sources_differ(in_process):
    body = asked(on="2026-05-10", immunizations=[given("2026-03-03")])  # four days too early
    for days, dose in ((0, 1), (4, 2)):
        client = await in_process(vaccination_grace_days=days)
        response = await client.post("/$immds-forecast", json=body, headers=FHIR_JSON)
        assert number(read(response.json())[1], "76902006") == dose


async def test_forecast_turns_as_the_days_go_by(in_process):
    client = await in_process()
    today = [datetime(2026, 2, 1, 12, tzinfo=UTC)]
    ctx = replace(client.app.endpoint.context.as_server, clock=lambda: today[0])
    identifier = [{"system": "urn:oid:1.2.250.1.213.1.4.11", "value": "1"}]
    made = await create(ctx, "Patient", child(identifier=identifier))
    patient = {"id": made.version.id}
    seen = []
    for day in ((2026, 2, 1), (2026, 3, 9), (2026, 3, 10), (2026, 4, 9), (2026, 4, 10)):
        today[0] = datetime(*day, 6, tzinfo=UTC)
        await FOLLOWING.run(ctx)
        found = await client.get("/ImmunizationRecommendation", params={"patient": patient["id"]})
        (entry,) = found.json()["entry"]
        (tetanus,) = of_disease(entry["resource"], "76902006")
        seen.append((codes(tetanus["forecastStatus"])[0], entry["resource"]["meta"]["versionId"]))
    assert [status for status, _ in seen] == ["notComplete", "notComplete", "due", "due", "overdue"]
    assert seen[0][1] == seen[1][1] == "1"  # nothing of it had changed


async def test_what_an_interruption_left_is_done_by_the_follower(in_process):
    client = await in_process()
    ctx = client.app.endpoint.context.as_server
    deaf = replace(ctx, behaviours=())
    identifier = [{"system": "urn:oid:1.2.250.1.213.1.4.11", "value": "1"}]
    made = await create(deaf, "Patient", child(identifier=identifier))
    patient = {"id": made.version.id}
    await create(deaf, "Immunization", given("2026-03-10", patient=of(patient)))
    url, params = "/ImmunizationRecommendation", {"patient": patient["id"]}
    assert "entry" not in (await client.get(url, params=params)).json()
    await FOLLOWING.run(ctx)
    (entry,) = (await client.get(url, params=params)).json()["entry"]
    assert number(entry["resource"], "76902006") == 2
