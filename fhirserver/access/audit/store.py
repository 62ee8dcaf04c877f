"""A store whose AuditEvents are complete whenever they are looked at."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fhirserver.access.audit.concern import concerned
from fhirserver.search.expression import Chain, Has, nodes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

    from fhirserver.access.audit.materialise import Materialiser
    from fhirserver.model.version import HistorySelection, Page, Version
    from fhirserver.search.expression import Expression, Query
    from fhirserver.storage.interface import Store

_TYPE = "AuditEvent"


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
        if type == _TYPE:
            return self._event(self._store.read, type, id)
        return self._store.read(type, id)

    def vread(self, type: str, id: str, version: int) -> Awaitable[Version | None]:
        if type == _TYPE:
            return self._event(self._store.vread, type, id, version)
        return self._store.vread(type, id, version)

    def read_many(self, identities: Sequence[tuple[str, str]]) -> Awaitable[list[Version]]:
        if any(type == _TYPE for type, _ in identities):
            return self._after(self._store.read_many, identities)
        return self._store.read_many(identities)

    def search(self, query: Query) -> Awaitable[Page]:
        if _shows(query):
            return self._about(query, self._store.search, query)
        return self._store.search(query)

    def count(self, query: Query, limit: int | None = None) -> Awaitable[int]:
        if _shows(query):
            return self._about(query, self._store.count, query, limit)
        return self._store.count(query, limit)

    def history(self, selection: HistorySelection) -> Awaitable[Page]:
        if _in(selection):
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
        if types is None or _TYPE in types:
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

    async def _about(
        self, query: Query, call: Callable[..., Awaitable[Any]], *arguments: Any
    ) -> Any:
        names = None if _reaches(query.where) else concerned(query)
        if names is None:
            await self._complete()
        else:
            await self._materialiser.catch_up_for(names)
        return await call(*arguments)

    async def _after(self, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        await self._complete()
        return await call(*arguments)


def _shows(query: Query) -> bool:
    return not query.types or _TYPE in query.types or _reaches(query.where)


def _in(selection: HistorySelection) -> bool:
    if selection.type is not None:
        return selection.type == _TYPE
    return not selection.types or _TYPE in selection.types


@lru_cache(maxsize=1024)
def _reaches(expression: Expression) -> bool:
    """Whether what the expression selects may depend on an AuditEvent."""
    for node in nodes(expression):
        match node:
            case Chain(_, types, target):
                if not types or _TYPE in types or _reaches(target):
                    return True
            case Has(type, _, source):
                if type == _TYPE or _reaches(source):
                    return True
            case _:
                pass
    return False
