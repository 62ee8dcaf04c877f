"""Who had their space erased does not get another one unasked, and nothing says who that is."""

from __future__ import annotations

import json

from catalogue_people import token
from messaging_people import Person, citizen, said
from smart_browser import CAMILLE
from space_people import choice, doors, insurance, newborn, opening, weeks_ago

from fhirserver.space.erasure import erase_due
from fhirserver.space.opposed import is_remembered

OPPOSED = "http://fhirserver.example/space-opposition"
ID = CAMILLE.partition("/")[2]

door = doors()


async def erased(door):
    """Camille has had her space erased; who she was, and the Task that is left."""
    version = await door.store.read("Patient", ID)
    was = json.loads(version.content)
    camille = await citizen(door)
    asked = await camille.does(f"{CAMILLE}/$erase-space")
    code = next(p["valueString"] for p in asked["parameter"] if p["name"] == "confirmation")
    task = await camille.does(f"{CAMILLE}/$erase-space", confirm=("valueString", code))
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
