"""Messages with `--auth off`: the rules go by what the resource says, and bind messages alone."""

from __future__ import annotations

import gzip
import json

import pytest
from messaging_people import answering, extension, message, unread
from over_http import FHIR_JSON, ROOT, outcome_of


@pytest.fixture
def parties(fhir, tag):
    """A patient and a practitioner with a role that no other test uses."""
    names = {"patient": f"Patient/p{tag}", "doctor": f"Practitioner/d{tag}"}
    for reference in names.values():
        type, id = reference.split("/")
        made = fhir.put(reference, json={"resourceType": type, "id": id, "active": True})
        assert made.status_code == 201
    return names


def send(fhir, body, status=201):
    answer = fhir.post("Communication", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_sender_named_decides(fhir, parties):
    patient, doctor = parties["patient"], parties["doctor"]
    first = message(patient, doctor, patient)
    outcome = outcome_of(fhir.post("Communication", json=first), 422)
    assert "first exchange" in outcome["issue"][0]["diagnostics"]
    root = send(fhir, message(doctor, patient, patient))
    assert unread(root) == [patient]
    send(fhir, message(patient, (), patient, **answering(root["id"])))
    assert outcome_of(fhir.post("Communication", json=message(patient, patient, patient)), 422)
    ended = fhir.post(f"Communication/{root['id']}/$end-thread")
    assert ended.status_code == 200, ended.text
    outcome_of(
        fhir.post("Communication", json=message(patient, (), patient, **answering(root["id"]))), 422
    )
    state = fhir.get(f"Communication/{root['id']}/$thread").json()["parameter"][0]
    assert state == {"name": "state", "valueCode": "REPLY_BLOCKED"}
    end = [{"url": "http://fhirserver.example/StructureDefinition/message-ends-thread",
            "valueBoolean": True}]  # fmt: skip
    send(fhir, message(doctor, patient, patient, **answering(root["id"])))
    reopened = fhir.get(f"Communication/{root['id']}").json()
    assert "statusReason" not in reopened
    send(fhir, message(doctor, patient, patient, extension=end, **answering(root["id"])))
    closed = fhir.get(f"Communication/{root['id']}").json()
    assert closed["statusReason"]["coding"][0]["code"] == "ended"
    assert extension(closed, "thread-state")[0]["extension"][2]["valueReference"] == {
        "reference": doctor
    }
    single = send(fhir, message(doctor, patient, patient, extension=end))
    outcome_of(
        fhir.post("Communication", json=message(patient, (), patient, **answering(single["id"]))),
        422,
    )


def test_reading_names_its_reader(fhir, parties):
    patient, doctor = parties["patient"], parties["doctor"]
    root = send(fhir, message(doctor, patient, patient, status="in-progress"))
    count = f"Communication?unread={patient}&_summary=count"
    assert fhir.get(count).json()["total"] == 1
    outcome_of(fhir.get("Communication/$unread"), 400)
    waiting = fhir.get(f"Communication/$unread?reader={patient}").json()["parameter"]
    assert waiting[0] == {"name": "total", "valueUnsignedInt": 1}
    path = f"Communication/{root['id']}/$mark-read"
    outcome_of(fhir.post(path), 400)
    outcome_of(fhir.post(f"{path}?reader={doctor}"), 403)
    read = fhir.post(f"{path}?reader={patient}").json()
    assert read["status"] == "completed"
    assert read["received"]
    assert fhir.get(count).json()["total"] == 0


def test_a_message_stays_as_it_was_sent(fhir, parties):
    patient, doctor = parties["patient"], parties["doctor"]
    root = send(fhir, message(doctor, patient, patient))
    changed = {**root, "payload": [{"contentString": "x"}]}
    outcome_of(fhir.put(f"Communication/{root['id']}", json=changed), 422)
    assert fhir.put(f"Communication/{root['id']}", json=root).status_code == 200


def test_an_answer_may_be_stored_before_what_it_answers(fhir, parties, tag):
    patient, doctor = parties["patient"], parties["doctor"]
    answer = message(patient, doctor, patient, id=f"b{tag}", **answering(f"a{tag}"))
    assert fhir.put(f"Communication/b{tag}", json=answer).status_code == 201
    first = message(doctor, patient, patient, id=f"a{tag}")
    assert fhir.put(f"Communication/a{tag}", json=first).status_code == 201


def test_a_conversation_comes_in_one_bundle(fhir, parties, server, tag):
    if server.engine == "mongodb":
        pytest.skip("the wire server of the tests has no transactions")
    patient, doctor = parties["patient"], parties["doctor"]
    messages = [
        message(doctor, patient, patient, id=f"r{tag}"),
        message(patient, doctor, patient, id=f"s{tag}", **answering(f"r{tag}")),
    ]
    entries = [
        {"resource": m, "request": {"method": "PUT", "url": f"Communication/{m['id']}"}}
        for m in messages
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = fhir.post("", json=bundle)
    assert answer.status_code == 200, answer.text


def test_other_communications_are_left_alone(fhir, tag, shared_data):
    with gzip.open(shared_data / "hl7-r4-examples" / "examples-even.ndjson.gz") as lines:
        given = [line.get("resource", line) for line in map(json.loads, lines)]
    examples = [r for r in given if r["resourceType"] == "Communication"]
    assert examples
    for example in examples:
        for _ in range(2):
            answer = fhir.put(f"Communication/{example['id']}", json=example)
            assert answer.status_code in (200, 201), answer.text
            stored = fhir.get(f"Communication/{example['id']}").json()
            stored.pop("meta")
            assert stored == {k: v for k, v in example.items() if k != "meta"}
        changed = {**example, "payload": [{"contentString": tag}]}
        assert fhir.put(f"Communication/{example['id']}", json=changed).status_code == 200
        assert fhir.delete(f"Communication/{example['id']}").status_code in (200, 204)


async def test_the_sample_conversations_are_accepted_in_any_order(in_process):
    client = await in_process()
    files = sorted((ROOT / "examples").glob("*.json"), reverse=True)
    for file in (*files, *reversed(files)):
        answer = await client.post("", content=file.read_bytes(), headers=FHIR_JSON)
        assert answer.status_code == 200, (file.name, answer.text[:500])

    async def told(id):
        whole = (await client.get(f"Communication/{id}/$thread")).json()["parameter"]
        state = whole[0]["valueCode"]
        return state, [p["resource"]["id"] for p in whole if p["name"] == "message"]

    hugo = [f"hugo-message-{n}" for n in (1, 2, 3)]
    assert await told("hugo-message-2") == ("REPLY_BLOCKED", hugo)
    marcel = [f"marcel-message-{n}" for n in (1, 2, 3)]
    assert await told("marcel-message-3") == ("REPLY", marcel)
    waiting = {
        "Patient/camille-lefevre": 1,
        "Patient/lea-lefevre": 1,
        "Patient/marcel-dubois": 1,
        "Patient/hugo-lefevre": 0,
        "Practitioner/maelle-rousseau": 1,
        "RelatedPerson/marcel-aidante": 0,
    }
    for mailbox, number in waiting.items():
        found = await client.get(f"Communication?unread={mailbox}&_summary=count")
        assert found.json()["total"] == number, mailbox


def test_who_writes_for_another_has_their_mandate(fhir, parties, tag):
    patient, doctor = parties["patient"], parties["doctor"]
    root = send(fhir, message(doctor, patient, patient))

    def put(type, id, **content):
        body = {"resourceType": type, "id": id, **content}
        assert fhir.put(f"{type}/{id}", json=body).status_code in (200, 201)
        return f"{type}/{id}"

    put("Patient", f"other{tag}")
    mother = put("RelatedPerson", f"m{tag}", patient={"reference": patient})
    former = put(
        "RelatedPerson", f"f{tag}", patient={"reference": patient}, period={"end": "2020-01-01"}
    )
    strange = put("RelatedPerson", f"s{tag}", patient={"reference": f"Patient/other{tag}"})
    written = send(fhir, message(mother, (), patient, **answering(root["id"])))
    assert extension(written, "on-behalf-of")[0]["valueReference"] == {"reference": patient}
    for sender in (former, strange):
        body = message(sender, (), patient, **answering(root["id"]))
        outcome = outcome_of(fhir.post("Communication", json=body), 422)
        assert "does not act for" in outcome["issue"][0]["diagnostics"]
    assistant = put("Practitioner", f"a{tag}", active=True)
    url = "http://fhirserver.example/StructureDefinition/message-"
    behalf = [{"url": f"{url}on-behalf-of", "valueReference": {"reference": doctor}}]
    body = message(assistant, patient, patient, extension=behalf)
    outcome_of(fhir.post("Communication", json=body), 403)
    named = [{"url": f"{url}delegate", "valueReference": {"reference": assistant}}]
    put("Practitioner", doctor.partition("/")[2], active=True, extension=named)
    assert send(fhir, body)["sender"] == {"reference": assistant}
