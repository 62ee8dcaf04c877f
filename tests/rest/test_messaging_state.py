"""What becomes of a message: drafts, that it stays as sent, receipts, the thread as a whole."""

from __future__ import annotations

import messaging_people
import pytest
from messaging_people import (
    CLAIRE,
    CLAIRE_ROLE,
    MATHIEU,
    SECRET,
    acting_for,
    answering,
    choice,
    citizen,
    establishment,
    extension,
    message,
    parts,
    professional,
    said,
    state,
    unread,
)
from smart_browser import CAMILLE, LEA

door = messaging_people.door


async def test_a_draft_is_its_authors_alone_until_it_is_sent(door):
    doctor, camille = await professional(door), await citizen(door)
    draft = await doctor.send(message(to=CAMILLE, status="preparation"))
    path = f"Communication/{draft['id']}"
    assert "sent" not in draft
    assert unread(draft) == []
    assert (await camille.get(path)).status_code == 404
    assert (await camille.get(f"{path}/_history")).status_code == 404
    assert await camille.count(f"Communication?_id={draft['id']}") == 0
    assert await doctor.count(f"Communication?_id={draft['id']}") == 1
    assert (await camille.ask("DELETE", path)).status_code in (200, 204)  # as of an unknown one
    draft["payload"] = [{"contentString": "Anders"}]
    draft = await doctor.put(draft)
    sent = await doctor.put({**draft, "status": "in-progress"})
    assert sent["sent"]
    assert unread(sent) == [CAMILLE]
    seen = await camille.get(f"{path}/_history")
    assert [e["resource"]["status"] for e in seen.json()["entry"]] == ["in-progress"]
    mine = await camille.send(message(status="preparation", to=MATHIEU))
    assert (await doctor.get(f"Communication/{mine['id']}")).status_code == 404
    refused = await camille.put({**mine, "status": "in-progress"}, 422)
    assert "first exchange" in said(refused)
    assert (await camille.ask("DELETE", f"Communication/{mine['id']}")).status_code in (200, 204)


async def test_a_carers_draft_is_hidden_from_the_person_cared_for(door):
    carer = await acting_for(door, "Patient/sophie-martin", "Geneviève")
    patient = "Patient/genevieve-dubois"
    draft = await carer.send(message(subject=patient, status="preparation"))
    assert (await carer.get(f"Communication/{draft['id']}")).status_code == 200
    herself = await citizen(door, patient)
    assert (await herself.get(f"Communication/{draft['id']}")).status_code == 404


async def test_a_sent_message_stays_as_it_was_sent(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE, topic={"text": "A"}))
    for name, value in {
        "payload": [{"contentString": "Anderes"}],
        "recipient": [{"reference": CAMILLE}, {"reference": MATHIEU}],
        "sent": "2020-01-01T00:00:00Z",
        "topic": {"text": "B"},
        "text": {
            "status": "additional",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml">B</div>',
        },
    }.items():
        for who in (doctor, camille):
            outcome = await who.put({**first, name: value}, 422)
            assert outcome["issue"][0]["expression"] == [f"Communication.{name}"]
    patch = [{"op": "replace", "path": "/payload/0/contentString", "value": "x"}]
    answer = await doctor.ask(
        "PATCH", f"Communication/{first['id']}", patch,
        **{"content-type": "application/json-patch+json"},
    )  # fmt: skip
    assert answer.status_code == 422
    stripped = {name: value for name, value in first.items() if name != "extension"}
    assert unread(await doctor.put(stripped)) == [CAMILLE]
    for who, status in ((camille, 403), (doctor, 422)):
        answer = await who.ask("DELETE", f"Communication/{first['id']}")
        assert answer.status_code == status
    assert (await camille.get(f"Communication/{first['id']}")).status_code == 200
    await camille.put({**first, "status": "entered-in-error"}, 403)
    await camille.put({**first, "status": "stopped"}, 422)
    withdrawn = await doctor.put({**first, "status": "entered-in-error"})
    assert withdrawn["status"] == "entered-in-error"
    assert await camille.count(f"Communication?unread={CAMILLE}") == 0


async def test_receipt_and_reading_are_told_by_the_recipient(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE, status="in-progress"))
    waiting = f"Communication?unread={CAMILLE}"
    assert await camille.count(waiting) == 1
    await doctor.put({**first, "received": "2026-11-24T10:00:00Z"}, 403)
    await doctor.does(f"Communication/{first['id']}/$mark-read", 403)
    received = await camille.put(
        {**first, "received": "2026-11-24T10:00:00Z", "status": "completed"}
    )
    assert received["received"] == "2026-11-24T10:00:00Z"
    assert await camille.count(waiting) == 1  # received, not read
    read = await camille.does(f"Communication/{first['id']}/$mark-read")
    (receipt,) = extension(read, "read")
    assert {"url": "reader", "valueReference": {"reference": CAMILLE}} in receipt["extension"]
    assert await camille.count(waiting) == 0
    again = await camille.does(f"Communication/{first['id']}/$mark-read")
    assert again["meta"]["versionId"] == read["meta"]["versionId"]
    seen = (await doctor.get(f"Communication/{first['id']}")).json()
    assert extension(seen, "read") == [receipt]
    forged = {name: value for name, value in seen.items() if name != "extension"}
    assert extension(await doctor.put(forged), "read") == [receipt]
    early = await doctor.send(message(to=CAMILLE, received="2026-11-24T10:00:00Z"), 422)
    assert early["issue"][0]["expression"] == ["Communication.received"]


async def test_each_mailbox_has_its_own_state(door):
    doctor, other = await professional(door), await professional(door, MATHIEU)
    camille = await citizen(door)
    hospital = await establishment(door)
    first = await hospital.send(message(to=[CAMILLE, CLAIRE, MATHIEU]))
    await doctor.does(f"Communication/{first['id']}/$mark-read")
    seen = (await camille.get(f"Communication/{first['id']}")).json()
    assert unread(seen) == [CAMILLE, MATHIEU]
    assert await other.count(f"Communication?unread={MATHIEU}") == 1
    answer = await camille.send(message(to="Organization/ch-garonne", **answering(first["id"])))
    nadia = await professional(door, "Practitioner/nadia-haddad")  # works there
    assert await nadia.count("Communication?unread=Organization/ch-garonne") == 1
    await nadia.does(f"Communication/{answer['id']}/$mark-read")
    assert await hospital.count("Communication?unread=Organization/ch-garonne") == 0


async def test_a_parent_reads_for_the_child_and_a_carer_for_nobody(door):
    doctor = await professional(door)
    mother = await acting_for(door, CAMILLE, "Léa")
    first = await doctor.send(message(to=LEA, subject=LEA))
    read = await mother.does(f"Communication/{first['id']}/$mark-read")
    assert unread(read) == []
    assert extension(read, "read")[0]["extension"][1] == {
        "url": "reader",
        "valueReference": {"reference": "RelatedPerson/lea-mere"},
    }
    patient = "Patient/genevieve-dubois"
    second = await doctor.send(message(to=patient, subject=patient))
    carer = await acting_for(door, "Patient/sophie-martin", "Geneviève")
    read = await carer.does(f"Communication/{second['id']}/$mark-read")
    assert unread(read) == [patient]
    assert len(extension(read, "read")) == 1


async def test_the_thread_as_a_whole_and_how_it_stands(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE))
    answer = await camille.send(message(**answering(first["id"])))
    last = await doctor.send(message(to=CAMILLE, **answering(first["id"], answer["id"])))
    got = await camille.get(f"Communication/{answer['id']}/$thread")
    whole = got.json()
    assert [m["id"] for m in parts(whole, "message")] == [first["id"], answer["id"], last["id"]]
    assert parts(whole, "root") == [{"reference": f"Communication/{first['id']}"}]
    assert parts(whole, "unread") == [2]
    assert parts(whole, "recipient") == [{"reference": CLAIRE_ROLE}]
    assert await state(camille, first["id"]) == "REPLY"
    assert await state(doctor, first["id"]) == "REPLY"
    await camille.does(f"Communication/{first['id']}/$mark-read", thread=("valueBoolean", True))
    assert parts((await camille.get(f"Communication/{first['id']}/$thread")).json(), "unread") == [
        0
    ]
    await doctor.send(message(to=[CAMILLE, MATHIEU], **answering(first["id"])))
    assert await state(camille, first["id"]) == "REPLY_TO_ALL"
    await doctor.does(f"Communication/{first['id']}/$end-thread", reason=("valueString", "Fini"))
    ended = (await camille.get(f"Communication/{first['id']}/$thread")).json()
    assert parts(ended, "state") == ["REPLY_BLOCKED"]
    assert parts(ended, "reason") == ["Fini"]
    await doctor.send(message(to=CAMILLE, text="Un autre sujet"))
    assert await state(camille, first["id"]) == "NEW_MESSAGE"
    other = await citizen(door, "Patient/yannick-le-goff")
    assert (await other.get(f"Communication/{first['id']}/$thread")).status_code == 404
    await door.put(
        {"resourceType": "Communication", "id": "a-notice", "status": "completed",
         "subject": {"reference": CAMILLE}, "recipient": [{"reference": CAMILLE}]}
    )  # fmt: skip
    assert await state(camille, "a-notice") == "NO_REPLY"


@pytest.mark.parametrize("parameter", ["x=1", "attachments=maybe"])
async def test_what_the_operation_does_not_know_is_refused(door, parameter):
    doctor = await professional(door)
    first = await doctor.send(message(to=CAMILLE))
    assert (await doctor.get(f"Communication/{first['id']}/$thread?{parameter}")).status_code == 400


async def test_the_thread_shows_no_more_than_one_may_see(door):
    doctor = await professional(door)
    mother = await acting_for(door, CAMILLE, "Léa")
    lea = await citizen(door, LEA)
    first = await doctor.send(message(to=LEA, subject=LEA))
    secret = await doctor.send(
        message(to=LEA, subject=LEA, meta={"security": [SECRET]}, **answering(first["id"]))
    )

    async def seen(person):
        whole = (await person.get(f"Communication/{first['id']}/$thread")).json()
        return [m["id"] for m in parts(whole, "message")]

    assert await seen(lea) == [first["id"], secret["id"]]
    assert await seen(mother) == [first["id"]]
    await mother.does(f"Communication/{first['id']}/$mark-read", thread=("valueBoolean", True))
    assert await lea.count(f"Communication?unread={LEA}") == 1
    other = await professional(door, MATHIEU)
    brought = await doctor.send(message(to=[LEA, MATHIEU], subject=LEA, **answering(first["id"])))
    whole = (await other.get(f"Communication/{brought['id']}/$thread")).json()
    assert [m["id"] for m in parts(whole, "message")] == [brought["id"]]
    done = await other.does(f"Communication/{brought['id']}/$end-thread")
    assert done["id"] == brought["id"]
    assert await state(lea, first["id"]) == "REPLY_BLOCKED"


async def test_what_only_reads_changes_nothing(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE))
    reading = await citizen(door, scope="launch/patient openid fhirUser patient/Communication.rs")
    await reading.does(f"Communication/{first['id']}/$mark-read", 403)
    assert await state(reading, first["id"]) == "NO_REPLY"
    looking = await professional(door, scope="openid fhirUser user/Communication.rs")
    await looking.does(f"Communication/{first['id']}/$end-thread", 403)
    assert await state(camille, first["id"]) == "REPLY"
    assert await camille.count(f"Communication?unread={CAMILLE}") == 1


async def test_in_a_closed_space_the_citizen_reads_and_is_told_why_they_cannot_write(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE))
    closing = await camille.ask("POST", "Consent", choice("OPTOUT", "deny"))
    assert closing.status_code == 201, closing.text
    for status in ("completed", "preparation"):
        outcome = await camille.send(message(status=status, **answering(first["id"])), 403)
        assert "space is closed" in said(outcome)
    assert (await camille.get(f"Communication/{first['id']}")).status_code == 200
    assert await state(camille, first["id"]) == "NO_REPLY"
    assert (await doctor.get(f"Communication/{first['id']}")).status_code == 404
    await doctor.send(message(to=CAMILLE), 403)
    await camille.ask("DELETE", f"Consent/{closing.json()['id']}")
    await camille.send(message(**answering(first["id"])))


async def test_unread_messages_are_counted_in_all_and_in_each_thread(door):
    doctor, mother = await professional(door), await acting_for(door, CAMILLE, "Léa")
    camille = await citizen(door)
    one = await doctor.send(message(to=CAMILLE))
    two = await doctor.send(message(to=[CAMILLE, MATHIEU]))
    await doctor.send(message(to=CAMILLE, **answering(one["id"])))
    child = await doctor.send(message(to=LEA, subject=LEA))
    answer = await camille.send(message(**answering(two["id"])))

    async def counts(person):
        answer = await person.get("Communication/$unread")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        threads = [p["part"] for p in found["parameter"] if p["name"] == "thread"]
        return parts(found, "total"), [
            (root["valueReference"]["reference"], unread["valueUnsignedInt"])
            for root, unread in threads
        ]

    first, second = f"Communication/{one['id']}", f"Communication/{two['id']}"
    assert await counts(camille) == ([3], [(first, 2), (second, 1)])
    assert await counts(mother) == ([1], [(f"Communication/{child['id']}", 1)])
    assert await counts(doctor) == ([1], [(second, 1)])
    await camille.does(f"{second}/$mark-read")
    await doctor.does(f"Communication/{answer['id']}/$mark-read")
    assert await counts(camille) == ([2], [(first, 2)])
    assert await counts(doctor) == ([0], [])
    assert (await camille.get(f"Communication/$unread?reader={LEA}")).status_code == 400
    without = await citizen(door, scope="launch/patient openid fhirUser patient/Observation.rs")
    assert (await without.get("Communication/$unread")).status_code == 403
