"""The citizen is told that a message has come, once, and of nothing that it says."""

from __future__ import annotations

import asyncio
import email

import pytest
import smart_browser
from messaging_people import SECRET, answering, citizen, message, professional
from smart_browser import CAMILLE

from fhirserver.messaging import notices

PATIENT = "Patient/fatima-benali"


@pytest.fixture
async def door(tmp_path, monkeypatch):
    monkeypatch.setattr(notices, "SECONDS", 0.05)
    door, lifespan = await smart_browser.open_door(
        f"sqlite:///{tmp_path}/smart.db", mail_folder=str(tmp_path / "mail")
    )
    door.mail = tmp_path / "mail"
    yield door
    await smart_browser.close_door(door, lifespan)


async def eventually(holds):
    for _ in range(200):
        found = await holds()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to be")


async def test_a_message_is_announced_in_the_space_and_by_mail_without_its_content(door):
    from smart_browser import people

    patient = next(r for r in people() if r["id"] == "camille-lefevre")
    telecom = [{"system": "email", "value": "camille@example.org"}]
    await door.put({**patient, "telecom": telecom})
    doctor, camille = await professional(door), await citizen(door)
    draft = await doctor.send(message(to=CAMILLE, text="geheim", status="preparation"))
    first = await doctor.send(message(to=CAMILLE, text="geheim", topic={"text": "geheim"}))
    await camille.send(message(**answering(first["id"])))

    async def told():
        found = (await camille.get("Communication?category=notification")).json()
        return [
            e["resource"]
            for e in found.get("entry", [])
            if e["resource"]["topic"]["text"] == "message"
        ]

    (notice,) = await eventually(told)
    assert notice["about"] == [{"reference": f"Communication/{first['id']}"}]
    assert "geheim" not in str(notice)
    await doctor.put({**draft, "status": "completed"})
    await camille.does(f"Communication/{first['id']}/$mark-read")

    async def twice():
        return len(await told()) == 2

    await eventually(twice)
    await asyncio.sleep(0.3)
    assert len(await told()) == 2  # reading and answering announce nothing

    async def mails():
        return list(door.mail.glob("*.eml"))

    for file in await eventually(mails):
        mail = email.message_from_bytes(file.read_bytes())
        assert mail["To"] == "camille@example.org"
        assert b"geheim" not in file.read_bytes()


async def test_a_message_that_is_kept_from_representatives_is_not_announced(door):
    doctor, camille = await professional(door), await citizen(door)
    await doctor.send(message(to=CAMILLE, meta={"security": [SECRET]}))
    await doctor.send(message(to=CAMILLE))

    async def told():
        found = (await camille.get("Communication?category=notification")).json()
        return [e for e in found.get("entry", []) if e["resource"]["topic"]["text"] == "message"]

    await eventually(told)
    await asyncio.sleep(0.2)
    assert len(await told()) == 1
