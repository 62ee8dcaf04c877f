"""SearchParameter resources take effect when they are written
(https://hl7.org/fhir/R4/searchparameter.html).

A bad one is refused before the commit. After it this process searches and indexes by it at once;
other processes on the same store see in the history of SearchParameter that something came, and
take it in at their next `refresh`. What was stored before is found after `$reindex`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from fhirserver.access.every import every
from fhirserver.errors import FHIRError
from fhirserver.model.json import decode_stored
from fhirserver.model.version import HistorySelection
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.access.store import PermittedStore
    from fhirserver.conformance.registry import Registry
    from fhirserver.interaction.context import Context, Draft
    from fhirserver.model.version import Version

_TYPE = "SearchParameter"
_PAGE = 500

_log = logging.getLogger(__name__)


class SearchParameterBehaviour:
    """Keeps `registry` at what `store` holds. `store` is the server's own, which sees all."""

    types = frozenset({_TYPE})

    def __init__(self, store: PermittedStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._seen = 0  # place of the newest SearchParameter version taken in
        self._taken: dict[str, Version] = {}  # by canonical URL
        self._lock = asyncio.Lock()

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        for draft in drafts:
            if draft.type == _TYPE and draft.resource is not None:
                self._registry.check(draft.resource)
        return drafts

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        await self.refresh()

    async def refresh(self) -> bool:
        """Take in what changed since the last time, also by other processes; whether anything
        did. The app calls it before the first request, and every second."""
        async with self._lock:
            newest = (await self._store.history(HistorySelection(_TYPE, count=1))).versions
            place = newest[0].seq if newest else 0
            if place == self._seen:
                return False
            await self._take_in()
            self._seen = place
            return True

    async def _take_in(self) -> None:
        stored = await self._stored()
        for url in self._taken.keys() - stored.keys():
            self._registry.remove(url)
            del self._taken[url]
        for url, (version, resource) in stored.items():
            if self._taken.get(url) == version:
                continue
            try:
                self._registry.put(resource)
            except FHIRError as error:
                # Two that exclude each other can be written at the same moment, or come with
                # restored data: the one that came first goes on.
                _log.warning("SearchParameter/%s is not searched by: %s", version.id, error)
                continue
            self._taken[url] = version

    async def _stored(self) -> dict[str, tuple[Version, dict[str, object]]]:
        """The newest resource for each canonical URL."""
        found = [v async for v in every(self._store, Query((_TYPE,), count=_PAGE))]
        stored: dict[str, tuple[Version, dict[str, object]]] = {}
        for version in sorted(found, key=lambda v: v.seq):
            resource = decode_stored(version.content or b"{}")
            stored[str(resource.get("url"))] = (version, resource)
        return stored
