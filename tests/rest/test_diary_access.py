"""Who gets what of the diary's forecasts: they read the record through the caller's eyes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from access_door import MASK, consent, open_door, patient
from smart_browser import CAMILLE, DOCTOR, people

from fhirserver.access.caller import Role
from fhirserver.diary.immunization.current import VaccinationBehaviour
from fhirserver.diary.screening.current import ScreeningBehaviour

CIS = "urn:oid:1.2.250.1.213.2.3.1"
TETANUS = "76902006"


def given(id, day, *labels):
    meta = {"meta": {"security": [{"system": MASK, "code": c} for c in labels]}} if labels else {}
    return {
        "resourceType": "Immunization",
        "id": id,
        "status": "completed",
        "vaccineCode": {"coding": [{"system": CIS, "code": "60645557"}]},
        "patient": {"reference": "Patient/a"},
        "occurrenceDateTime": day,
        **meta,
    }


@pytest.fixture
async def door(tmp_path):
    made = await open_door(f"sqlite:///{tmp_path}/door.db")
    await made.put(
        {"resourceType": "Practitioner", "id": "d"},
        patient("a", birthDate="2026-01-10", gender="female"),
        patient("b", birthDate="2026-01-10"),
        given("open", "2026-03-10"),
        given("masked", "2026-05-10", "MASQUE_PS"),
    )
    made.caller("A", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes="patient/*.rs")
    made.caller("B", Role.CITIZEN, fhir_user="Patient/b", patient="b", scopes="patient/*.rs")
    made.caller(
        "doctor", Role.PROFESSIONAL, fhir_user="Practitioner/d", profession="10",
        organization="Organization/o", patient="a", scopes="user/*.rs patient/*.rs",
    )  # fmt: skip
    yield made
    await made.store.close()


async def dose(door, name):
    url = "Patient/a/$immds-forecast?assessmentDate=2026-06-01"
    answer = await door.get(name, url)
    if answer.status_code != 200:
        return answer.status_code
    recommendation = answer.json()["parameter"][-1]["resource"]
    return next(
        r["doseNumberPositiveInt"]
        for r in recommendation["recommendation"]
        if r["targetDisease"]["coding"][0]["code"] == TETANUS
    )


async def test_citizen_is_forecast_from_the_whole_record(door):
    assert await dose(door, "A") == 3


async def test_nobody_is_forecast_for_another(door):
    assert await dose(door, "B") == 404
    assert (await door.get("B", "Patient/a/$prevention-programme")).status_code == 404


async def test_professional_is_forecast_only_from_what_is_not_masked(door):
    assert await dose(door, "doctor") in (403, 404)
    await door.put(consent("c", "a", actor="Practitioner/d"))
    assert await dose(door, "doctor") == 2
    programme = await door.get("doctor", "Patient/a/$prevention-programme")
    assert programme.status_code == 200


INS = [{"system": "urn:oid:1.2.250.1.213.1.4.11", "value": "279035121518989"}]
SMEAR = {"coding": [{"system": "http://loinc.org", "code": "10524-7"}]}


@pytest.fixture
async def space(door):
    """A space with a dose that is masked, read by those whom it matters to."""
    kept = (VaccinationBehaviour(), ScreeningBehaviour())
    door.context = replace(door.context, behaviours=kept)
    await door.put(
        {"resourceType": "Practitioner", "id": "gp"},
        {"resourceType": "RelatedPerson", "id": "mother", "active": True,
         "patient": {"reference": "Patient/a"},
         "relationship": [{"coding": [{"code": "MTH"}, {"code": "GUARD"}]}]},
        patient("a", birthDate="2026-01-10", gender="female", identifier=INS,
                generalPractitioner=[{"reference": "Practitioner/gp"}]),
        consent("c", "a", actor="Practitioner/d"),
        consent("c2", "a", actor="Practitioner/gp"),
    )  # fmt: skip
    door.caller(
        "gp", Role.PROFESSIONAL, fhir_user="Practitioner/gp", profession="10",
        organization="Organization/o2", patient="a", scopes="user/*.rs patient/*.rs",
    )  # fmt: skip
    door.caller(
        "mother", Role.PROXY, fhir_user="RelatedPerson/mother", patient="a", scopes="patient/*.rs"
    )
    return door


async def seen(door, name, type="ImmunizationRecommendation"):
    bundle = (await door.get(name, f"{type}?patient=a&_total=accurate")).json()
    found = [entry["resource"] for entry in bundle.get("entry", [])]
    assert bundle["total"] == len(found)
    return found


def tetanus(found):
    (one,) = found
    return next(
        r["doseNumberPositiveInt"]
        for r in one["recommendation"]
        if r["targetDisease"]["coding"][0]["code"] == TETANUS
    )


async def test_stored_forecast_counts_a_masked_dose_and_is_masked_like_it(space):
    assert tetanus(await seen(space, "A")) == 3
    assert tetanus(await seen(space, "gp")) == 3
    assert tetanus(await seen(space, "mother")) == 3
    assert await seen(space, "doctor") == []
    (one,) = await seen(space, "A")
    for url in ("", "/_history", "/_history/1"):
        answer = await space.get("doctor", f"ImmunizationRecommendation/{one['id']}{url}")
        assert answer.status_code == 404, url
    history = await space.get("doctor", "ImmunizationRecommendation/_history")
    assert history.status_code in (200, 403)
    assert not history.json().get("entry")


async def test_stored_forecast_is_shown_again_when_the_dose_is(space):
    await space.put(given("masked", "2026-05-10"))
    assert tetanus(await seen(space, "doctor")) == 3
    await space.put(given("masked", "2026-05-10", "MASQUE_PS"))
    assert await seen(space, "doctor") == []
    assert (await space.ask("open", "DELETE", "Immunization/masked")).status_code in (200, 204)
    assert tetanus(await seen(space, "doctor")) == 2


async def test_label_without_effect_on_the_forecast_hides_nothing(space):
    await space.put(
        given("masked", "2026-05-10"),
        {"resourceType": "Condition", "id": "x", "subject": {"reference": "Patient/a"},
         "code": {"text": "private"}, "meta": {"security": [{"system": MASK, "code": "V"}]}},
    )  # fmt: skip
    assert tetanus(await seen(space, "doctor")) == 3


@pytest.mark.parametrize("label", ["INVISIBLE_REPRESENTANTS_LEGAUX", "CONNEXION_SECRETE"])
async def test_dose_given_in_secret_shows_in_no_forecast_of_representatives(space, label):
    await space.put(given("masked", "2026-05-10", label))
    assert tetanus(await seen(space, "A")) == 3
    assert tetanus(await seen(space, "doctor")) == 3
    assert await seen(space, "mother") == []


async def test_two_hidden_sources_that_say_the_same_hide_the_forecast(space):
    await space.put(
        given("masked", "2026-05-10", "MASQUE_PS"),
        given("again", "2026-05-10", "V"),
    )
    assert await seen(space, "doctor") == []


async def test_what_waits_to_be_announced_is_neither_told_nor_asked_for_again(space):
    before = diseases(await seen(space, "A"))
    await space.put(given("masked", "2026-05-10", "INVISIBLE_PATIENT"))
    waiting = diseases(await seen(space, "A"))
    assert waiting == diseases(await seen(space, "doctor"))
    assert TETANUS in before - waiting
    assert "14189004" in waiting  # measles
    assert "Immunization/masked" not in str(await seen(space, "A"))
    await space.put(given("masked", "2026-05-10"))
    assert tetanus(await seen(space, "A")) == 3


def diseases(found):
    (one,) = found
    return {each["targetDisease"]["coding"][0]["code"] for each in one["recommendation"]}


async def test_programme_is_masked_like_the_examination_that_closes_it(space):
    await space.put(
        patient("a", birthDate="1995-01-10", gender="female", identifier=INS,
                generalPractitioner=[{"reference": "Practitioner/gp"}]),
        {"resourceType": "Observation", "id": "smear", "status": "final", "code": SMEAR,
         "subject": {"reference": "Patient/a"}, "effectiveDateTime": "2026-02-01",
         "meta": {"security": [{"system": MASK, "code": "MASQUE_PS"}]}},
    )  # fmt: skip
    (plan,) = await seen(space, "A", "CarePlan")
    assert "Observation/smear" in str(plan)
    assert await seen(space, "doctor", "CarePlan") == []


async def test_result_that_waits_to_be_announced_does_not_show_in_the_programme(space):
    code = {"coding": [{"system": "http://loinc.org", "code": "29771-3"}]}
    await space.put(
        patient("a", birthDate="1970-01-10", gender="male", identifier=INS),
        {"resourceType": "Observation", "id": "stool", "status": "final", "code": code,
         "subject": {"reference": "Patient/a"}, "effectiveDateTime": "2026-11-20",
         "valueCodeableConcept": {"text": "positive"},
         "meta": {"security": [{"system": MASK, "code": "INVISIBLE_PATIENT"}]}},
    )  # fmt: skip
    (plan,) = await seen(space, "A", "CarePlan")
    named = [each["detail"]["code"]["coding"][0]["code"] for each in plan["activity"]]
    assert named
    assert "colorectal" not in named


async def test_signed_in_doctor_has_no_forecast_that_counts_what_the_citizen_has_masked(smart):
    (camille,) = [one for one in people() if one["id"] == "camille-lefevre"]
    # The citizen's general practitioner sees what is masked.
    await smart.put({k: v for k, v in camille.items() if k != "generalPractitioner"})
    app = await smart.register()
    citizen = (await app.tokens("patient/*.cruds", CAMILLE))["access_token"]
    answer = {"patient": "camille-lefevre"}
    launched = await app.tokens("launch/patient patient/*.rs", DOCTOR, answer=answer)
    doctor = launched["access_token"]
    url = "ImmunizationRecommendation?patient=camille-lefevre"
    dose = {k: v for k, v in given("x", "2026-10-20").items() if k != "id"}
    dose["patient"] = {"reference": CAMILLE}
    made = await smart.fhir(citizen, "Immunization", "POST", json=dose)
    assert made.status_code == 201, made.text
    dose = made.json()
    assert (await smart.fhir(doctor, url)).json()["total"] == 1
    dose["meta"] = {"security": [{"system": MASK, "code": "MASQUE_PS"}]}
    masked = await smart.fhir(citizen, f"Immunization/{dose['id']}", "PUT", json=dose)
    assert masked.status_code == 200, masked.text
    assert (await smart.fhir(doctor, url)).json()["total"] == 0
    (entry,) = (await smart.fhir(citizen, url)).json()["entry"]
    assert f"Immunization/{dose['id']}" in str(entry["resource"])


@pytest.mark.parametrize(
    ("scopes", "forecast", "programme"),
    [
        ("patient/*.rs", 200, 200),
        ("patient/Patient.rs patient/Immunization.rs", 200, 403),
        ("patient/Patient.rs patient/Condition.rs patient/Observation.rs", 403, 403),
        ("patient/Immunization.rs", 403, 403),
    ],
)
async def test_nobody_is_forecast_without_what_a_forecast_rests_upon(
    door, scopes, forecast, programme
):
    door.caller("app", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes=scopes)
    assert (await door.get("app", "Patient/a/$immds-forecast")).status_code == forecast
    assert (await door.get("app", "Patient/a/$prevention-programme")).status_code == programme
