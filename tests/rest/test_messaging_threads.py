"""Who may write to whom, in threads, with tokens: the rules of messaging on both engines."""

from __future__ import annotations

import asyncio

import messaging_people
import smart_browser
from messaging_people import (
    CLAIRE,
    CLAIRE_ROLE,
    EXTENSION,
    MATHIEU,
    acting_for,
    answering,
    block,
    citizen,
    establishment,
    extension,
    message,
    professional,
    said,
    state,
    unread,
)
from smart_browser import CAMILLE, LEA

door = messaging_people.door
NADIA = "Practitioner/nadia-haddad"


async def test_a_professional_opens_an_exchange_and_the_citizen_answers(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE, topic={"text": "Vaccin"}))
    assert first["sender"] == {"reference": CLAIRE_ROLE}
    assert first["sent"]
    assert unread(first) == [CAMILLE]
    answer = await camille.send(message(to=(), text="Merci", **answering(first["id"])))
    assert answer["sender"] == {"reference": CAMILLE}
    assert answer["recipient"] == [{"reference": CLAIRE_ROLE}]
    assert answer["inResponseTo"] == [{"reference": f"Communication/{first['id']}"}]
    seen = await doctor.get(f"Communication?part-of=Communication/{first['id']}")
    assert [e["resource"]["id"] for e in seen.json()["entry"]] == [answer["id"]]


async def test_only_professionals_open_a_first_exchange(door):
    camille = await citizen(door)
    outcome = await camille.send(message(to=CLAIRE), 422)
    assert "Only professionals open a first exchange" in said(outcome)
    assert outcome["issue"][0]["code"] == "business-rule"
    assert outcome["issue"][0]["expression"] == ["Communication.recipient[0]"]
    for stranger in (LEA, "Patient/yannick-le-goff", "RelatedPerson/lea-pere"):
        outcome = await camille.send(message(to=stranger), 422)
        assert "Citizens do not write to each other" in said(outcome)
    outcome = await camille.send(message(to=()), 422)
    assert "names whom it is for" in said(outcome)
    request = message(resourceType="CommunicationRequest", status="active")
    for place, name in (("recipient[0]", "recipient"), ("sender", "sender")):
        named = {"reference": CLAIRE}
        body = request | {name: [named] if name == "recipient" else named}
        answer = await camille.ask("POST", "CommunicationRequest", body)
        assert answer.status_code == 422
        assert answer.json()["issue"][0]["expression"] == [f"CommunicationRequest.{place}"]
    answer = await camille.ask("POST", "CommunicationRequest", request)
    assert answer.status_code == 201


async def test_a_citizen_writes_anew_to_who_wrote_before_and_has_not_ended_it(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE))
    anew = await camille.send(message(to=CLAIRE, text="Autre chose"))  # the person, by any role
    assert "partOf" not in anew
    assert "first exchange" in said(await camille.send(message(to=MATHIEU), 422))
    await doctor.does(f"Communication/{first['id']}/$end-thread")
    outcome = await camille.send(message(to=CLAIRE_ROLE), 422)
    assert "has ended the exchange" in said(outcome)


async def test_a_thread_that_a_professional_ended_takes_no_answer_until_they_write_again(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE))
    root = first["id"]
    await doctor.send(
        message(
            to=CAMILLE,
            extension=[
                {
                    "url": "http://fhirserver.example/StructureDefinition/message-ends-thread",
                    "valueBoolean": True,
                }
            ],
            **answering(root),
        )
    )
    ended = (await camille.get(f"Communication/{root}")).json()
    (state,) = extension(ended, "thread-state")
    assert {"url": "ended", "valueBoolean": True} in state["extension"]
    assert ended["statusReason"]["coding"][0]["code"] == "ended"
    assert await camille.count("Communication?thread-ended=true") == 1
    outcome = await camille.send(message(to=CLAIRE_ROLE, **answering(root)), 422)
    assert "has ended this thread" in said(outcome)
    await doctor.send(message(to=CAMILLE, **answering(root)))
    again = (await camille.get(f"Communication/{root}")).json()
    assert "statusReason" not in again
    await camille.send(message(to=CLAIRE_ROLE, **answering(root)))


async def test_a_thread_is_ended_by_a_reason_on_its_first_message_or_by_the_operation(door):
    doctor, camille, other = (
        await professional(door), await citizen(door), await professional(door, MATHIEU)
    )  # fmt: skip
    first = await doctor.send(message(to=CAMILLE))
    reason = {"text": "La suite en consultation"}
    await camille.put({**first, "statusReason": reason}, 403)
    await doctor.put({**first, "statusReason": reason})
    outcome = await camille.send(message(**answering(first["id"])), 422)
    assert "La suite en consultation" in said(outcome)
    current = (await doctor.get(f"Communication/{first['id']}")).json()
    del current["statusReason"]
    await doctor.put(current)
    answer = await camille.send(message(**answering(first["id"])))
    path = f"Communication/{answer['id']}/$end-thread"  # any message of it will do
    hidden = await other.does(path, 404)
    unknown = await other.does("Communication/none/$end-thread", 404)
    assert said(hidden).replace(answer["id"], "none") == said(unknown)
    await camille.does(path, 403)
    done = await doctor.does(path, reason=("valueString", "Fermé"))
    assert done["id"] == first["id"]
    assert done["statusReason"]["text"] == "Fermé"
    assert "Fermé" in said(await camille.send(message(**answering(first["id"])), 422))


async def test_an_answer_and_an_end_at_once_never_leave_an_answer_after_the_end(door):
    doctor, camille = await professional(door), await citizen(door)
    for _ in range(4):
        root = (await doctor.send(message(to=CAMILLE)))["id"]
        answers = [
            camille.ask("POST", "Communication", message(text=str(n), **answering(root)))
            for n in range(6)
        ]
        end = doctor.does(f"Communication/{root}/$end-thread")
        given = await asyncio.gather(*answers[:3], end, *answers[3:])
        given.pop(3)
        assert {a.status_code for a in given} <= {201, 422}
        thread = [await door.store.read("Communication", root)]
        for answer in given:
            if answer.status_code == 201:
                thread.append(await door.store.read("Communication", answer.json()["id"]))
        assert max(version.seq for version in thread) == thread[0].seq


async def test_the_sender_is_who_writes(door):
    doctor, camille = await professional(door), await citizen(door)
    forged = await doctor.send(message(sender=MATHIEU, to=CAMILLE), 422)
    assert "who writes it" in said(forged)
    first = await doctor.send(message(sender=CLAIRE, to=CAMILLE))
    assert first["sender"] == {"reference": CLAIRE}
    forged = await camille.send(message(sender=CLAIRE, **answering(first["id"])), 422)
    assert "who writes it" in said(forged)


async def test_a_thread_one_has_no_part_in_is_not_known(door):
    doctor, other = await professional(door), await professional(door, MATHIEU)
    first = await doctor.send(message(to=CAMILLE))
    hidden = await other.send(message(to=CAMILLE, **answering(first["id"])), 422)
    unknown = await other.send(message(to=CAMILLE, **answering("none")), 422)
    assert said(hidden).replace(first["id"], "none") == said(unknown)
    brought = await doctor.send(message(to=[CAMILLE, MATHIEU], **answering(first["id"])))
    await other.send(message(to=CAMILLE, **answering(first["id"], brought["id"])))
    camille = await citizen(door)
    outcome = await camille.send(
        message(to="Practitioner/nadia-haddad", **answering(first["id"])), 422
    )
    assert "has no part in this thread" in said(outcome)
    await camille.send(message(to=[CLAIRE, MATHIEU], **answering(first["id"])))


async def test_an_establishment_writes_and_is_answered(door):
    hospital, camille = await establishment(door), await citizen(door)
    first = await hospital.send(message(to=CAMILLE))
    assert first["sender"] == {"reference": "Organization/ch-garonne"}
    answer = await camille.send(message(**answering(first["id"])))
    assert answer["recipient"] == [{"reference": "Organization/ch-garonne"}]
    assert (await hospital.get(f"Communication/{answer['id']}")).status_code == 200


async def test_a_parent_writes_for_a_child_and_it_shows(door):
    doctor = await professional(door)
    mother = await acting_for(door, CAMILLE, "Léa")
    first = await doctor.send(message(to=LEA, subject=LEA))
    forged = await mother.send(message(sender=LEA, subject=LEA, **answering(first["id"])), 422)
    assert "who writes it" in said(forged)
    answer = await mother.send(message(subject=LEA, **answering(first["id"])))
    assert answer["sender"] == {"reference": "RelatedPerson/lea-mere"}
    (behalf,) = extension(answer, "on-behalf-of")
    assert behalf["valueReference"] == {"reference": LEA}
    back = await doctor.send(message(subject=LEA, **answering(first["id"], answer["id"])))
    assert [r["reference"] for r in back["recipient"]] == [LEA, "RelatedPerson/lea-mere"]
    nobody = await doctor.send(message(to=[LEA, "Organization/none"], subject=LEA), 422)
    assert nobody["issue"][0]["expression"] == ["Communication.recipient[1]"]
    stranger = await doctor.send(message(to="RelatedPerson/marcel-aidante", subject=LEA), 422)
    assert "not known" in said(stranger)


async def test_a_delegate_writes_for_a_professional_and_both_are_named(door):
    doctor, camille = await professional(door), await citizen(door)
    assistant, other = await professional(door, MATHIEU), await professional(door, NADIA)

    def behalf(*names):
        url = EXTENSION + "on-behalf-of"
        return [{"url": url, "valueReference": {"reference": name}} for name in names]

    refused = message(to=CAMILLE, extension=behalf(CLAIRE))
    assert "not made you their delegate" in said(await assistant.send(refused, 403))
    person = next(r for r in smart_browser.people() if r["id"] == "claire-fontaine")
    named = [{"url": EXTENSION + "delegate", "valueReference": {"reference": MATHIEU}}]
    await door.put({**person, "extension": [*person.get("extension", []), *named]})
    assert "not made you their delegate" in said(await other.send(refused, 403))
    first = await assistant.send(message(to=CAMILLE, extension=behalf(CLAIRE_ROLE)))
    assert first["sender"] == {"reference": "PractitionerRole/mathieu-lopez-role"}
    assert extension(first, "on-behalf-of") == behalf(CLAIRE_ROLE)
    path = f"Communication/{first['id']}"
    assert (await doctor.get(path)).status_code == 200
    assert (await other.get(path)).status_code == 404
    mistake = await assistant.send(message(to=CAMILLE, extension=behalf(CLAIRE)))
    await doctor.put({**mistake, "status": "entered-in-error"})
    answer = await camille.send(message(**answering(first["id"])))
    both = [CLAIRE_ROLE, "PractitionerRole/mathieu-lopez-role"]
    assert [r["reference"] for r in answer["recipient"]] == both
    await doctor.send(message(to=CAMILLE, **answering(first["id"])))
    await camille.send(message(to=CLAIRE, text="Autre chose"))
    root = await doctor.send(message(to=CAMILLE))
    await assistant.send(message(to=CAMILLE, **answering(root["id"])), 422)
    for_her = message(to=CAMILLE, extension=behalf(CLAIRE), **answering(root["id"]))
    await assistant.send(for_her)
    for wrong in (behalf(CAMILLE), behalf(CLAIRE, MATHIEU)):
        await assistant.send(message(to=CAMILLE, extension=wrong), 422)
    own = message(to=CAMILLE, extension=behalf("Organization/msp-violettes"))
    assert (await doctor.send(own))["sender"] == {"reference": CLAIRE_ROLE}
    blocked = await camille.ask("POST", "Consent", block(CLAIRE))
    assert blocked.status_code == 201
    await assistant.send(for_her, 403)
    await assistant.send(message(to=CAMILLE))
    forged = await camille.send(
        message(to=MATHIEU, extension=behalf(CLAIRE), **answering(first["id"]))
    )
    assert extension(forged, "on-behalf-of") == []


async def test_a_carer_writes_but_deletes_nothing(door):
    doctor = await professional(door, "Practitioner/antoine-delattre")
    carer = await acting_for(door, "Patient/sophie-martin", "Geneviève")
    patient = "Patient/genevieve-dubois"
    first = await doctor.send(message(to=patient, subject=patient))
    answer = await carer.send(message(subject=patient, **answering(first["id"])))
    assert answer["sender"] == {"reference": "RelatedPerson/genevieve-aidante"}
    for id in (first["id"], answer["id"]):
        assert (await carer.ask("DELETE", f"Communication/{id}")).status_code == 403


async def test_who_is_blocked_is_told_what_a_space_says_that_takes_nothing(door):
    from smart_browser import people

    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE))
    patient = next(r for r in people() if r["id"] == "camille-lefevre")
    made = await camille.ask("POST", "Consent", block(CLAIRE))
    assert made.status_code == 201, made.text

    async def refused(body):
        answer = await doctor.ask("POST", "Communication", body)
        outcome = answer.json()
        words = said(outcome).partition("/")
        return answer.status_code, outcome["issue"][0]["code"], words[0], words[2][36:]

    blocked = await refused(message(to=CAMILLE))
    assert blocked[0] == 403
    assert await refused(message(to=CAMILLE, **answering(first["id"]))) == blocked
    await doctor.does(f"Communication/{first['id']}/$end-thread", 403)
    await doctor.put({**first, "statusReason": {"text": "Fini"}}, 403)
    unknown = message(to="Patient/none", subject="Patient/none")
    assert await refused(unknown) == blocked
    await door.put({**patient, "active": False})
    closed = await refused(message(to=CAMILLE))
    assert closed == blocked
    await door.put(patient)
    outcome = await camille.send(message(**answering(first["id"])), 422)
    assert "You have blocked" in said(outcome)
    gone = await camille.ask("DELETE", f"Consent/{made.json()['id']}")
    assert gone.status_code in (200, 204)
    await doctor.send(message(to=CAMILLE))


async def test_a_citizen_writes_first_to_a_pharmacy_they_have_been_to(door):
    camille = await citizen(door)
    telecom = [
        {
            "extension": [
                {
                    "url": "https://hl7.fr/ig/fhir/core/StructureDefinition/"
                    "fr-core-contact-point-email-type",
                    "valueCoding": {"code": "MSSANTE"},
                }
            ],
            "system": "email",
            "value": "officine@mssante.example",
        }
    ]
    sector = {
        "system": "https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/"
        "TRE-R02-SecteurActivite",
        "code": "SA33",
    }

    async def pharmacy(id, **changed):
        made = {"resourceType": "Organization", "id": id, "active": True, "name": id,
                "type": [{"coding": [sector]}], "telecom": telecom} | changed  # fmt: skip
        await door.put(made)

    async def visit(id):
        await door.put(
            {"resourceType": "Encounter", "id": f"visit-{id}", "status": "finished",
             "class": {"code": "AMB"}, "subject": {"reference": CAMILLE},
             "serviceProvider": {"reference": f"Organization/{id}"}}
        )  # fmt: skip

    await pharmacy("visited")
    await pharmacy("not-visited")
    await pharmacy("no-mailbox", telecom=[{"system": "phone", "value": "1"}])
    await pharmacy("no-pharmacy", type=[{"coding": [sector | {"code": "SA01"}]}])
    for id in ("visited", "no-mailbox", "no-pharmacy"):
        await visit(id)
    await camille.send(message(to="Organization/visited"))
    for id in ("not-visited", "no-mailbox", "no-pharmacy"):
        outcome = await camille.send(message(to=f"Organization/{id}"), 422)
        assert "first exchange" in said(outcome)


async def test_of_a_bundle_the_last_message_says_how_the_thread_is(door):
    doctor, camille = await professional(door), await citizen(door)
    ending = {"extension": [{"url": EXTENSION + "ends-thread", "valueBoolean": True}]}
    new = "urn:uuid:0b9a3a3e-0000-4000-8000-000000000001"

    async def write(*resources):
        entries = [
            {
                "fullUrl": new if number == 0 else f"{new[:-2]}1{number}",
                "resource": resource,
                "request": {"method": "POST", "url": "Communication"},
            }
            for number, resource in enumerate(resources)
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = await doctor.ask("POST", "", bundle, prefer="return=representation")
        assert answer.status_code == 200, answer.text
        return answer.json()["entry"][0]["resource"]["id"]

    root = (await doctor.send(message(to=CAMILLE)))["id"]
    last, more = message(**answering(root), **ending), message(**answering(root))
    for bundle, expected in (
        ((last, more), "REPLY"),
        ((more, last), "REPLY_BLOCKED"),
        ((last, more), "REPLY"),
        ((more, more, last), "REPLY_BLOCKED"),
        ((last, last), "REPLY_BLOCKED"),
    ):
        await write(*bundle)
        assert await state(camille, root) == expected
    below = {"partOf": [{"reference": new}]}
    ended = await write(message(to=CAMILLE), message(**below, **ending))
    assert "has ended this thread" in said(await camille.send(message(**answering(ended)), 422))
    opened = await write(message(to=CAMILLE, **ending), message(**below))
    await camille.send(message(**answering(opened)))


async def test_a_bundle_gives_no_part_in_a_thread_of_others(door):
    doctor, other = await professional(door), await professional(door, MATHIEU)
    first = await doctor.send(message(to=CAMILLE))
    bodies = [
        message(sender=MATHIEU, to=[CAMILLE, MATHIEU], **answering(first["id"])) for _ in range(2)
    ]
    for type in ("batch", "transaction"):
        entries = [
            {"resource": b, "request": {"method": "POST", "url": "Communication"}} for b in bodies
        ]
        bundle = {"resourceType": "Bundle", "type": type, "entry": entries}
        answer = await other.ask("POST", "", bundle)
        if type == "batch":
            given = [e["response"]["status"][:3] for e in answer.json()["entry"]]
            assert given == ["422", "422"]
        else:
            assert answer.status_code in (400, 422)
    assert await doctor.count("Communication?sender=" + MATHIEU) == 0
