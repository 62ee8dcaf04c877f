"""A store whose AuditEvents are complete whenever they are looked at."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fhirserver.access.audit.concern import TYPE, concerned
from fhirserver.errors import Unavailable
from fhirserver.search.expression import Chain, Query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

    from fhirserver.access.audit.concern import Names
    from fhirserver.access.audit.materialise import Materialiser
    from fhirserver.model.version import HistorySelection, Page, Version
    from fhirserver.storage.interface import Store

#: So long an answer waits for events to be made that are not known to be another's.
WAIT_SECONDS = 5.0
_MANY = 5000  # so many people one question is about at most
_NOT_YET = "The access log is being brought up to date; try again in a few seconds."


class CompleteStore:
    """`store`, which `materialiser` brings up to date before an AuditEvent can show: as far as the
    question goes, so that an answer does not wait for what it is not about. Everything else is the
    store's own."""

    def __init__(self, store: Store, materialiser: Materialiser) -> None:
        self._store = store
        self._materialiser = materialiser
        self._complete = materialiser.catch_up

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name != "capabilities":  # known only when the store is open
            setattr(self, name, found)
        return found

    def read(self, type: str, id: str) -> Awaitable[Version | None]:
        if type == TYPE:
            return self._event(self._store.read, type, id)
        return self._store.read(type, id)

    def vread(self, type: str, id: str, version: int) -> Awaitable[Version | None]:
        if type == TYPE:
            return self._event(self._store.vread, type, id, version)
        return self._store.vread(type, id, version)

    def read_many(self, identities: Sequence[tuple[str, str]]) -> Awaitable[list[Version]]:
        if any(type == TYPE for type, _ in identities):
            return self._events(identities)
        return self._store.read_many(identities)

    def search(self, query: Query) -> Awaitable[Page]:
        if _concerned(query.types, query.where):
            return self._about(query, self._store.search, query)
        return self._store.search(query)

    def count(self, query: Query, limit: int | None = None) -> Awaitable[int]:
        if _concerned(query.types, query.where):
            return self._about(query, self._store.count, query, limit)
        return self._store.count(query, limit)

    def history(self, selection: HistorySelection) -> Awaitable[Page]:
        if _in(selection) and selection.after is None:
            return self._after(self._store.history, selection)
        return self._store.history(selection)

    def history_count(
        self, selection: HistorySelection, limit: int | None = None
    ) -> Awaitable[int]:
        if _in(selection):
            return self._after(self._store.history_count, selection, limit)
        return self._store.history_count(selection, limit)

    async def changes(
        self, after: int = 0, types: Collection[str] | None = None
    ) -> AsyncIterator[Version]:
        if types is None or TYPE in types:
            await self._complete()
        async for version in self._store.changes(after, types):
            yield version

    async def _event(
        self, call: Callable[..., Awaitable[Any]], type: str, id: str, *arguments: Any
    ) -> Any:
        found = await call(type, id, *arguments)
        if found is None:
            await self._materialiser.catch_up_with(id)
            found = await call(type, id, *arguments)
        return found

    async def _events(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        found = await self._store.read_many(identities)
        there = {(version.type, version.id) for version in found}
        missing = [id for type, id in identities if type == TYPE and (type, id) not in there]
        for id in missing:
            await self._materialiser.catch_up_with(id)
        return await self._store.read_many(identities) if missing else found

    async def _about(
        self, query: Query, call: Callable[..., Awaitable[Any]], *arguments: Any
    ) -> Any:
        """Raises Unavailable."""
        names = await self._names(_concerned(query.types, query.where))
        if names:
            await self._materialiser.catch_up_for(names)
        elif names is None and not await self._materialiser.catch_up_within(WAIT_SECONDS):
            raise Unavailable(_NOT_YET)
        return await call(*arguments)

    async def _names(self, each: Sequence[Names]) -> frozenset[str] | None:
        """References one of which every event that can show names; None: that cannot be told."""
        names: set[str] = set()
        for found in each:
            if found is None:
                return None
            for name in found:
                if isinstance(name, Chain):
                    query = Query(name.types, name.target, count=_MANY)
                    page = await self._store.search(query)
                    if page.next is not None:
                        return None
                    names.update(f"{version.type}/{version.id}" for version in page.versions)
                else:
                    names.add(name)
        return frozenset(names)

    async def _after(self, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """A history tells of what has been made: what is made later stands above it later."""
        await self._materialiser.catch_up_within(WAIT_SECONDS)
        return await call(*arguments)


_concerned = lru_cache(maxsize=1024)(concerned)


def _in(selection: HistorySelection) -> bool:
    if selection.type is not None:
        return selection.type == TYPE
    return not selection.types or TYPE in selection.types
