"""Decisions are kept between requests, and not for one request too long."""

from __future__ import annotations

import os
import uuid

import pytest
from access_door import consent, observation, open_door, patient
from over_http import database_in

from fhirserver.access.caller import Role

TEAM = {
    "resourceType": "CareTeam",
    "id": "t",
    "status": "active",
    "participant": [{"member": {"reference": "Practitioner/x"}}],
}


@pytest.fixture(params=["sqlite", "mongodb"])
async def door(request, tmp_path):
    database = f"sqlite:///{tmp_path}/kept.db"
    if request.param == "mongodb":
        server = os.environ.get("FHIRSERVER_TEST_MONGODB")
        if not server:
            pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
        database = database_in(server, f"kept_{uuid.uuid4().hex[:12]}")
    made = await open_door(database)
    await made.put(patient("a"), patient("b"), observation("o", "a"), observation("p", "b"), TEAM)
    who = {"fhir_user": "Practitioner/x", "profession": "10"}
    made.caller("launched", Role.PROFESSIONAL, patient="a", scopes="patient/*.rs", **who)
    made.caller("all", Role.PROFESSIONAL, scopes="user/*.rs", **who)
    yield made
    await made.store.close()


async def shown(door, name="launched", id="o"):
    answer = await door.get(name, f"Observation/{id}")
    assert answer.status_code in (200, 404), answer.text
    return answer.status_code == 200


@pytest.mark.parametrize("name", ["launched", "all"])
async def test_a_team_without_a_subject_counts_for_whoever_consents_to_it(door, name):
    await door.put(consent("c", "a", actor="CareTeam/t"))
    assert await shown(door, name)
    await door.put(TEAM | {"participant": [{"member": {"reference": "Practitioner/y"}}]})
    assert not await shown(door, name)
    await door.put(TEAM)
    assert await shown(door, name)


@pytest.mark.parametrize("name", ["launched", "all"])
async def test_a_withdrawn_consent_acts_on_the_next_request(door, name):
    await door.put(consent("c", "a", actor="Practitioner/x"))
    for _ in range(3):
        assert await shown(door, name)
    await door.put(consent("c", "a", actor="Practitioner/x") | {"status": "inactive"})
    assert not await shown(door, name)


@pytest.mark.parametrize("name", ["launched", "all"])
async def test_a_consent_given_to_another_patients_space_is_gone_from_the_first(door, name):
    await door.put(consent("c", "a", actor="Practitioner/x"))
    assert await shown(door, name)
    await door.put(consent("c", "b", actor="Practitioner/x"))
    assert not await shown(door, name)
    assert await shown(door, "all", "p")


async def test_a_deleted_consent_counts_no_longer(door):
    await door.put(consent("c", "a", actor="Practitioner/x"))
    assert await shown(door)
    answer = await door.ask("open", "DELETE", "Consent/c")
    assert answer.status_code in (200, 204)
    assert not await shown(door)


async def test_what_another_patient_writes_leaves_a_decision_as_it_is(door, monkeypatch):
    from fhirserver.access.permit import Decisions

    await door.put(consent("c", "a", actor="Practitioner/x"))
    assert await shown(door)
    decided = []
    decide = Decisions.decide
    monkeypatch.setattr(Decisions, "decide", lambda *args: (decided.append(args), decide(*args))[1])
    await door.put(consent("d", "b", actor="Practitioner/x"), patient("b", gender="female"))
    assert await shown(door)
    assert decided == []
    await door.put(patient("a", active=False))
    assert not await shown(door)
    assert len(decided) == 1
