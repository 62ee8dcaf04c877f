"""A server whose accesses are recorded, with callers made by hand: `Authorization: Bearer NAME`."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import replace

import httpx

from fhirserver.access.audit.service import AuditService
from fhirserver.access.caller import Caller, Role
from fhirserver.access.notice.notice import KINDS
from fhirserver.access.notice.notifier import Notifier
from fhirserver.access.store import PermittedStore
from fhirserver.app import context_of
from fhirserver.conformance.registry import Registry
from fhirserver.errors import Forbidden, Unauthenticated
from fhirserver.interaction.append_only import AppendOnlyBehaviour
from fhirserver.rest.cors import CrossOrigin
from fhirserver.rest.endpoint import Endpoint
from fhirserver.rest.origin import Origin
from fhirserver.search.expression import Everything, Not, OfType, Query
from fhirserver.storage.mongodb import MongoStore
from fhirserver.storage.sqlite import SqliteStore

BASE = "http://testserver/fhir"
DOCTOR = Caller(
    Role.PROFESSIONAL,
    client="practice-software",
    fhir_user="Practitioner/doctor",
    patient="a",
    profession="10",
    organization="Organization/clinic",
    token="e3b0c44298fc1c149afbf4c8996fb924",
)
ALICE = Caller(Role.CITIZEN, client="app", fhir_user="Patient/a", patient="a", token="aa")


class Recorded:
    """`predicate`: what callers other than the operator of the test see."""

    def __init__(self, store, *, sender=None, kinds=KINDS):
        self.raw = store
        registry = Registry()
        context = context_of(store, registry, base_url=BASE)
        entries = context.indexer.entries
        self.notifier = Notifier(store, entries, sender, kinds)
        self.service = AuditService(store, registry, entries, server=BASE, notifier=self.notifier)
        self.callers = {"doctor": DOCTOR, "alice": ALICE, "open": Caller(Role.OPEN)}
        self.predicates = {}
        self.entries = entries
        self.endpoint = Endpoint(
            origin=Origin(BASE), cross_origin=CrossOrigin(()), admit=self._admit
        )
        self.endpoint.context = replace(
            context,
            audit=self.service.audit,
            behaviours=(AppendOnlyBehaviour(), *context.behaviours),
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.endpoint, raise_app_exceptions=True), base_url=BASE
        )

    async def _admit(self, headers, context, request_id):
        name = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        if name not in self.callers:
            raise Unauthenticated("Who are you?")
        if name == "forbidden":
            raise Forbidden("Not with these scopes.")
        predicate = self.predicates.get(name, Everything())
        store = PermittedStore(self.service.store, predicate, self.entries)
        return replace(context, caller=self.callers[name], store=store)

    async def ask(self, name, method, path, body=None, **headers):
        content = None if body is None else json.dumps(body)
        named = {"authorization": f"Bearer {name}"} if name else {}
        if body is not None:
            named["content-type"] = "application/fhir+json"
        named |= {key.replace("_", "-"): value for key, value in headers.items()}
        return await self.client.request(method, f"{BASE}/{path}", content=content, headers=named)

    async def events(self):
        """The AuditEvents there are, oldest first, without recording that they were looked at."""
        await self.service.materialiser.catch_up()
        return await self.all("AuditEvent")

    async def all(self, type):
        """Every resource of a type, in order of creation."""
        query = Query((type,), count=500)
        found = []
        while True:
            page = await self.raw.search(query)
            found += [json.loads(version.content) for version in page.versions]
            if page.next is None:
                return found
            query = replace(query, after=page.next)

    async def put(self, *resources):
        """Into the store, unrecorded."""
        from fhirserver.model.content import content
        from fhirserver.model.version import Change

        for resource in resources:
            type, id = resource["resourceType"], resource["id"]
            entries = self.entries(resource)
            await self.raw.commit([Change("PUT", type, id, content(resource, id), entries)])


def open_store(engine, folder, name=None):
    """A new store; None when there is no server for it."""
    if engine == "sqlite":
        return SqliteStore(folder / "audit.db")
    url = os.environ.get("FHIRSERVER_TEST_MONGODB")
    if not url:
        return None
    server = url.partition("://")[2].partition("/")[0]
    return MongoStore(f"mongodb://{server}/{name or f'audit_{uuid.uuid4().hex[:12]}'}")


def hidden(*types):
    """Everything but resources of these types."""
    return Not(OfType(types))
