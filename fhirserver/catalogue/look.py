"""What a rule looks at: the resources of this write first, then those that are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision import listing
from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.access.store import Selects
from fhirserver.catalogue import names
from fhirserver.catalogue.request import OPEN, Request, request_of
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Draft
    from fhirserver.model.version import Version

    Json = dict[str, Any]

_MOST = 100  # requests looked at for one app


class Look:
    """Sees everything; what it finds is never shown to the caller."""

    def __init__(self, ctx: Context, drafts: Sequence[Draft] = ()) -> None:
        self.ctx = ctx
        self._store = ctx.as_server.store
        self._drafts = {(draft.type, draft.id): draft for draft in drafts}

    async def version(self, type: str, id: str) -> Version | None:
        version = await self._store.read(type, id)
        return None if version is None or version.deleted else version

    async def stored(self, type: str, id: str) -> Json | None:
        """As it was before this write."""
        version = await self.version(type, id)
        return None if version is None else decode_stored(version.content or b"{}")

    async def at(self, reference: str, type: str) -> Json | None:
        """As it will be after this write."""
        found, _, id = reference.partition("/")
        if found != type or not id:
            return None
        draft = self._drafts.get((type, id))
        return draft.resource if draft is not None else await self.stored(type, id)

    async def described_by(self, device: str) -> list[Json]:
        """The HealthcareServices that describe an app."""
        query = self._describing(device)
        found = {v.id: v for v in (await self._store.search(query)).versions}
        listed = [
            decode_stored(version.content or b"{}")
            for id, version in found.items()
            if ("HealthcareService", id) not in self._drafts
        ]
        for draft in self._drafts.values():
            resource = draft.resource if draft.type == "HealthcareService" else None
            if resource is not None and entry_of(resource) == f"Device/{device}":
                listed.append({**resource, "id": draft.id})
        return listed

    async def devices_of(self, definition: str) -> list[Json]:
        """The apps made after a DeviceDefinition."""
        where = refers("definition", (("DeviceDefinition", definition),))
        return await self._all(Query(("Device",), where, count=_MOST))

    async def requests(self, device: str, *statuses: str) -> list[Request]:
        """What was asked for an app, the oldest first."""
        where = all_of(self._about(device), token("status", *statuses))
        found = await self._all(Query(("Task",), where, count=_MOST))
        return sorted(map(request_of, found), key=lambda request: (request.modified, request.id))

    async def others_open(self, device: str, task: str) -> tuple[list[str], Selects]:
        """Other requests for the app that are still open, and the condition that it stays so."""
        query = Query(("Task",), all_of(self._about(device), token("status", *OPEN)), count=_MOST)
        ids = [version.id for version in (await self._store.search(query)).versions]
        selected = frozenset(("Task", id) for id in ids)
        return [id for id in ids if id != task], Selects(query, selected, server=True)

    async def no_other_description(self, device: str) -> Selects:
        """The condition that what describes the app stays as it is until the commit."""
        query = self._describing(device)
        versions = (await self._store.search(query)).versions
        return Selects(query, frozenset((v.type, v.id) for v in versions), server=True)

    def _about(self, device: str) -> Any:
        return all_of(refers("focus", (("Device", device),)), listing.requests())

    def _describing(self, device: str) -> Query:
        where = refers("catalogue-entry", (("Device", device),))
        return Query(("HealthcareService",), where, count=_MOST)

    async def _all(self, query: Query) -> list[Json]:
        page = await self._store.search(query)
        return [decode_stored(version.content or b"{}") for version in page.versions]


def entry_of(service: Json) -> str:
    """The Device that a HealthcareService describes; empty when it is not of the catalogue."""
    for extension in service.get("extension", []):
        if extension.get("url") == listing.ENTRY:
            return names.reference_of(extension.get("valueReference"))
    return ""
