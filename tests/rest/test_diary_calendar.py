"""The citizen's calendar feed: a private address, what it shows, its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
import smart_browser
from access_door import choice
from icalendar import Calendar
from messaging_people import acting_for, citizen, professional
from over_http import FHIR_JSON
from smart_browser import CAMILLE

SOON = (datetime.now(UTC) + timedelta(days=5)).replace(microsecond=0)


@pytest.fixture(params=["sqlite", "mongodb"])
async def door(request, tmp_path):
    database = f"sqlite:///{tmp_path}/smart.db"
    if request.param == "mongodb":
        database = smart_browser.mongodb()
        if database is None:
            pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    door, lifespan = await smart_browser.open_door(database)
    yield door
    await smart_browser.close_door(door, lifespan)


def appointment(id, patient=CAMILLE, status="booked", start=SOON, **more):
    return {
        "resourceType": "Appointment",
        "id": id,
        "status": status,
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=20)).isoformat(),
        "participant": [
            {"actor": {"reference": patient}, "status": "accepted"},
            {
                "actor": {"reference": "Practitioner/claire-fontaine", "display": "Dr Fontaine"},
                "status": "accepted",
            },
        ],
        **more,
    }


async def address_of(person, who=CAMILLE):
    answer = await person.does(f"{who}/$calendar-address")
    return answer["parameter"][0]["valueUrl"]


async def fetch(door, url):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door.app)) as client:
        return await client.get(url)


async def events(door, url):
    answer = await fetch(door, url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    found = Calendar.from_ical(answer.content)
    return {str(event["uid"]).split("@")[0]: event for event in found.walk("VEVENT")}


async def test_the_calendar_has_the_citizens_appointments_and_no_others(door):
    await door.put(
        appointment("c1", description="À jeun; apporter\nles radios"),
        appointment("c2", status="cancelled"),
        appointment("c3", status="entered-in-error"),
        appointment("old", start=SOON - timedelta(days=400), status="fulfilled"),
        appointment("other", patient="Patient/marcel-dubois"),
    )
    camille = await citizen(door)
    found = await events(door, await address_of(camille))
    assert {"c1", "c2"} <= found.keys()
    assert not {"c3", "old", "other"} & found.keys()
    event = found["c1"]
    assert event["dtstart"].dt == SOON
    assert event["dtend"].dt == SOON + timedelta(minutes=20)
    assert event["status"] == "CONFIRMED"
    assert event["summary"] == "Rendez-vous : Dr Fontaine"
    assert event["description"] == "À jeun; apporter\nles radios"
    assert found["c2"]["status"] == "CANCELLED"
    await door.put(appointment("c1", start=SOON + timedelta(hours=1)))
    moved = (await events(door, await address_of(camille)))["c1"]
    assert moved["sequence"] > event["sequence"]
    assert moved["dtstart"].dt == SOON + timedelta(hours=1)


async def test_an_address_that_was_withdrawn_or_never_given_opens_nothing(door):
    camille = await citizen(door)
    first, second = await address_of(camille), await address_of(camille)
    assert first != second
    for url in (first, second):
        assert (await fetch(door, url)).status_code == 200
    answer = await camille.does(f"{CAMILLE}/$calendar-withdraw")
    assert answer["parameter"][0]["valueInteger"] == 2
    for url in (first, second, first.replace(".ics", "x.ics"), first[:-30] + ".ics"):
        assert (await fetch(door, url)).status_code == 404


async def test_the_address_is_kept_as_a_hash_alone(door):
    camille = await citizen(door)
    secret = (await address_of(camille)).rpartition("/")[2].removesuffix(".ics")
    found = (await camille.get("Basic")).text
    assert "calendar-feed" in found
    assert secret not in found


async def test_reading_the_feed_is_in_the_citizens_log(door):
    await door.put(appointment("c1"))
    camille = await citizen(door)
    await fetch(door, await address_of(camille))
    log = (await camille.get("AuditEvent?_count=50")).text
    assert "GET /calendar" in log or "calendar" in log


async def test_nobody_else_gets_an_address(door):
    doctor = await professional(door)
    answer = await doctor.ask("POST", f"{CAMILLE}/$calendar-address")
    assert answer.status_code in (403, 404)
    camille = await citizen(door)
    answer = await camille.ask("POST", "Patient/marcel-dubois/$calendar-address")
    assert answer.status_code in (403, 404)
    reading = await citizen(door, scope="launch/patient openid fhirUser patient/Appointment.rs")
    answer = await reading.ask("POST", f"{CAMILLE}/$calendar-address")
    assert answer.status_code == 403


async def test_a_closed_space_has_no_calendar(door):
    camille = await citizen(door)
    url = await address_of(camille)
    patient = next(r for r in smart_browser.people() if f"Patient/{r['id']}" == CAMILLE)
    await door.put({**patient, "active": False})
    assert (await fetch(door, url)).status_code == 404


async def test_a_space_that_its_citizen_has_closed_has_no_calendar_until_it_is_open_again(door):
    camille = await citizen(door)
    url = await address_of(camille)
    closing = {**choice("choice-close-space"), "patient": {"reference": CAMILLE}}
    await door.put(closing)
    assert (await fetch(door, url)).status_code == 404
    await door.put({**closing, "status": "inactive"})
    assert (await fetch(door, url)).status_code == 200


async def test_a_parents_address_shows_what_a_parent_may_see_and_as_long_as_they_may(door):
    (child,) = [one for one in smart_browser.people() if one["id"] == "lea-lefevre"]
    who = f"Patient/{child['id']}"
    mother = await acting_for(door, CAMILLE, "Léa")
    url = await address_of(mother, who)
    secret = {"security": [{"system": "urn:x", "code": "CONNEXION_SECRETE"}]}
    await door.put(
        appointment("open", patient=who),
        appointment("secret", patient=who, meta=secret),
    )
    found = await events(door, url)
    assert "open" in found
    assert "secret" not in found
    related = [
        one
        for one in smart_browser.people()
        if one["resourceType"] == "RelatedPerson" and one["patient"]["reference"] == who
    ]
    await door.put(*({**one, "active": False} for one in related))
    assert (await fetch(door, url)).status_code == 404


def test_without_access_control_the_feed_works_too(server):
    with httpx.Client(base_url=server.base_url, headers=FHIR_JSON, timeout=30) as client:
        name = f"feed{datetime.now(UTC):%H%M%S%f}"
        client.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name})
        client.put(f"Appointment/{name}", json=appointment(name, patient=f"Patient/{name}"))
        answer = client.post(f"Patient/{name}/$calendar-address")
        assert answer.status_code == 200, answer.text
        found = client.get(answer.json()["parameter"][0]["valueUrl"])
        assert found.status_code == 200
        assert f"UID:{name}@" in found.text
        asked = client.head(answer.json()["parameter"][0]["valueUrl"])
        assert (asked.status_code, asked.content) == (200, b"")
