"""How a space opens: who is informed may object for six weeks, where the roll-out has come to."""

from __future__ import annotations

import asyncio

import pytest
import smart_browser
from access_door import consent
from messaging_people import citizen, establishment, professional, said
from smart_browser import CAMILLE
from space_people import (
    BY_HAND,
    QUICK,
    choice,
    database,
    doors,
    insurance,
    kept_door,
    newborn,
    opening,
    today,
    weeks_ago,
)

from fhirserver.space.due import open_due

door = doors()


@pytest.fixture
async def pilot(tmp_path):
    phases = "31:2026-01-01,44:2026-01-01,80:2099-01-01,*:2099-06-01"
    async for each in kept_door("sqlite", tmp_path, **BY_HAND, opening_phases=phases):
        yield each


async def test_a_space_opens_when_the_weeks_to_object_are_over(door):
    insurer = await insurance(door)
    patient = await insurer.registers()
    assert "active" not in patient
    task = await insurer.informs(patient, weeks_ago(6.5))
    period = task["restriction"]["period"]
    assert period == {"start": weeks_ago(6.5), "end": weeks_ago(0.5)}
    assert task["extension"][0]["valueCode"] == "31"
    done = await insurer.until(task, status="completed")
    assert done["statusReason"]["coding"][0]["code"] == "weeks-over"
    opened = await insurer.now(patient)
    assert opened["active"] is True
    await open_due(door.context)
    assert (await insurer.now(patient))["meta"]["versionId"] == "2"


async def test_within_the_weeks_it_waits(door):
    insurer = await insurance(door)
    patient = await insurer.registers()
    task = await insurer.informs(patient)
    assert task["restriction"]["period"]["start"] == today().isoformat()
    await insurer.until(task, status="requested")
    assert "active" not in await insurer.now(patient)
    second = await insurer.informs(patient, weeks_ago(8), 422)
    assert "under way" in said(second)
    short = opening(patient["id"], weeks_ago(1))
    short["restriction"]["period"]["end"] = today().isoformat()
    other = await insurer.registers()
    short["for"] = {"reference": f"Patient/{other['id']}"}
    answer = await insurer.ask("POST", "Task", short)
    assert answer.status_code == 422
    assert "6 weeks" in said(answer.json())
    assert answer.json()["issue"][0]["expression"] == ["Task.restriction.period.end"]


async def test_an_opposed_space_is_never_opened(door):
    insurer = await insurance(door)
    patient, other = await insurer.registers(), await insurer.registers()
    task = await insurer.informs(patient)
    rejected = await insurer.ask("PUT", f"Task/{task['id']}", task | {"status": "rejected"})
    assert rejected.status_code == 200, rejected.text
    assert "objected" in said(await insurer.informs(patient, weeks_ago(8), 422))
    # By the person's own Consent, within the weeks.
    await door.put(consent(f"no-{other['id']}", other["id"], "deny", category="OPTOUT"))
    assert "objected" in said(await insurer.informs(other, weeks_ago(8), 422))
    third = await insurer.registers()
    waiting = opening(third["id"], weeks_ago(8))
    await door.put(consent(f"no-{third['id']}", third["id"], "deny", category="OPTOUT"))
    await door.put(waiting | {"id": third["id"], "restriction": {"period": {"end": weeks_ago(2)}}})
    found = {"resourceType": "Task", "id": third["id"]}
    ended = await insurer.until(found, status="rejected")
    assert ended["statusReason"]["coding"][0]["code"] == "opposition"
    for each in (patient, other, third):
        assert (await insurer.now(each)).get("active") is not True


async def test_the_dead_and_the_unknown_get_no_space(door):
    insurer = await insurance(door)
    dead = await insurer.registers(newborn(deceasedBoolean=True))
    task = await insurer.informs(dead, weeks_ago(7))
    ended = await insurer.until(task, status="cancelled")
    assert ended["statusReason"]["coding"][0]["code"] == "deceased"
    assert "registered here" in said(await insurer.informs({"id": "nobody"}, None, 422))
    nameless = await insurer.registers(newborn(identifier=[{"system": "urn:x", "value": "1"}]))
    assert "INS" in said(await insurer.informs(nameless, None, 422))
    sexless = newborn()
    del sexless["gender"]
    outcome = await insurer.informs(await insurer.registers(sexless), None, 422)
    assert outcome["issue"][0]["expression"] == ["Patient.gender"]


async def test_outside_the_pilot_departments_no_space_is_opened_before_its_date(pilot):
    insurer = await insurance(pilot)
    for code in ("31000", "44300"):
        patient = await insurer.registers(newborn(code))
        await insurer.until(await insurer.informs(patient, weeks_ago(7)), status="completed")
    for code, place, day in (("80000", "80", "2099-01-01"), ("75001", "75", "2099-06-01")):
        patient = await insurer.registers(newborn(code))
        outcome = await insurer.informs(patient, weeks_ago(7), 422)
        assert f"department {place} before {day}" in said(outcome)
        assert "31, 44" in said(outcome)
        assert outcome["issue"][0]["expression"] == ["Task.for"]
        wish = consent("wish", patient["id"], category="OPTIN")
        answer = await insurer.ask("PUT", f"Patient/{patient['id']}", patient | {"active": True})
        assert answer.status_code == 422
        answer = await insurer.ask("POST", "Consent", wish)
        assert answer.status_code in (403, 422)


async def test_only_who_keeps_identities_opens_spaces_and_none_by_writing_active(door):
    insurer, camille, doctor = await insurance(door), await citizen(door), await professional(door)
    patient = await insurer.registers()
    for person in (camille, doctor):
        answer = await person.ask("POST", "Task", opening(patient["id"], weeks_ago(7)))
        assert answer.status_code in (403, 404), answer.text
        answer = await person.ask("POST", "Patient", newborn())
        assert answer.status_code == 403
    hospital = await establishment(door)
    await insurer.informs(patient)
    unknown = {"id": "nobody"}
    for each in (patient, unknown, {"id": CAMILLE.partition("/")[2]}):  # it learns nothing by it
        answer = await hospital.ask("POST", "Task", opening(each["id"], weeks_ago(7)))
        assert answer.status_code == 403, answer.text
    me = (await camille.get(CAMILLE)).json()
    answer = await camille.ask("PUT", CAMILLE, me | {"active": False})
    assert answer.status_code == 422
    assert "OPTOUT" in said(answer.json())
    answer = await insurer.ask("POST", "Patient", newborn(active=True))
    assert answer.status_code == 422
    assert "already" in said(await insurer.informs(me, None, 422))
    # It sees no health data.
    seen = await insurer.get(f"DocumentReference?patient={CAMILLE}")
    assert seen.json().get("entry", []) == []


async def test_a_state_that_has_ended_stays_and_weeks_are_not_shortened(door):
    insurer = await insurance(door)
    patient = await insurer.registers()
    task = await insurer.informs(patient)
    path = f"Task/{task['id']}"
    early = task | {"restriction": {"period": {"start": weeks_ago(9), "end": weeks_ago(3)}}}
    assert (await insurer.ask("PUT", path, early)).status_code == 422
    assert (await insurer.ask("PUT", path, task | {"status": "completed"})).status_code == 422
    assert (await insurer.ask("DELETE", path)).status_code == 403
    assert (await insurer.ask("PUT", path, task | {"status": "cancelled"})).status_code == 200
    answer = await insurer.ask("PUT", path, task)
    assert answer.status_code == 422
    assert "cancelled" in said(answer.json())
    await insurer.informs(patient)  # a new one after a withdrawn one


async def test_the_server_does_it_by_itself(tmp_path):
    door, lifespan = await smart_browser.open_door(database("sqlite", tmp_path), **QUICK)
    try:
        insurer = await insurance(door)
        task = await insurer.informs(await insurer.registers(), weeks_ago(7))
        for _ in range(200):
            found = await insurer.now(task)
            if found["status"] == "completed":
                return
            await asyncio.sleep(0.05)
        raise AssertionError(found)
    finally:
        await smart_browser.close_door(door, lifespan)


async def test_many_workers_open_each_space_once(door):
    insurer = await insurance(door)
    made = []
    for number in range(6):
        patient = newborn() | {"id": f"due-{number}"}
        task = opening(patient["id"]) | {
            "id": f"due-{number}",
            "restriction": {"period": {"start": weeks_ago(8), "end": weeks_ago(2)}},
        }
        await door.put(patient, task)
        made.append(patient)
    await asyncio.gather(*(open_due(door.context) for _ in range(8)))
    for patient in made:
        await insurer.until(patient | {"resourceType": "Task"}, status="completed")
        assert (await insurer.now(patient))["active"] is True
        assert (await insurer.now(patient))["meta"]["versionId"] == "2"


async def test_who_closed_their_space_opens_it_again_and_finds_everything(door):
    camille, doctor = await citizen(door), await professional(door)
    before = (await doctor.get(CAMILLE)).json()
    closing = choice(CAMILLE.partition("/")[2], "OPTOUT")
    answer = await camille.ask("POST", "Consent", closing)
    assert answer.status_code == 201, answer.text
    hidden = await doctor.get(CAMILLE)
    assert hidden.status_code == 404
    assert (await camille.get(CAMILLE)).status_code == 200  # the holder still reads
    wish = choice(CAMILLE.partition("/")[2], "OPTIN")
    assert (await camille.ask("POST", "Consent", wish)).status_code == 201
    seen = await doctor.get(CAMILLE)
    assert seen.status_code == 200
    assert seen.json() == before
    closings = await camille.get(f"Consent?patient={CAMILLE}&category=OPTOUT&status=active")
    assert closings.json().get("entry", []) == []


async def test_an_opposition_is_undone_by_asking_for_the_space(door):
    insurer = await insurance(door)
    id = CAMILLE.partition("/")[2]
    patient = next(p for p in smart_browser.people() if p["id"] == id)
    await door.put(
        patient | {"active": False},
        consent("asks-no", id, "deny", category="OPTOUT"),
        opening(id) | {"id": "asks", "restriction": {"period": {"end": weeks_ago(-3)}}},
    )
    holder = await citizen(door)
    wish = choice(id, "OPTIN")
    answer = await holder.ask("POST", "Consent", wish)
    assert answer.status_code == 201, answer.text
    assert (await insurer.now(patient))["active"] is True
    task = await insurer.now({"resourceType": "Task", "id": "asks"})
    assert task["status"] == "completed"
    assert task["statusReason"]["coding"][0]["code"] == "asked-for"
    assert (await holder.get("Consent/asks-no")).json()["status"] == "inactive"
