"""Reminders come once, at the right time, whichever process gives them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fhirserver.access.notice.notifier import Notifier
from fhirserver.app import context_of
from fhirserver.conformance.registry import Registry
from fhirserver.diary.reminders import reminding
from fhirserver.interaction.delete import delete
from fhirserver.interaction.search import search
from fhirserver.interaction.update import update

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
