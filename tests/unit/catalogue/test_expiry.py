"""The time an app is listed for: it ends, is announced, and is renewed; clients follow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fhirserver.access.decision import listing
from fhirserver.access.decision.convention import listing_of
from fhirserver.app import context_of
from fhirserver.catalogue.behaviour import CatalogueBehaviour
from fhirserver.catalogue.expiry import expire
from fhirserver.catalogue.referencing import referencing_of
from fhirserver.catalogue.sync import follow_up
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.read import read
from fhirserver.interaction.update import update
from fhirserver.model.json import decode_stored
from fhirserver.storage.sqlite import SqliteStore

TASK = "http://fhirserver.example/CodeSystem/catalogue-task"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
INPUT = "http://fhirserver.example/CodeSystem/catalogue-input"


class Registrar:
    """Remembers what was asked of it."""

    def __init__(self):
        self.clients = {}
        self.withdrawn = []

    async def check(self, registration):
        pass

    async def register(self, registration):
        self.clients[registration.device] = registration

    async def stop(self, device):
        self.clients.pop(device, None)

    async def withdraw(self, device, patient):
        self.withdrawn.append((device, patient))


class World:
    def __init__(self, store):
        self.now = datetime(2026, 3, 1, 8, tzinfo=UTC)
        self.registrar = Registrar()
        context = replace(context_of(store, Registry()), clock=lambda: self.now)
        behaviours = (*context.behaviours, CatalogueBehaviour(self.registrar))
        self.ctx = replace(context, behaviours=behaviours)

    async def put(self, resource):
        written = await update(self.ctx, resource["resourceType"], resource["id"], resource)
        return written.version

    async def place(self):
        version = await read(self.ctx, "Device", "app")
        return referencing_of(decode_stored(version.content)), version.version

    async def request(self, kind, id, **more):
        code = {"coding": [{"system": TASK, "code": kind}]}
        task = {
            "resourceType": "Task",
            "id": id,
            "status": "completed",
            "intent": "proposal",
            "code": code,
            "focus": {"reference": "Device/app"},
            "requester": {"reference": "Organization/pub"},
            "lastModified": self.now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        }
        return await self.put(task | more)


REDIRECT = {
    "input": [
        {
            "type": {"coding": [{"system": INPUT, "code": "redirect-uri"}]},
            "valueUri": "https://app.example/retour",
        }
    ]
}


@pytest.fixture
async def world(tmp_path):
    store = SqliteStore(tmp_path / "catalogue.db")
    await store.open()
    made = World(store)
    valid = {"start": "2026-03-01T08:00:00.000Z", "end": "2027-03-01T08:00:00.000Z"}
    await made.request("application", "application", **REDIRECT)
    await made.put(
        {
            "resourceType": "Device",
            "id": "app",
            "extension": [
                {
                    "url": listing.REFERENCING,
                    "extension": [
                        {"url": "status", "valueCode": "EN_LIGNE"},
                        {"url": "period", "valuePeriod": valid},
                    ],
                },
                {
                    "url": listing.CONVENTION,
                    "extension": [
                        {
                            "url": "purpose",
                            "extension": [
                                {
                                    "url": "code",
                                    "valueCoding": {"system": listing.PURPOSE, "code": "care"},
                                },
                                {
                                    "url": "scope",
                                    "extension": [
                                        {"url": "value", "valueString": "patient/Observation.rs"}
                                    ],
                                },
                            ],
                        }
                    ],
                },
            ],
            "owner": {"reference": "Organization/pub"},
        }
    )
    yield made
    await store.close()


async def test_a_listed_app_is_registered_with_what_its_request_says(world):
    registration = world.registrar.clients["app"]
    assert registration.redirect_uris == ("https://app.example/retour",)
    assert "patient/Observation.rs" in registration.scopes


async def test_the_end_is_announced_once_and_then_comes(world):
    _, version = await world.place()
    await expire(world.ctx, world.registrar)
    assert (await world.place())[1] == version
    world.now = datetime(2027, 1, 1, tzinfo=UTC)
    await expire(world.ctx, world.registrar)
    place, version = await world.place()
    assert place.due
    assert place.status == "EN_LIGNE"
    await expire(world.ctx, world.registrar)
    assert (await world.place())[1] == version
    world.now = datetime(2027, 3, 1, 8, tzinfo=UTC)
    await expire(world.ctx, world.registrar)
    place, version = await world.place()
    assert (place.status, place.reason) == ("HORS_LIGNE", "Référencement expiré")
    assert world.registrar.clients == {}
    await expire(world.ctx, world.registrar)
    assert (await world.place())[1] == version


async def test_access_ends_with_the_time_whether_the_job_has_run_or_not(world):
    version = await read(world.ctx, "Device", "app")
    place = listing_of(decode_stored(version.content))
    end = int(datetime(2027, 3, 1, 8, tzinfo=UTC).timestamp()) * 1_000_000
    assert place.open_at(end - 1000)
    assert not place.open_at(end + 1000)


@pytest.mark.parametrize(
    ("accepted", "end"),
    [
        (datetime(2027, 2, 1, tzinfo=UTC), "2029-03-01T08:00:00.000Z"),
        (datetime(2027, 6, 15, 10, tzinfo=UTC), "2029-06-15T10:00:00.000Z"),
    ],
)
async def test_a_renewal_counts_from_the_end_or_from_when_it_was_accepted(world, accepted, end):
    world.now = accepted
    await world.request("renewal", "renewal")
    place, version = await world.place()
    assert place.end == end
    assert not place.due
    await expire(world.ctx, world.registrar)
    assert (await world.place())[1] == version
    assert "app" in world.registrar.clients


async def test_what_an_interruption_left_undone_is_done_by_the_next_round(world):
    world.registrar.clients.clear()
    await expire(world.ctx, world.registrar)
    assert "app" in world.registrar.clients
    world.registrar.clients.clear()
    await follow_up(world.ctx, await read(world.ctx, "Device", "app"), world.registrar)
    assert "app" in world.registrar.clients


def consent(status="active"):
    return {
        "resourceType": "Consent",
        "id": "c",
        "status": status,
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [{"coding": [{"system": ACT, "code": "INFA"}]}],
        "patient": {"reference": "Patient/p"},
        "policyRule": {"text": "x"},
        "provision": {
            "type": "permit",
            "actor": [{"role": {"text": "app"}, "reference": {"reference": "Device/app"}}],
        },
    }


async def test_tokens_end_when_nothing_authorises_the_app_any_longer(world):
    await world.put(consent())
    await world.put(consent() | {"id": "d"})
    assert world.registrar.withdrawn == []
    await world.put(consent("inactive"))
    assert world.registrar.withdrawn == []
    await world.put(consent("inactive") | {"id": "d"})
    assert ("app", "p") in world.registrar.withdrawn


async def test_the_clock_of_a_leap_day_is_borne(world):
    from fhirserver.catalogue.referencing import first_period

    start, end = first_period(datetime(2028, 2, 29, 12, tzinfo=UTC))
    assert (start[:10], end[:10]) == ("2028-02-29", "2029-03-01")
    assert datetime(2029, 3, 1, tzinfo=UTC) - datetime(2028, 2, 29, tzinfo=UTC) == timedelta(366)
