"""The real application with `--auth smart`, on an empty store, and tokens for callers by name."""

from __future__ import annotations

import json

import httpx

from fhirserver.access.audit.materialise import Materialiser
from fhirserver.access.audit.subject import Subjects
from fhirserver.app import build, context_of, open_engine
from fhirserver.auth import secret as handles
from fhirserver.auth.authorization import ACCESS, Authorization
from fhirserver.auth.server import microseconds
from fhirserver.auth.tokens import grant_of
from fhirserver.conformance.registry import Registry
from fhirserver.model.content import content
from fhirserver.model.version import Change
from fhirserver.search.expression import Query
from fhirserver.settings import Settings

ROOT = "http://testserver"
BASE = f"{ROOT}/fhir"


class Door:
    """`store`: the engine's own, past every rule."""

    def __init__(self, app, store, registry) -> None:
        self.app = app
        self.store = store
        self.registry = registry
        self.entries = context_of(store, registry, base_url=BASE).indexer.entries
        self.tokens: dict[str, str] = {}
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ROOT)

    async def give(self, name, role, scopes="patient/*.cruds user/*.cruds", **more) -> str:
        """A token by this name."""
        if more.get("patient", 0) is None:
            del more["patient"]
        given = Authorization(more.pop("client", "app"), scopes, handles.new(), role, BASE, **more)
        self.tokens[name] = handles.new()
        grant = grant_of(ACCESS, self.tokens[name], given, given, microseconds() + 3_600_000_000)
        await self.store.put_grant(grant)
        return self.tokens[name]

    async def ask(self, name, method, url, body=None, **headers) -> httpx.Response:
        kind = headers.pop("content_type", "application/fhir+json")
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if name:
            named["authorization"] = f"Bearer {self.tokens[name]}"
        text = None if body is None else body if isinstance(body, str) else json.dumps(body)
        if text is not None:
            named["content-type"] = kind
        url = url if url.startswith("http") else f"{BASE}/{url.lstrip('/')}"
        return await self.http.request(method, url, content=text, headers=named)

    async def get(self, name, url) -> httpx.Response:
        return await self.ask(name, "GET", url)

    async def ids(self, name, url) -> list[str]:
        answer = await self.get(name, url)
        assert answer.status_code == 200, (url, answer.status_code, answer.text[:300])
        found = answer.json().get("entry", [])
        return sorted(f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in found)

    async def put(self, *resources) -> None:
        """Written as they are: past every rule, and unrecorded."""
        for resource in resources:
            type, id = resource["resourceType"], resource["id"]
            entries = self.entries(resource)
            await self.store.commit([Change("PUT", type, id, content(resource, id), entries)])

    async def delete(self, type, id) -> None:
        await self.store.commit([Change("DELETE", type, id, None, ())])

    async def events(self) -> list[dict]:
        """Every AuditEvent of what was recorded until now, oldest first."""
        subjects = Subjects(self.registry, (BASE,))
        await Materialiser(self.store, self.entries, subjects, BASE).catch_up()
        query, found = Query(("AuditEvent",), count=500), []
        while True:
            page = await self.store.search(query)
            found += [json.loads(version.content) for version in page.versions]
            if page.next is None:
                return found
            query = Query(("AuditEvent",), count=500, after=page.next)


async def open_door(database, **settings):
    store = open_engine(database)
    await store.open()
    chosen = {"auth": "smart", "base_url": BASE, "database": database, **settings}
    app = build(Settings(_env_file=None, **chosen))
    lifespan = app.lifespan()
    await lifespan.__aenter__()
    return Door(app, store, Registry()), lifespan


async def close_door(door, lifespan) -> None:
    await door.http.aclose()
    await lifespan.__aexit__(None, None, None)
    await door.store.close()
