"""Who gets what of the diary's forecasts: they read the record through the caller's eyes."""

from __future__ import annotations

import pytest
from access_door import MASK, consent, open_door, patient

from fhirserver.access.caller import Role

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
