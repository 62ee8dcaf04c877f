"""Searching: one filter, keyset paging, and a judge for what the filter selects too much.

Where the compiled filter is exact, the server's answer is the page. Otherwise the candidates are
walked in the order of the search, each judged by `search/evaluate.py` on its stored entries,
until the page is full: pages, counts and cursors are the same as if the filter had been exact.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession

from fhirserver.model.version import Page
from fhirserver.search.evaluate import Candidate, matches
from fhirserver.search.expression import Expression, Query, Sort
from fhirserver.storage.interface import Selects
from fhirserver.storage.mongodb import cursor
from fhirserver.storage.mongodb.compile import (
    NONE,
    Filter,
    compile_expression,
    conjunction,
    one_of,
)
from fhirserver.storage.mongodb.connection import Connection, Document
from fhirserver.storage.mongodb.document import fetch_chunks, version_of
from fhirserver.storage.mongodb.entry_document import entries_of, field_name, storable
from fhirserver.storage.mongodb.sequence import Sequence as CommitSequence
from fhirserver.storage.mongodb.stage import Stage, is_staged, stage_batch, stage_whole

#: How many candidates are judged at a time: at first, and at most.
_FIRST_BATCH, _LARGEST_BATCH = 100, 1000


class _Nobody:
    """The other resources, for an expression that asks for none."""

    def find(self, type: str, id: str) -> Candidate | None:
        raise TypeError("a chain was not staged")

    def of_type(self, type: str) -> Sequence[Candidate]:
        raise TypeError("a chain was not staged")


_NOBODY = _Nobody()

#: A level of the order: field, direction (1 or -1), whether the field may be missing.
Level = tuple[str, int, bool]


def levels_of(sort: Sequence[Sort]) -> list[Level]:
    """The order of a search, without the key that ends it."""
    levels: dict[str, Level] = {}
    for key in sort:
        direction = -1 if key.descending else 1
        if key.param == "_id":
            level = ("id", direction, False)
        elif key.param == "_lastUpdated":
            level = ("updated", direction, False)
        else:
            name = "descending" if key.descending else "ascending"
            level = (f"sort.{key.kind}.{field_name(key.param)}.{name}", -1, True)
        # What has ordered once orders nothing a second time, and a server sorts by a field once.
        levels.setdefault(level[0], level)
    return list(levels.values())


def position_of(document: Document, levels: Sequence[Level]) -> list[Any]:
    """Where a document stands in the order."""
    position: list[Any] = []
    for field, _, _ in levels:
        value: Any = document
        for name in field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        position.append(value)
    return [*position, int(document["key"])]


def beyond(levels: Sequence[Level], position: Sequence[Any]) -> Document:
    """A filter for what comes after a position."""
    same: list[Document] = []
    alternatives: list[Document] = []
    for (field, direction, may_miss), value in zip(levels, position, strict=False):
        if direction == 1:
            alternatives.append(conjunction(*same, {field: {"$gt": value}}))
        elif value is not None:
            later: Document = {field: {"$lt": value}}
            if may_miss:
                later = {"$or": [later, {field: None}]}
            alternatives.append(conjunction(*same, later))
        same.append({field: value})
    alternatives.append(conjunction(*same, {"key": {"$gt": position[-1]}}))
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


class Searcher(Stage):
    """Searches of one store; `session` binds a search to a transaction."""

    def __init__(self, connection: Connection, sequence: CommitSequence) -> None:
        self._connection = connection
        self._sequence = sequence

    # --- the interface --------------------------------------------------------------------------

    async def search(self, query: Query) -> Page:
        name = cursor.fingerprint(query.types, query.where, query.sort)
        levels = levels_of(query.sort)
        position = None
        if query.after is not None:
            position = cursor.decode(name, query.after, len(levels) + 1)
        if query.count <= 0:
            return Page([], None)
        mark = await self._sequence.mark()
        walk = self.walk(query.types, query.where, levels, position=position, limit=query.count + 1)
        found = [document async for document in walk]
        if mark is not None and mark != await self._sequence.look():
            mark = None
        more = len(found) > query.count
        del found[query.count :]
        await fetch_chunks(self._connection, found)
        following = cursor.encode(name, *position_of(found[-1], levels)) if more else None
        return Page([version_of(document) for document in found], following, mark or 0)

    async def count(self, query: Query, limit: int | None = None) -> int:
        if limit is not None and limit <= 0:
            return 0
        where = await stage_whole(self, query.where)
        compiled = self._filter(query.types, where)
        if compiled.document == NONE:
            return 0
        if compiled.exact:
            options: dict[str, Any] = {} if limit is None else {"limit": limit}
            return await self._connection.current.count_documents(compiled.document, **options)
        total = 0
        async for _ in self._judged(compiled, query.types, where, [], None, limit, {}, None):
            total += 1
        return total

    async def holds(self, selects: Selects, session: AsyncClientSession | None = None) -> bool:
        """Whether a precondition holds now."""
        found = set()
        async for document in self.walk(
            selects.query.types,
            selects.query.where,
            [],
            limit=len(selects.ids) + 1,
            session=session,
            fields={"type": 1, "id": 1},
        ):
            found.add((document["type"], document["id"]))
        return found == selects.ids

    # --- walking --------------------------------------------------------------------------------

    async def walk(
        self,
        types: tuple[str, ...],
        where: Expression,
        levels: Sequence[Level] = (),
        *,
        position: Sequence[Any] | None = None,
        limit: int | None = None,
        fields: Document | None = None,
        session: AsyncClientSession | None = None,
        after_key: int | None = None,
    ) -> AsyncIterator[Document]:
        """The documents selected, in order. `fields`: only these of each (and the key)."""
        staged = await stage_whole(self, where, session)
        compiled = self._filter(types, staged)
        if after_key is not None:
            compiled = Filter(
                conjunction(compiled.document, {"key": {"$gt": after_key}}), compiled.exact
            )
        if compiled.document == NONE:
            return
        if not compiled.exact:
            judged = self._judged(compiled, types, staged, levels, position, limit, fields, session)
            async for document in judged:
                yield document
            return
        condition = compiled.document
        if position is not None:
            condition = conjunction(condition, beyond(levels, position))
        projection = _projection(fields, levels, False)
        found = self._connection.current.find(
            condition, projection, sort=_order(levels), limit=limit or 0, session=session
        )
        async for document in found:
            yield document

    def _filter(self, types: tuple[str, ...], where: Expression) -> Filter:
        compiled = compile_expression(where, self._connection.dialect, types)
        if compiled.document == NONE:
            return compiled
        # `deleted` last: an entry of `index` is itself a sign of life.
        living = conjunction(
            one_of("type", types) if types else {}, compiled.document, {"deleted": False}
        )
        return Filter(living, compiled.exact)

    async def _judged(
        self,
        compiled: Filter,
        types: tuple[str, ...],
        where: Expression,
        levels: Sequence[Level],
        position: Sequence[Any] | None,
        limit: int | None,
        fields: Document | None,
        session: AsyncClientSession | None,
    ) -> AsyncIterator[Document]:
        size = _FIRST_BATCH
        left = limit
        while left is None or left > 0:
            condition = compiled.document
            if position is not None:
                condition = conjunction(condition, beyond(levels, position))
            batch = await self._connection.current.find(
                condition,
                _projection(fields, levels, True),
                sort=_order(levels),
                limit=size,
                session=session,
            ).to_list()
            candidates = [
                Candidate(d["type"], d["id"], int(d["updated"]), entries_of(d.get("index") or {}))
                for d in batch
            ]
            here = where
            if not is_staged(where):
                here = await stage_batch(self, where, candidates, session)
            for document, candidate in zip(batch, candidates, strict=True):
                if matches(here, candidate, _NOBODY):
                    yield document
                    if left is not None:
                        left -= 1
                        if left == 0:
                            return
            if len(batch) < size:
                return
            position = position_of(batch[-1], levels)
            size = min(size * 2, _LARGEST_BATCH)


def _order(levels: Sequence[Level]) -> list[tuple[str, int]]:
    return [*((field, direction) for field, direction, _ in levels), ("key", 1)]


def _projection(fields: Document | None, levels: Sequence[Level], with_entries: bool) -> Document:
    if fields is not None:
        wanted = {**fields, "key": 1}
        if with_entries:
            wanted = {name: 1 for name in wanted if not name.startswith("index.")}
            wanted |= {"type": 1, "id": 1, "updated": 1, "index": 1}
        return wanted
    unwanted: Document = {"resource": 0}
    if not with_entries:
        unwanted["index"] = 0
    if not levels:
        unwanted["sort"] = 0
    return unwanted


__all__ = ["Searcher", "beyond", "levels_of", "position_of", "storable"]
