"""People with and without a space, and who keeps identities, on a server with `--auth smart`."""

from __future__ import annotations

import os
import uuid
from datetime import date, timedelta

import pytest
import smart_browser
from access_door import consent
from messaging_people import Person
from over_http import database_in

from fhirserver.space.due import open_due
from fhirserver.space.key import ins_key

REGISTRAR = "health-insurance"
TASK = "http://fhirserver.example/CodeSystem/space-task"
INS_TEST = "urn:oid:1.2.250.1.213.1.4.10"
CORE = "https://hl7.fr/ig/fhir/core/StructureDefinition"
#: Jobs are done when a test says so: `Insurance.until`.
BY_HAND = {"registrars": REGISTRAR, "space_seconds": 3600, "search_seconds": 300}
QUICK = {"registrars": REGISTRAR, "space_seconds": 0.1}


def new_ins():
    number = f"1{uuid.uuid4().int % 10**4:04d}31555{uuid.uuid4().int % 1000:03d}"
    return number + ins_key(number)


def newborn(postal_code="31200", **more):
    """Somebody registered who has no space yet."""
    place = {
        "extension": [
            {
                "url": f"{CORE}/fr-core-address-insee-code",
                "valueCoding": {
                    "system": "https://mos.esante.gouv.fr/NOS/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM",
                    "code": "31555",
                },
            }
        ]
    }
    names = {
        "url": f"{CORE}/fr-core-patient-birth-list-given-name",
        "valueString": "MAEL JEAN",
    }
    birth = {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"}
    return {
        "resourceType": "Patient",
        "extension": [birth | {"valueAddress": place}],
        "identifier": [{"use": "official", "system": INS_TEST, "value": new_ins()}],
        "name": [{"extension": [names], "use": "official", "family": "RIVE", "given": ["MAEL"]}],
        "gender": "male",
        "birthDate": "1990-05-02",
        "address": [{"use": "home", "postalCode": postal_code, "country": "FR"}],
    } | more


def opening(patient, informed=None, **more):
    made = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": TASK, "code": "opening"}]},
        "for": {"reference": f"Patient/{patient}"},
    }
    if informed is not None:
        made["restriction"] = {"period": {"start": informed}}
    return made | more


def weeks_ago(number):
    return (date.today() - timedelta(weeks=number)).isoformat()


def today():
    return date.today()


class Insurance(Person):
    """Who keeps identities: made once for each door."""

    async def registers(self, patient=None):
        answer = await self.ask("POST", "Patient", patient or newborn())
        assert answer.status_code == 201, answer.text[:800]
        return answer.json()

    async def informs(self, patient, informed=None, status=201, **more):
        answer = await self.ask("POST", "Task", opening(patient["id"], informed, **more))
        assert answer.status_code == status, answer.text[:800]
        return answer.json()

    async def now(self, resource):
        answer = await self.get(f"{resource['resourceType']}/{resource['id']}")
        assert answer.status_code == 200, answer.text[:500]
        return answer.json()

    async def until(self, resource, **values):
        """The resource once what is due is done; it has these values."""
        await open_due(self.door.context)
        found = await self.now(resource)
        assert {name: found.get(name) for name in values} == values, found
        return found


async def insurance(door):
    app = await door.register("backend", "ES384", "system/*.cruds", id=REGISTRAR)
    given = await app.backend("system/*.cruds")
    assert given.status_code == 200, given.text
    return Insurance(door, given.json()["access_token"])


def database(engine, folder):
    if engine == "sqlite":
        return f"sqlite:///{folder}/space.db"
    url = os.environ.get("FHIRSERVER_TEST_MONGODB")
    if not url:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    return database_in(url, f"space_{uuid.uuid4().hex[:12]}")


def doors(**more):
    """The fixture `door`: `kept_door` on each engine, with these settings besides BY_HAND."""

    @pytest.fixture(name="door", params=["sqlite", "mongodb"])
    async def made(request, tmp_path):
        async for each in kept_door(request.param, tmp_path, **BY_HAND, **more):
            yield each

    return made


def choice(whose, category, by=None):
    """A Consent to be created: OPTOUT closes the space or opposes it, OPTIN asks for it."""
    made = consent("x", whose, "deny" if category == "OPTOUT" else "permit", category=category)
    del made["id"]
    return made | {"performer": [{"reference": by or f"Patient/{whose}"}]}


async def kept_door(engine, folder, **settings):
    """A server on an empty store of `engine` with the sample people in it."""
    door, lifespan = await smart_browser.open_door(database(engine, folder), **settings)
    yield door
    await smart_browser.close_door(door, lifespan)
