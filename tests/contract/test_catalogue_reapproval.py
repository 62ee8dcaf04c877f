"""When the convention of an app changes so that it is to be approved anew, each citizen who has
authorised it is told once, whichever process tells."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fhirserver.access.decision import listing
from fhirserver.access.decision.convention import listing_of
from fhirserver.access.notice.notifier import Notifier
from fhirserver.app import context_of
from fhirserver.catalogue import NoRegistrar, convention
from fhirserver.catalogue.behaviour import CatalogueBehaviour
from fhirserver.catalogue.reapproval import announcing
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.search import search
from fhirserver.interaction.update import update

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
VALID = {"start": "2026-03-01T08:00:00.000Z", "end": "2027-03-01T08:00:00.000Z"}
ONE = ("patient/Observation.rs",)
TWO = (*ONE, "patient/Immunization.rs")


def device(scopes, status="EN_LIGNE", limit=None):
    code = {"system": listing.PURPOSE, "code": "care"}
    purpose = [{"url": "code", "valueCoding": code}]
    purpose += [
        {"url": "scope", "extension": [{"url": "value", "valueString": scope}]} for scope in scopes
    ]
    placed = [
        {"url": "status", "valueCode": status},
        {"url": "reason", "valueString": "essai"},
        {"url": "period", "valuePeriod": VALID},
    ]
    agreed = [{"url": "purpose", "extension": purpose}]
    if limit:
        agreed.append({"url": "reapprovalLimit", "valueDateTime": limit})
    return {
        "resourceType": "Device",
        "id": "app",
        "extension": [
            {"url": listing.REFERENCING, "extension": placed},
            {"url": listing.CONVENTION, "extension": agreed},
        ],
        "owner": {"reference": "Organization/pub"},
    }


def consent(patient, app="app", **more):
    return {
        "resourceType": "Consent",
        "id": f"{patient}-{app}",
        "status": "active",
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": ACT, "code": "INFA"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": "2026-11-02",
        "policyRule": {"text": "Autorisation"},
        "provision": {
            "type": "permit",
            "actor": [{"role": {"text": "app"}, "reference": {"reference": f"Device/{app}"}}],
        },
    } | more


class World:
    def __init__(self, store):
        self.store = store
        context = replace(context_of(store, Registry()), clock=lambda: NOW)
        behaviours = (*context.behaviours, CatalogueBehaviour(NoRegistrar()))
        self.ctx = replace(context, behaviours=behaviours)
        self.jobs = [self.process() for _ in range(2)]

    def process(self, notifier=Notifier):
        return announcing(notifier(self.store, self.ctx.indexer.entries))

    async def put(self, *resources):
        for resource in resources:
            type, id = resource["resourceType"], resource["id"]
            if type == "Device":
                resource = await self.versioned(resource)
            await update(self.ctx, type, id, resource)

    async def versioned(self, device):
        """As the operator's change of a convention is stored."""
        found = await self.ctx.store.read("Device", device["id"])
        before = None if found is None else listing_of(json.loads(found.content))
        placed, given = device["extension"]
        made = convention.element(convention.versioned(before, listing_of(device)), given)
        return device | {"extension": [placed, made]}

    async def told(self):
        """Run the job in each process; who has been told by now, of what."""
        for job in self.jobs:
            await job.run(self.ctx)
        found = await search(self.ctx, ("Communication",), [("_count", "100")], strict=True)
        decoded = [json.loads(version.content) for version in found.matches]
        return sorted(
            (d["recipient"][0]["reference"], d["topic"]["text"], d["about"][0]["reference"])
            for d in decoded
        )


@pytest.fixture
async def world(store):
    made = World(store)
    people = [{"resourceType": "Patient", "id": id, "active": True} for id in "abcd"]
    dead = {"resourceType": "Patient", "id": "dead", "deceasedBoolean": True}
    await made.put(device(ONE), device(ONE) | {"id": "other"}, *people, dead)
    await made.put(
        consent("a"), consent("b"), consent("dead"), consent("c", "other"),
        consent("d", status="inactive"),
    )  # fmt: skip
    return made


def of(*patients):
    return [(f"Patient/{each}", "app_approval", "Device/app") for each in patients]


async def test_whoever_authorised_the_app_is_told_once_of_what_it_adds(world):
    assert await world.told() == []
    await world.put(device(TWO))
    assert await world.told() == of("a", "b")
    assert await world.told() == of("a", "b")
    world.jobs.append(world.process())  # after a restart
    await world.put(device(TWO) | {"note": [{"text": "x"}]})
    assert await world.told() == of("a", "b")
    await world.put(device((*TWO, "patient/Condition.rs")))
    assert await world.told() == of("a", "a", "b", "b")


async def test_what_an_app_gives_up_asks_nothing_unless_old_consents_end(world):
    await world.put(device(TWO))
    agreed = {"url": listing.AGREED, "valuePositiveInt": 2}
    await world.put(consent("a", extension=[agreed]))
    assert await world.told() == of("b")
    await world.put(device(ONE))
    assert await world.told() == of("b")
    await world.put(device(ONE, limit="2027-01-01T00:00:00Z"))
    assert await world.told() == of("a", "b", "b")


async def test_of_an_app_off_the_list_one_is_told_when_it_comes_back(world):
    await world.put(device(TWO, status="SUSPENDUE"))
    assert await world.told() == []
    await world.put(device(TWO))
    assert await world.told() == of("a", "b")


async def test_an_interruption_is_made_good(world):
    class Interrupted(Notifier):
        async def tell(self, notice):
            if notice.patient == "b":
                raise ConnectionError
            await super().tell(notice)

    await world.put(device(TWO))
    with pytest.raises(ConnectionError):
        await world.process(Interrupted).run(world.ctx)
    assert await world.told() == of("a", "b")
