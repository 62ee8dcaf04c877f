"""History and the order of commits: past versions and current ones, read as one.

A version moves from current to past by copy first, replacement after. Therefore the current
documents are always read before the past ones: a version on the move is then seen at least once,
and one seen twice is taken once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any

from fhirserver.model.version import HistorySelection, Page, Version
from fhirserver.storage.mongodb import cursor
from fhirserver.storage.mongodb.compile import conjunction
from fhirserver.storage.mongodb.connection import Connection, Document
from fhirserver.storage.mongodb.document import (
    ONLY_VERSION,
    fetch_chunks,
    identity,
    version_of,
)
from fhirserver.storage.mongodb.sequence import Sequence

_FEED = 500


def _selects(selection: HistorySelection) -> Document:
    """The versions of the selection, whenever they were current."""
    condition: Document = {"seq": {"$gt": 0}}
    if selection.type is not None:
        condition["type"] = selection.type
        if selection.id is not None:
            condition["id"] = selection.id
    elif selection.types:
        condition["type"] = {"$in": list(selection.types)}
    if selection.since is not None:
        condition["updated"] = {"$gte": selection.since}
    return condition


class History:
    def __init__(self, connection: Connection, sequence: Sequence) -> None:
        self._connection = connection
        self._sequence = sequence

    async def history(self, selection: HistorySelection) -> Page:
        name = cursor.fingerprint(
            selection.type, selection.id, selection.types, selection.since, selection.at
        )
        before: int | None = None
        if selection.after is not None:
            before = cursor.decode(name, selection.after, 1)[0]
        if selection.count <= 0:
            return Page([], None)
        limit = selection.count + 1
        if selection.at is None:
            found = await self._newest(_selects(selection), before, limit)
        else:
            found = await self._at(selection, before, limit)
        more = len(found) > selection.count
        del found[selection.count :]
        await fetch_chunks(self._connection, found)
        following = cursor.encode(name, int(found[-1]["seq"])) if more else None
        return Page([version_of(document) for document in found], following)

    async def _newest(self, condition: Document, before: int | None, limit: int) -> list[Document]:
        if before is not None:
            condition = conjunction(condition, {"seq": {"$lt": before}})
        found: dict[tuple[str, int], Document] = {}
        for collection in (self._connection.current, self._connection.history):
            documents = collection.find(condition, ONLY_VERSION, sort=[("seq", -1)], limit=limit)
            async for document in documents:
                found.setdefault(_version_key(document), document)
        return sorted(found.values(), key=lambda d: -d["seq"])[:limit]

    async def _at(
        self, selection: HistorySelection, before: int | None, limit: int
    ) -> list[Document]:
        """Versions current at some time in [low, high): those made before `high` whose successor
        was made after `low`. The successor knows both times (`previous`)."""
        assert selection.at is not None
        _, high = selection.at
        condition = _selects(selection)
        latest = conjunction(condition, {"updated": {"$lt": high}})
        replaced = self._replaced(selection)
        if before is not None:
            latest = conjunction(latest, {"seq": {"$lt": before}})
            replaced = conjunction(replaced, {"previous.seq": {"$lt": before}})
        found: dict[tuple[str, int], Document] = {}
        # Successors are looked for among current documents first, as everywhere here.
        predecessors: dict[str, int] = {}
        current = self._connection.current
        async for document in current.find(latest, ONLY_VERSION, sort=[("seq", -1)], limit=limit):
            found[_version_key(document)] = document
        for collection in (current, self._connection.history):
            successors = collection.find(
                replaced,
                {"type": 1, "id": 1, "version": 1, "previous": 1},
                sort=[("previous.seq", -1)],
                limit=limit,
            )
            async for document in successors:
                past = f"{identity(document['type'], document['id'])}/{document['version'] - 1}"
                predecessors[past] = int(document["previous"]["seq"])
        wanted = sorted(predecessors, key=lambda past: -predecessors[past])[:limit]
        if wanted:
            async for document in self._connection.history.find({"_id": {"$in": wanted}}):
                found.setdefault(_version_key(document), document)
        return sorted(found.values(), key=lambda d: -d["seq"])[:limit]

    @staticmethod
    def _replaced(selection: HistorySelection) -> Document:
        assert selection.at is not None
        low, high = selection.at
        condition = _selects(selection)
        condition.pop("updated", None)
        made: Document = {"previous.updated": {"$lt": high}}
        if selection.since is not None:
            made = {"previous.updated": {"$lt": high, "$gte": selection.since}}
        return conjunction(condition, {"updated": {"$gt": low}}, made)

    async def history_count(self, selection: HistorySelection, limit: int | None = None) -> int:
        """How many versions; a writer that crashed between copy and replacement makes it one more
        in the history of a type or of the system, until the resource is written again."""
        current, history = self._connection.current, self._connection.history
        condition = _selects(selection)
        most: dict[str, Any] = {} if limit is None else {"limit": max(limit, 1)}
        if selection.at is not None:
            _, high = selection.at
            replaced = self._replaced(selection)
            early = conjunction(condition, {"updated": {"$lt": high}})
            return (
                await current.count_documents(early, **most)
                + await current.count_documents(replaced, **most)
                + await history.count_documents(replaced, **most)
            )
        past = condition
        if selection.type is not None and selection.id is not None:
            head = await current.find_one({"_id": identity(selection.type, selection.id)})
            past = conjunction(condition, {"version": {"$lt": head["version"] if head else 0}})
        return await current.count_documents(condition, **most) + await history.count_documents(
            past, **most
        )

    async def newest(self, types: Iterable[str]) -> int:
        """The place of the newest commit of a resource of these types; 0 if there is none."""
        condition = {"type": {"$in": list(types)}, "seq": {"$gt": 0}}
        newest = await self._connection.current.find_one(
            condition, {"_id": 0, "seq": 1}, sort=[("seq", -1)]
        )
        return int(newest["seq"]) if newest else 0

    async def changes(
        self, after: int, types: Collection[str] | None = None
    ) -> AsyncIterator[Version]:
        """Every version (of `types`) with seq > `after`, up to what is settled now."""
        settled = await self._sequence.settled()
        while after < settled:
            condition: dict[str, Any] = {"seq": {"$gt": after, "$lte": settled}}
            if types is not None:
                condition["type"] = {"$in": list(types)}
            found: dict[int, Document] = {}
            for collection in (self._connection.current, self._connection.history):
                documents = collection.find(condition, ONLY_VERSION, sort=[("seq", 1)], limit=_FEED)
                async for document in documents:
                    found.setdefault(int(document["seq"]), document)
            batch = [found[seq] for seq in sorted(found)[:_FEED]]
            await fetch_chunks(self._connection, batch)
            for document in batch:
                yield version_of(document)
            if len(batch) < _FEED:
                return
            after = int(batch[-1]["seq"])


def _version_key(document: Document) -> tuple[str, int]:
    return identity(document["type"], document["id"]), document["version"]
