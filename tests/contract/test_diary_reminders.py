"""Reminders come once, at the right time, whichever process gives them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fhirserver.access.notice.notifier import Notifier
from fhirserver.app import context_of
from fhirserver.conformance.registry import Registry
from fhirserver.diary.reminders import reminding
from fhirserver.diary.screening import current as screening
from fhirserver.interaction.delete import delete
from fhirserver.interaction.search import search
from fhirserver.interaction.update import update

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class World:
    """The server's context with a clock of its own, and several processes that remind."""

    def __init__(self, store):
        self.store = store
        self.now = NOW
        self.ctx = replace(context_of(store, Registry()), clock=lambda: self.now)
        self.jobs = [self.process() for _ in range(3)]

    def process(self):
        return reminding(Notifier(self.store, self.ctx.indexer.entries))

    async def put(self, resource):
        await update(self.ctx, resource["resourceType"], resource["id"], resource)

    async def remind(self, **later):
        self.now += timedelta(**later)
        for job in self.jobs:
            await job.run(self.ctx)

    async def told(self):
        found = await search(self.ctx, ("Communication",), [("_count", "100")], strict=True)
        return sorted(
            (decoded["topic"]["text"], decoded["about"][0]["reference"])
            for decoded in map(_decoded, found.matches)
        )


def _decoded(version):
    return json.loads(version.content)


@pytest.fixture
async def world(store):
    made = World(store)
    await made.put({"resourceType": "Patient", "id": "p", "active": True})
    return made


def appointment(start, id="a", status="booked", patient="p", **more):
    return {
        "resourceType": "Appointment",
        "id": id,
        "status": status,
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=20)).isoformat(),
        "participant": [{"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"}],
        **more,
    }


def recommendation(*doses, id="r"):
    return {
        "resourceType": "ImmunizationRecommendation",
        "id": id,
        "patient": {"reference": "Patient/p"},
        "date": "2026-11-24",
        "recommendation": [
            {
                "targetDisease": {"text": "x"},
                "forecastStatus": {"coding": [{"code": status}]},
                "dateCriterion": [
                    {
                        "code": {"coding": [{"system": "http://loinc.org", "code": "30980-7"}]},
                        "value": day,
                    }
                ],
            }
            for day, status in doses
        ],
    }


async def test_the_day_before_an_appointment_and_once(world):
    await world.put(appointment(NOW + timedelta(days=3)))
    await world.remind()
    await world.remind(days=1)
    assert await world.told() == []
    await world.remind(days=1, minutes=1)
    assert await world.told() == [("appointment", "Appointment/a")]
    for _ in range(3):
        await world.remind(hours=7)
    world.jobs.append(world.process())  # a process that begins later
    await world.remind()
    assert await world.told() == [("appointment", "Appointment/a")]


async def test_an_appointment_made_for_tomorrow_morning_is_reminded_of_at_once(world):
    await world.remind()
    await world.put(appointment(NOW + timedelta(hours=20)))
    await world.remind()
    assert await world.told() == [("appointment", "Appointment/a")]


async def test_a_moved_appointment_is_reminded_of_anew(world):
    await world.put(appointment(NOW + timedelta(hours=20)))
    await world.remind()
    await world.put(appointment(NOW + timedelta(hours=70)))
    await world.remind()
    assert len(await world.told()) == 1
    await world.remind(hours=50)
    assert len(await world.told()) == 2


@pytest.mark.parametrize("status", ["proposed", "pending", "cancelled", "entered-in-error"])
async def test_only_what_is_booked_is_reminded_of(world, status):
    await world.put(appointment(NOW + timedelta(hours=20), status=status))
    await world.remind()
    await world.remind(hours=1)
    assert await world.told() == []


async def test_a_cancelled_or_deleted_appointment_is_not_reminded_of(world):
    await world.put(appointment(NOW + timedelta(hours=30)))
    await world.put(appointment(NOW + timedelta(hours=30), "b"))
    await world.remind()
    await world.put(appointment(NOW + timedelta(hours=30), status="cancelled"))
    await delete(world.ctx, "Appointment", "b")
    await world.remind(hours=10)
    assert await world.told() == []


async def test_after_a_night_without_any_process_what_is_still_to_come_is_reminded_of(world):
    await world.put(appointment(NOW + timedelta(hours=30)))
    await world.put(appointment(NOW + timedelta(hours=40), "b"))
    await world.remind()
    await world.remind(hours=35)
    assert await world.told() == [("appointment", "Appointment/b")]


@pytest.mark.parametrize("label", ["CONNEXION_SECRETE", "INVISIBLE_REPRESENTANTS_LEGAUX"])
async def test_nothing_draws_attention_to_what_representatives_are_not_to_know_of(world, label):
    secret = {"security": [{"system": "urn:x", "code": label}]}
    await world.put(appointment(NOW + timedelta(hours=20), meta=secret))
    await world.put({**recommendation(("2026-11-24", "due")), "meta": secret})
    await world.remind()
    assert await world.told() == []


async def test_nobody_is_reminded_in_a_space_that_is_not_there(world):
    await world.put({"resourceType": "Patient", "id": "q", "active": False})
    await world.put(appointment(NOW + timedelta(hours=20), patient="q"))
    await world.put(appointment(NOW + timedelta(hours=20), "b", patient="unknown"))
    await world.put(
        {"resourceType": "Patient", "id": "d", "active": True, "deceasedDateTime": "2026-11-01"}
    )
    await world.put(appointment(NOW + timedelta(hours=20), "c", patient="d"))
    await world.remind()
    assert await world.told() == []


async def test_nobody_is_reminded_in_a_space_that_its_citizen_has_closed(world):
    lines = (EXAMPLES / "choices.ndjson").read_text().splitlines()
    closing = next(c for c in map(json.loads, lines) if c["id"] == "choice-close-space")
    await world.put({**closing, "patient": {"reference": "Patient/p"}})
    await world.put(appointment(NOW + timedelta(hours=20)))
    await world.remind()
    assert await world.told() == []


async def test_a_dose_that_becomes_due_is_reminded_of_once_with_all_of_that_day(world):
    doses = [("2026-11-26", "due"), ("2026-11-26", "due"), ("2026-12-26", "due")]
    await world.put(recommendation(*doses))
    await world.remind()
    assert await world.told() == []
    await world.remind(days=2)
    await world.remind(days=1)
    assert await world.told() == [("vaccination", "ImmunizationRecommendation/r")]
    await world.remind(days=30)
    assert len(await world.told()) == 2


async def test_what_is_complete_or_long_overdue_is_not_reminded_of(world):
    await world.put(recommendation(("2026-11-24", "complete"), ("2020-01-01", "overdue")))
    await world.remind()
    await world.remind(days=1)
    assert await world.told() == []


async def test_many_processes_at_once_remind_once(world):
    for number in range(5):
        await world.put(appointment(NOW + timedelta(hours=20), f"a{number}"))
    await asyncio.gather(*(job.run(world.ctx) for job in world.jobs))
    assert len(await world.told()) == 5


DEMO = "urn:oid:1.2.250.1.213.1.4.11"


async def space(world, birth, **more):
    await world.put(
        {
            "resourceType": "Patient",
            "id": "p",
            "active": True,
            "gender": "female",
            "birthDate": birth,
            "identifier": [{"system": DEMO, "value": "279035121518989"}],
            **more,
        }
    )
    await screening.refresh(world.ctx, "p")


async def new_day(world, **later):
    world.now += timedelta(**later)
    await screening.refresh(world.ctx, "p")
    await world.remind()


def examined(day, code, id="done", **more):
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": day,
        **more,
    }


async def plans(world):
    return [kind for kind, about in await world.told() if about.startswith("CarePlan/")]


async def test_a_screening_is_reminded_of_once_when_its_window_opens(world):
    # 54 years old: between two check-ups of prevention
    await space(world, "1972-11-26")
    await world.put(examined("2024-11-27", "29771-3"))
    await world.put(examined("2024-11-27", "24606-6", "images"))
    await world.put(examined("2024-11-27", "21440-3", "swab"))
    await new_day(world)
    assert await plans(world) == []
    await new_day(world, days=2)
    assert await plans(world) == []
    await new_day(world, days=1)
    assert await plans(world) == ["prevention"] * 2  # breast and bowel, two years after
    for _ in range(3):
        await new_day(world, days=30)
    world.jobs.append(world.process())
    await world.put({**appointment(NOW), "id": "other"})
    await world.remind()
    assert await plans(world) == ["prevention"] * 2


async def test_what_a_result_demands_is_reminded_of_without_saying_what(world):
    await space(world, "1972-11-26")
    for code in ("29771-3", "24606-6", "21440-3"):
        await world.put(examined("2026-11-01", code, f"done-{code}"))
    await new_day(world)
    assert await plans(world) == []
    told = {"valueCodeableConcept": {"text": "positive"}, "status": "corrected"}
    await world.put(examined("2026-11-01", "29771-3", "done-29771-3", **told))
    await new_day(world)
    await new_day(world, days=1)
    assert await plans(world) == ["prevention"]
    found = await search(world.ctx, ("Communication",), [], strict=True)
    for told in map(_decoded, found.matches):
        assert "olonosc" not in str(told)


async def test_nobody_elses_plan_and_no_secret_one_is_reminded_of(world):
    await space(world, "2011-01-10")
    await world.remind()
    count = len(await plans(world))
    assert count == 2  # examination at 15 to 16 years, and M'T dents
    secret = {"meta": {"security": [{"system": "urn:x", "code": "CONNEXION_SECRETE"}]}}
    dental = examined("2026-11-20", "83836-7", "teeth", **secret)
    await world.put(dental)
    await new_day(world, days=60)
    assert len(await plans(world)) == count
    version = (await search(world.ctx, ("CarePlan",), [], strict=True)).matches[0]
    other = {**_decoded(version), "id": "other"}
    del other["identifier"], other["meta"]
    await world.put(other)
    await world.remind()
    assert len(await plans(world)) == count


class Mail:
    """A mail server that keeps what it is given."""

    def __init__(self):
        self.sent = []

    async def send(self, address, id):
        self.sent.append(address)


async def test_what_becomes_due_together_is_one_e_mail(world):
    mail = Mail()
    world.jobs = [
        reminding(Notifier(world.store, world.ctx.indexer.entries, mail)) for _ in range(2)
    ]
    await space(world, "1970-01-10", telecom=[{"system": "email", "value": "a@b.example"}])
    await world.remind()
    assert len(await plans(world)) == 3
    assert mail.sent == ["a@b.example"]
    positive = examined("2026-11-01", "29771-3", valueCodeableConcept={"text": "positive"})
    await world.put(positive)
    await new_day(world)
    assert len(await plans(world)) == 4
    assert mail.sent == ["a@b.example"] * 2


async def test_many_processes_at_once_remind_once_of_a_screening(world):
    await space(world, "1970-01-10")
    await asyncio.gather(*(job.run(world.ctx) for job in world.jobs))
    assert len(await plans(world)) == 3  # breast, bowel, cervix
