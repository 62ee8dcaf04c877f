"""Booking over HTTP: free times found, held, booked; no slot taken twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from over_http import FHIR_JSON, outcome_of

START = (datetime.now(UTC) + timedelta(days=3)).replace(hour=9, minute=0, second=0, microsecond=0)


def at(minutes):
    return (START + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.base_url, headers=FHIR_JSON, timeout=30) as made:
        yield made


def put(client, resource):
    url = f"{resource['resourceType']}/{resource['id']}"
    answer = client.put(url, json=resource)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


@pytest.fixture
def agenda(client):
    """Three free slots of twenty minutes in an agenda of its own."""
    name = f"agenda{datetime.now(UTC):%H%M%S%f}"
    doctor = f"Practitioner/{name}"
    put(client, {"resourceType": "Practitioner", "id": name, "active": True})
    put(client, {"resourceType": "Patient", "id": name, "active": True})
    put(client, {"resourceType": "Schedule", "id": name, "active": True, "actor": [ref(doctor)]})
    for number in range(3):
        put(client, slot(name, number))
    return name


def ref(text):
    return {"reference": text}


def slot(name, number, status="free", **more):
    return {
        "resourceType": "Slot",
        "id": f"{name}-{number}",
        "schedule": ref(f"Schedule/{name}"),
        "status": status,
        "start": at(20 * number),
        "end": at(20 * number + 20),
        **more,
    }


def appointment(name, number=0, status="booked", **more):
    return {
        "resourceType": "Appointment",
        "status": status,
        "start": at(20 * number),
        "end": at(20 * number + 20),
        "slot": [ref(f"Slot/{name}-{number}")],
        "participant": [{"actor": ref(f"Patient/{name}"), "status": "accepted"}],
        **more,
    }


def find(client, name, **more):
    asked = {"start": at(0), "end": at(120), "practitioner": f"Practitioner/{name}", **more}
    answer = client.get("Appointment/$find", params=asked)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def of(*named):
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": n, "valueReference": ref(v)} for n, v in named],
    }


def status_of_slot(client, name, number=0):
    return client.get(f"Slot/{name}-{number}").json()["status"]


def test_free_times_are_found_as_proposed_appointments(client, agenda):
    found = find(client, agenda)
    assert [each["start"] for each in found] == [at(0), at(20), at(40)]
    first = found[0]
    assert first["status"] == "proposed"
    assert first["minutesDuration"] == 20
    assert first["slot"] == [ref(f"Slot/{agenda}-0")]
    assert first["participant"][0]["actor"] == ref(f"Practitioner/{agenda}")
    assert [each["start"] for each in find(client, agenda, start=at(10), end=at(40))] == [at(20)]
    assert len(find(client, agenda, _count="2")) == 2
    assert find(client, "nobody") == []
    on_schedule = client.get(
        f"Schedule/{agenda}/$find", params={"start": at(0), "end": at(120)}
    ).json()
    assert on_schedule["total"] == 3


def test_what_is_wanted_is_found_by_the_slot_or_else_by_its_agenda(client, agenda):
    def code(value):
        return [{"coding": [{"system": "urn:test", "code": value}]}]

    kept = client.get(f"Schedule/{agenda}").json()
    kept |= {"specialty": code("general"), "serviceType": code("visit")}
    assert client.put(f"Schedule/{agenda}", json=kept).status_code == 200
    slot = client.get(f"Slot/{agenda}-1").json()
    slot |= {"specialty": code("heart"), "serviceType": code("echo")}
    assert client.put(f"Slot/{agenda}-1", json=slot).status_code == 200
    for asked, found in (
        ({"specialty": "urn:test|general"}, [at(0), at(40)]),
        ({"specialty": "heart"}, [at(20)]),
        ({"specialty": 'none" or status eq "free'}, []),
        ({"visit-type": "urn:test|visit"}, [at(0), at(40)]),
        ({"visit-type": "visit,echo"}, [at(0), at(20), at(40)]),
        ({"visit-type": "visit", "specialty": "heart"}, []),
    ):
        assert [each["start"] for each in find(client, agenda, **asked)] == found, asked


def test_agenda_that_a_practitioner_keeps_in_a_role_is_found_by_the_practitioner(client, agenda):
    doctor = ref(f"Practitioner/{agenda}")
    put(client, {"resourceType": "PractitionerRole", "id": agenda, "practitioner": doctor})
    role = ref(f"PractitionerRole/{agenda}")
    put(client, {"resourceType": "Schedule", "id": agenda, "active": True, "actor": [role]})
    assert len(find(client, agenda)) == 3
    assert len(find(client, agenda, practitioner=f"Practitioner/{agenda}")) == 3
    assert find(client, "nobody") == []


def test_what_is_booked_is_not_found_and_comes_back_when_cancelled(client, agenda):
    made = client.post("Appointment", json=appointment(agenda)).json()
    assert status_of_slot(client, agenda) == "busy"
    assert [each["start"] for each in find(client, agenda)] == [at(20), at(40)]
    put(client, {**made, "status": "cancelled"})
    assert status_of_slot(client, agenda) == "free"
    assert len(find(client, agenda)) == 3


def test_a_deleted_appointment_frees_its_slot(client, agenda):
    made = client.post("Appointment", json=appointment(agenda)).json()
    assert client.delete(f"Appointment/{made['id']}").status_code in (200, 204)
    assert status_of_slot(client, agenda) == "free"


def test_moving_an_appointment_moves_what_is_taken(client, agenda):
    made = client.post("Appointment", json=appointment(agenda)).json()
    put(client, {**appointment(agenda, 1), "id": made["id"]})
    assert status_of_slot(client, agenda, 0) == "free"
    assert status_of_slot(client, agenda, 1) == "busy"


def test_held_then_booked(client, agenda):
    proposed = find(client, agenda)[0]
    asked = of(
        ("appointment-reference", f"Appointment/{proposed['id']}"),
        ("patient-reference", f"Patient/{agenda}"),
    )
    held = client.post("Appointment/$hold", json=asked)
    assert held.status_code == 200, held.text
    held = held.json()
    assert held["status"] == "pending"
    assert status_of_slot(client, agenda) == "busy-tentative"
    assert len(find(client, agenda)) == 2
    outcome_of(client.post("Appointment/$hold", json=asked), 409)
    booked = client.post(
        "Appointment/$book", json=of(("appointment-reference", f"Appointment/{held['id']}"))
    )
    assert booked.status_code == 200, booked.text
    booked = booked.json()
    assert (booked["id"], booked["status"]) == (held["id"], "booked")
    assert "extension" not in booked
    assert {each["status"] for each in booked["participant"]} == {"accepted"}
    assert status_of_slot(client, agenda) == "busy"
    outcome_of(
        client.post(
            "Appointment/$book", json=of(("appointment-reference", f"Appointment/{held['id']}"))
        ),
        409,
    )


def test_booking_what_was_proposed_or_a_whole_appointment(client, agenda):
    by_slot = client.post(
        f"Slot/{agenda}-0/$book", json=of(("patient-reference", f"Patient/{agenda}"))
    )
    assert by_slot.status_code == 200, by_slot.text
    assert by_slot.json()["status"] == "booked"
    whole = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "appointment-resource", "resource": appointment(agenda, 1, "proposed")}
        ],
    }
    answer = client.post("Appointment/$book", json=whole)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "booked"
    outcome_of(client.post("Appointment/$book", json=whole), 409)


@pytest.mark.parametrize("how", ["create", "hold", "book"])
async def test_of_many_who_want_one_slot_one_gets_it(client, server, agenda, how):
    wanted = of(("patient-reference", f"Patient/{agenda}"))
    async with httpx.AsyncClient(base_url=server.base_url, headers=FHIR_JSON, timeout=60) as many:

        async def one():
            if how == "create":
                return await many.post("Appointment", json=appointment(agenda))
            return await many.post(f"Slot/{agenda}-0/${how}", json=wanted)

        answers = await asyncio.gather(*(one() for _ in range(20)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] in (200, 201)
    assert set(statuses[1:]) == {409}, statuses
    found = client.get("Appointment", params={"slot": f"Slot/{agenda}-0"}).json()
    assert len(found["entry"]) == 1


def test_slots_that_say_so_may_be_taken_more_than_once(client, agenda):
    put(client, slot(agenda, 0, overbooked=True))
    for _ in range(2):
        assert client.post("Appointment", json=appointment(agenda)).status_code == 201


def test_what_the_owner_has_blocked_stays_blocked(client, agenda):
    put(client, slot(agenda, 0, status="busy-unavailable"))
    assert len(find(client, agenda)) == 2
    outcome_of(
        client.post(f"Slot/{agenda}-0/$book", json=of(("patient-reference", f"Patient/{agenda}"))),
        409,
    )
    made = client.post("Appointment", json=appointment(agenda)).json()  # by the agenda's owner
    put(client, {**made, "status": "cancelled"})
    assert status_of_slot(client, agenda) == "busy-unavailable"


def test_states_follow_each_other(client, agenda):
    made = client.post("Appointment", json=appointment(agenda)).json()
    for status in ("arrived", "fulfilled"):
        made = put(client, {**made, "status": status})
    outcome = outcome_of(
        client.put(f"Appointment/{made['id']}", json={**made, "status": "booked"}), 422
    )
    assert outcome["issue"][0]["expression"] == ["Appointment.status"]
    put(client, {**made, "status": "entered-in-error"})
    assert status_of_slot(client, agenda) == "free"


def test_two_appointments_of_one_bundle_cannot_take_one_slot(client, server, agenda):
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": appointment(agenda),
                "request": {"method": "POST", "url": "Appointment"},
            }
            for _ in range(2)
        ],
    }
    outcome_of(client.post("", json=bundle), (409, 501, 400, 422))
    assert status_of_slot(client, agenda) == "free"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"end": at(0)}, 400),
        ({"start": at(0)}, 400),
        ({"start": "soon", "end": at(0)}, 400),
        ({"start": at(20), "end": at(0)}, 400),
        ({"start": "2020", "end": "2030"}, 400),
        ({"start": at(0), "end": at(20), "colour": "red"}, 400),
        ({"start": at(0), "end": at(20), "patient-reference": "Group/1"}, 400),
        ({"start": at(0), "end": at(20), "_count": "many"}, 400),
    ],
)
def test_find_says_what_it_cannot_read(client, query, status):
    outcome_of(client.get("Appointment/$find", params=query), status)


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ([], 400),
        ([("appointment-reference", "Appointment/unknown-one")], 404),
        ([("appointment-reference", "Patient/1")], 400),
        ([("appointment-reference", "Appointment/x"), ("colour", "red")], 400),
    ],
)
def test_hold_and_book_say_what_they_cannot_do(client, parameters, status):
    body = of(*parameters) if parameters else {"resourceType": "Parameters"}
    for operation in ("hold", "book"):
        outcome_of(client.post(f"Appointment/${operation}", json=body), status)


def test_nobody_books_without_saying_for_whom(client, agenda):
    outcome_of(client.post(f"Slot/{agenda}-0/$book", json=of()), 400)
    nobody = of(("patient-reference", "Patient/nobody-there"))
    for operation in ("hold", "book"):
        outcome_of(client.post(f"Slot/{agenda}-0/${operation}", json=nobody), 404)
    assert status_of_slot(client, agenda) == "free"
