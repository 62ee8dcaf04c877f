"""A hospital asks whether a space exists, and learns that alone."""

from __future__ import annotations

from access_door import consent
from messaging_people import establishment, professional
from space_people import INS_TEST, doors, insurance, newborn, weeks_ago

door = doors()


def ins_of(patient):
    return patient["identifier"][0]["value"]


async def ask(person, patient, more=""):
    answer = await person.get(f"Patient?identifier={INS_TEST}|{ins_of(patient)}{more}")
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


async def test_a_service_without_consent_learns_that_a_space_exists_and_no_more(door):
    insurer, hospital = await insurance(door), await establishment(door)
    patient = await insurer.registers()
    (seen,) = await ask(hospital, patient)
    assert seen["active"] is False  # registered, not open
    await insurer.until(await insurer.informs(patient, weeks_ago(7)), status="completed")
    (seen,) = await ask(hospital, patient)
    assert seen == {
        "resourceType": "Patient",
        "id": patient["id"],
        "meta": {"tag": seen["meta"]["tag"]},
        "identifier": [{"system": INS_TEST, "value": ins_of(patient)}],
        "active": True,
    }
    assert [tag["code"] for tag in seen["meta"]["tag"]] == ["SUBSETTED"]
    # Nothing else of the person can be asked in the same breath.
    for more in ("&gender=male", "&birthdate=1990-05-02", "&active=true", "&family=RIVE"):
        assert await ask(hospital, patient, more) == [], more
    assert (await hospital.get(f"Patient/{patient['id']}")).status_code == 404
    by_name = await hospital.get("Patient?family=RIVE")
    assert by_name.json().get("entry", []) == []
    await door.put(consent(f"shut-{patient['id']}", patient["id"], "deny", category="OPTOUT"))
    (seen,) = await ask(hospital, patient)
    assert seen["active"] is False


async def test_an_unknown_identity_has_no_space(door):
    hospital = await establishment(door)
    assert await ask(hospital, newborn()) == []


async def test_with_consent_it_sees_the_patient_and_professionals_do_not_ask(door):
    insurer, hospital = await insurance(door), await establishment(door)
    doctor = await professional(door)
    patient = await insurer.registers()
    await insurer.until(await insurer.informs(patient, weeks_ago(7)), status="completed")
    assert await ask(doctor, patient) == []
    await door.put(consent(f"ok-{patient['id']}", patient["id"], actor="Organization/ch-garonne"))
    (seen,) = await ask(hospital, patient)
    assert seen["name"][0]["family"] == "RIVE"
