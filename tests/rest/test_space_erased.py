"""Who had their space erased does not get another one unasked, and nothing says who that is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from catalogue_people import token
from messaging_people import Person, citizen, professional, said
from smart_browser import CAMILLE
from space_people import (
    BY_HAND,
    choice,
    doors,
    insurance,
    kept_door,
    newborn,
    opening,
    weeks_ago,
)

from fhirserver.space.erasure import erase_due
from fhirserver.space.opposed import is_remembered

OPPOSED = "http://fhirserver.example/space-opposition"
ID = CAMILLE.partition("/")[2]

door = doors()


@pytest.fixture
async def patient_door(tmp_path):
    """There are thirty days to take it back."""
    async for each in kept_door("sqlite", tmp_path, **BY_HAND, erasure_days=30):
        yield each


async def confirmed(camille):
    asked = await camille.does(f"{CAMILLE}/$erase-space")
    code = next(p["valueString"] for p in asked["parameter"] if p["name"] == "confirmation")
    return await camille.does(f"{CAMILLE}/$erase-space", confirm=("valueString", code))


async def erased(door):
    """Camille has had her space erased; who she was, and the Task that is left."""
    version = await door.store.read("Patient", ID)
    was = json.loads(version.content)
    task = await confirmed(await citizen(door))
    await erase_due(door.context)
    return {k: v for k, v in was.items() if k not in ("id", "meta", "active")}, task


async def test_the_next_opening_run_does_not_open_it_again(door):
    was, task = await erased(door)
    insurer = await insurance(door)
    again = await insurer.registers(was)
    assert "objected" in said(await insurer.informs(again, weeks_ago(8), 422))
    # Nor a Task that was there before: the run itself looks.
    late = opening(again["id"]) | {"id": "late", "restriction": {"period": {"end": weeks_ago(2)}}}
    await door.put(late)
    ended = await insurer.until(late, status="rejected")
    assert ended["statusReason"]["coding"][0]["code"] == "opposition"
    assert (await insurer.now(again)).get("active") is not True
    # Somebody else is not taken for her.
    other = await insurer.registers(newborn())
    await insurer.informs(other, weeks_ago(8))
    assert not await is_remembered(door.context, other)
    # What is left tells nobody who she was.
    (kept,) = [i["value"] for i in task["identifier"] if i["system"] == OPPOSED]
    names = {was["birthDate"], *(name["family"] for name in was["name"])}
    numbers = {each["value"] for each in was["identifier"]}
    left = json.dumps(task)
    assert not [each for each in names | numbers if each in left]
    assert not [number for number in numbers if number in kept]


async def test_whoever_asks_for_a_space_gets_one_and_nothing_is_remembered(door):
    was, task = await erased(door)
    insurer = await insurance(door)
    again = await insurer.registers(was)
    reference = f"Patient/{again['id']}"
    secret = await token(
        door, "citizen", scopes="patient/*.cruds", fhir_user=reference, patient=again["id"]
    )
    wish = choice(again["id"], "OPTIN")
    answer = await Person(door, secret).ask("POST", "Consent", wish)
    assert answer.status_code == 201, answer.text
    assert (await insurer.now(again))["active"] is True
    version = await door.store.read("Task", task["id"])
    assert OPPOSED not in version.content.decode()
    assert not await is_remembered(door.context, again)


def days_later(door, days):
    now = door.context.clock()
    return replace(door.context, clock=lambda: now + timedelta(days=days))


async def test_where_there_are_days_to_take_it_back_the_space_is_closed_until_then(patient_door):
    camille, doctor = await citizen(patient_door), await professional(patient_door)
    assert (await doctor.get(CAMILLE)).status_code == 200
    task = await confirmed(camille)
    assert task["status"] == "requested"
    assert (await confirmed(camille))["id"] == task["id"]
    for days in (0, 29):
        await erase_due(days_later(patient_door, days))
        assert (await doctor.get(CAMILLE)).status_code == 404
        assert (await camille.get(CAMILLE)).status_code == 200
    await erase_due(days_later(patient_door, 31))
    version = await patient_door.store.read("Patient", ID)
    assert version is None or version.content is None
    done = json.loads((await patient_door.store.read("Task", task["id"])).content)
    assert done["status"] == "completed"
    assert OPPOSED in json.dumps(done)


async def test_asking_for_the_space_takes_it_back(patient_door):
    camille, doctor = await citizen(patient_door), await professional(patient_door)
    task = await confirmed(camille)
    answer = await camille.ask("POST", "Consent", choice(ID, "OPTIN"))
    assert answer.status_code == 201, answer.text
    assert (await doctor.get(CAMILLE)).status_code == 200
    left = json.loads((await patient_door.store.read("Task", task["id"])).content)
    assert left["status"] == "cancelled"
    assert OPPOSED not in json.dumps(left)
    await erase_due(days_later(patient_door, 90))
    assert (await camille.get(CAMILLE)).status_code == 200
