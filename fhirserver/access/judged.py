"""A store seen through a predicate: what it does not select is hidden.

Searches carry the predicate into the engine, so pages and counts are right before paging. Single
versions, history and writes are judged in memory by `search/evaluate.py`, the meaning of the
same tree. A deletion has no content to judge, so it shows what the version before it showed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.access.narrow import narrow
from fhirserver.access.verdict import Judge
from fhirserver.errors import Forbidden, NotFound
from fhirserver.model.version import ABSENT, ANY, Version
from fhirserver.search.expression import All, AnyOf, Identity, OfType, Query
from fhirserver.storage.interface import Selects, VersionConflict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from typing import Any

    from fhirserver.model.version import Change, HistorySelection, Page
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Expression
    from fhirserver.storage.interface import Store

_READ_MANY = 500  # identities asked for in one query


class JudgedStore:
    """`store` for a caller who may see and write only what `predicate` selects."""

    def __init__(
        self,
        store: Store,
        predicate: Expression,
        entries: Callable[[dict[str, Any]], Sequence[Entry]],
    ) -> None:
        self._store = store
        self._predicate = predicate
        self._judge = Judge(store, predicate, entries)
        self.capabilities = store.capabilities

    async def open(self) -> None:
        raise Forbidden("The store is opened by the server alone.")

    async def close(self) -> None:
        raise Forbidden("The store is closed by the server alone.")

    async def check(self) -> list[str]:
        raise Forbidden("The store is checked by the server alone.")

    async def read(self, type: str, id: str) -> Version | None:
        version = await self._store.read(type, id)
        return version if version and await self._shows(version) else None

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        # Both images must be permitted: an old version of a resource that has since been
        # withdrawn from this caller is as hidden as the current one.
        if await self.read(type, id) is None:
            return None
        found = await self._store.vread(type, id, version)
        return found if found and await self._shows(found) else None

    async def read_many(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        wanted = list(dict.fromkeys(identities))
        found: list[Version] = []
        for start in range(0, len(wanted), _READ_MANY):
            part = wanted[start : start + _READ_MANY]
            by_type: dict[str, list[str]] = {}
            for type, id in part:
                by_type.setdefault(type, []).append(id)
            where = AnyOf(
                tuple(All((OfType((type,)), Identity(tuple(ids)))) for type, ids in by_type.items())
            )
            query = Query(tuple(by_type), where, count=len(part))
            found += (await self.search(query)).versions
        return found

    async def search(self, query: Query) -> Page:
        return await self._store.search(narrow(query, self._predicate))

    async def count(self, query: Query, limit: int | None = None) -> int:
        return await self._store.count(narrow(query, self._predicate), limit)

    async def history(self, selection: HistorySelection) -> Page:
        # Asking only for what is still missing keeps the engine's cursor at the last version
        # given out, so the next page goes on right there.
        versions: list[Version] = []
        after = selection.after
        while True:
            missing = selection.count - len(versions)
            page = await self._store.history(replace(selection, count=missing, after=after))
            versions += [v for v in page.versions if await self._shows_past(v)]
            after = page.next
            if after is None or len(versions) >= selection.count:
                return replace(page, versions=versions)

    async def history_count(self, selection: HistorySelection) -> int:
        total = 0
        after = None
        while True:
            page = await self._store.history(replace(selection, count=500, after=after))
            for version in page.versions:
                total += await self._shows_past(version)
            after = page.next
            if after is None:
                return total

    async def commit(
        self, changes: Sequence[Change], selects: Sequence[Selects] = ()
    ) -> list[Version]:
        permitted, kept, skipped = await self._permit(changes)
        made = await self._store.commit(permitted, self._narrowed(selects)) if permitted else []
        return _in_order(len(changes), kept, made, skipped)

    async def commit_many(
        self, units: Sequence[tuple[Sequence[Change], Sequence[Selects]]]
    ) -> list[list[Version] | Exception]:
        outcomes: list[list[Version] | Exception] = []
        for changes, selects in units:
            try:
                outcomes.append(await self.commit(changes, selects))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    async def changes(self, after: int = 0) -> AsyncIterator[Version]:
        async for version in self._store.changes(after):
            if await self._shows_past(version):
                yield version

    async def reindex(
        self, type: str, after: int | str | None, limit: int
    ) -> tuple[list[Version], int | str | None]:
        raise Forbidden("Reindexing needs access to every resource.")

    async def replace_entries(
        self, items: Sequence[tuple[Version, Sequence[tuple[Any, ...]]]]
    ) -> int:
        raise Forbidden("Reindexing needs access to every resource.")

    async def get_state(self, name: str) -> bytes | None:
        raise Forbidden("The server's own state is not for a caller.")

    async def set_state(self, name: str, value: bytes | None) -> None:
        raise Forbidden("The server's own state is not for a caller.")

    async def _shows(self, version: Version) -> bool:
        """Whether the caller may know of this version."""
        if not version.deleted:
            return await self._judge.permits(version)
        number = version.version - 1
        while number > 0:
            before = await self._store.vread(version.type, version.id, number)
            if before is None:
                return False
            if not before.deleted:
                return await self._judge.permits(before)
            number -= 1
        return False

    async def _shows_past(self, version: Version) -> bool:
        if not await self._shows(version):
            return False
        current = await self._store.read(version.type, version.id)
        return current is not None and await self._shows(current)

    async def _permit(
        self, changes: Sequence[Change]
    ) -> tuple[list[Change], list[int], dict[int, Version]]:
        """The changes this caller may make, bound to the versions they were judged on.

        Binding `expect` closes the gap between judging and writing: if the before image changes
        meanwhile the engine raises VersionConflict and the interaction looks again.
        """
        permitted: list[Change] = []
        kept: list[int] = []
        skipped: dict[int, Version] = {}
        for place, change in enumerate(changes):
            current = await self._store.read(change.type, change.id)
            if current is not None and not await self._shows(current):
                if change.expect > 0:
                    raise VersionConflict(change.type, change.id, 0)
                if change.content is None:
                    skipped[place] = Version(
                        change.type, change.id, 0, 0, change.method, None
                    )  # as if there were none
                    continue
                raise NotFound(f"{change.type}/{change.id} is not known.")
            _meets(change, current)
            if change.content is not None and not await self._judge.permits_change(change):
                raise Forbidden(f"{change.type}/{change.id} may not be written like this.")
            expect = change.expect
            if expect == ANY:
                expect = ABSENT if current is None else current.version
            permitted.append(replace(change, expect=expect))
            kept.append(place)
        return permitted, kept, skipped

    def _narrowed(self, selects: Sequence[Selects]) -> list[Selects]:
        return [Selects(narrow(s.query, self._predicate), s.ids) for s in selects]


def _meets(change: Change, current: Version | None) -> None:
    """Tell of a stale precondition before telling of a forbidden content."""
    at = 0 if current is None else current.version
    if change.expect == ABSENT and current is not None and not current.deleted:
        raise VersionConflict(change.type, change.id, at)
    if change.expect > 0 and change.expect != at:
        signed = -at if current is not None and current.deleted else at
        raise VersionConflict(change.type, change.id, signed)


def _in_order(
    count: int, kept: Sequence[int], made: Sequence[Version], skipped: dict[int, Version]
) -> list[Version]:
    by_place = dict(zip(kept, made, strict=True)) | skipped
    return [by_place[place] for place in range(count)]
