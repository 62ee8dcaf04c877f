"""A FHIR endpoint whose callers are made by hand: `Authorization: Test <name>` names one."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from fhirserver.access.caller import Caller, Role
from fhirserver.access.decision.settings import AccessSettings
from fhirserver.access.permit import permit
from fhirserver.app import context_of, open_engine
from fhirserver.conformance.registry import Registry
from fhirserver.rest.cors import CrossOrigin
from fhirserver.rest.endpoint import Endpoint
from fhirserver.rest.origin import Origin

BASE = "http://testserver/fhir"
INFA = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "INFA"}
MASK = (
    "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/"
    "TRE-A07-StatutVisibiliteDocument"
)


class Door:
    """The endpoint, its raw store and its clock; `callers` by name."""

    def __init__(self, store, settings):
        self.store = store
        self.settings = settings
        self.callers = {}
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        self.context = replace(context_of(store, Registry(), base_url=BASE), clock=lambda: self.now)
        indexer = self.context.indexer
        self.entries = indexer.entries
        self._numbers = itertools.count()
        transport = httpx.ASGITransport(self)
        self.client = httpx.AsyncClient(transport=transport, base_url=BASE)

    async def permitted(self, caller):
        return await permit(
            self.store,
            caller,
            entries=self.entries,
            registry=self.context.registry,
            clock=lambda: self.now,
            settings=self.settings,
        )

    async def __call__(self, scope, receive, send):
        headers = dict(scope["headers"])
        name = headers.get(b"authorization", b"Test open").decode().removeprefix("Test ")
        endpoint = Endpoint(origin=Origin(BASE, (), "/fhir"), cross_origin=CrossOrigin(()))
        caller = self.callers.get(name, Caller(Role.OPEN))
        endpoint.context = replace(self.context, store=await self.permitted(caller))
        await endpoint(scope, receive, send)

    def caller(self, name, role, **parts):
        scopes = parts.pop("scopes", ())
        scopes = tuple(scopes.split()) if isinstance(scopes, str) else scopes
        self.callers[name] = Caller(role, client=parts.pop("client", "app"), scopes=scopes, **parts)

    async def ask(self, name, method, url, body=None, **headers):
        return await self.client.request(
            method,
            url if url.startswith("http") else f"{BASE}/{url.lstrip('/')}",
            json=body,
            headers={
                "authorization": f"Test {name}",
                "content-type": headers.pop("content_type", "application/fhir+json"),
                **{k.replace("_", "-"): v for k, v in headers.items()},
            },
        )

    async def get(self, name, url):
        return await self.ask(name, "GET", url)

    async def ids(self, name, url):
        answer = await self.get(name, url)
        assert answer.status_code == 200, (url, answer.status_code, answer.text[:300])
        entries = answer.json().get("entry", [])
        return sorted(f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in entries)

    async def put(self, *resources):
        """Written as they are, past every rule."""
        for resource in resources:
            url = f"{resource['resourceType']}/{resource['id']}"
            answer = await self.ask("open", "PUT", url, resource)
            assert answer.status_code in (200, 201), answer.text

    def later(self, **span):
        self.now += timedelta(**span)


async def open_door(database, **settings):
    store = open_engine(database)
    await store.open()
    return Door(store, AccessSettings(**settings))


def patient(id, **more):
    return {"resourceType": "Patient", "id": id, "active": True} | more


def observation(id, whose, category="laboratory", **more):
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [{"coding": [{"system": system, "code": category}]}],
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{whose}"},
    } | more


def document(id, whose, type="11488-4", author="Practitioner/y", labels=(), **more):
    return {
        "resourceType": "DocumentReference",
        "id": id,
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": type}]},
        "subject": {"reference": f"Patient/{whose}"},
        "date": "2026-11-20T10:00:00Z",
        "author": [{"reference": author}],
        **(
            {"securityLabel": [{"coding": [{"system": MASK, "code": c}]} for c in labels]}
            if labels
            else {}
        ),
        "content": [{"attachment": {"url": f"Binary/{id}-b"}}],
    } | more


def binary(id):
    return {"resourceType": "Binary", "id": id, "contentType": "text/plain", "data": "aGVsbG8="}


def consent(id, whose, kind="permit", actor=None, category="INFA", **provision):
    made = {
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [{"coding": [INFA | {"code": category}]}],
        "patient": {"reference": f"Patient/{whose}"},
        "dateTime": "2026-01-01",
        "performer": [{"reference": f"Patient/{whose}"}],
        "policyRule": {"text": "choice"},
        "provision": {"type": kind, **provision},
    }
    if actor:
        made["provision"]["actor"] = [
            {"role": {"text": "reader"}, "reference": {"reference": actor}}
        ]
    return made


def choice(id):
    """An example of examples/choices.ndjson, as a choice of Patient/a."""
    lines = (Path(__file__).parents[2] / "examples" / "choices.ndjson").read_text().splitlines()
    found = next(r for r in map(json.loads, lines) if r["id"] == id)
    return found | {"patient": {"reference": "Patient/a"}}
