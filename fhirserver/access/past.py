"""What a caller's search selected at an earlier commit.

Paging needs it: a resource that has changed since the first page keeps the place it had then.
Names of changed resources are taken from the engine; each version is judged by the search with
the caller's rules in it, so that nothing shows here that the search itself would not have shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.access.narrow import narrow
from fhirserver.access.verdict import Judge
from fhirserver.model.version import HistorySelection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from fhirserver.access.store import PermittedStore
    from fhirserver.model.version import Version
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Query

#: Versions read at a time: at first, to see whether there are any; then.
_FEW, _MANY = 16, 500


class Past:
    """`query` for the caller of `store`, at an earlier time."""

    def __init__(
        self,
        store: PermittedStore,
        query: Query,
        entries: Callable[[dict[str, Any]], Sequence[Entry]],
    ) -> None:
        judged = store._judged
        self._engine = store._store if judged is None else judged.engine
        self._query = query if judged is None else narrow(query, judged._rules)
        self._judge = Judge(self._engine, entries)

    async def latest(self) -> int:
        """The newest commit that touched the types searched."""
        page = await self._engine.history(self._selection(1))
        return page.versions[0].seq if page.versions else 0

    async def version(self, type: str, id: str, version: int) -> Version | None:
        """That version, if it is one that the search selects."""
        found = await self._engine.vread(type, id, version)
        return found if found is not None and await self._selects(found) else None

    async def selected(self, seq: int, limit: int) -> list[Version] | None:
        """Of the resources that have changed since commit `seq`, the versions that were current
        then and were selected; None when there are over `limit` changes."""
        changed: dict[tuple[str, str], int] = {}
        selection = self._selection(_FEW)
        seen = 0
        while True:
            page = await self._engine.history(selection)
            later = [version for version in page.versions if version.seq > seq]
            for version in later:
                changed[version.type, version.id] = version.version
            seen += len(later)
            if seen > limit:
                return None
            if len(later) < len(page.versions) or page.next is None:
                break
            selection = replace(selection, count=_MANY, after=page.next)
        found = []
        for (type, id), first in changed.items():
            if first > 1:
                before = await self.version(type, id, first - 1)
                if before is not None:
                    found.append(before)
        return found

    async def _selects(self, version: Version) -> bool:
        types = self._query.types
        if types and version.type not in types:
            return False
        return not version.deleted and await self._judge.permits(self._query.where, version)

    def _selection(self, count: int) -> HistorySelection:
        types = self._query.types
        if len(types) == 1:
            return HistorySelection(types[0], count=count)
        return HistorySelection(types=types, count=count)
