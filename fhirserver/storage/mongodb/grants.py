"""Grants in MongoDB: one document each, named by kind and key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bson import Binary
from pymongo.errors import DuplicateKeyError

from fhirserver.storage.interface import Grant
from fhirserver.storage.mongodb.connection import Collection, Connection, Document, put_document
from fhirserver.storage.mongodb.locks import Locks

HANDLES = ("kind", "key", "family", "client", "patient")


class Grants:
    def __init__(self, connection: Connection, locks: Locks, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._locks = locks
        self._clock = clock

    @property
    def _grants(self) -> Collection:
        return self._connection.database["grants"]

    async def put(self, grant: Grant) -> None:
        async with self._locks.writes():
            await put_document(self._grants, _id(grant), _document(grant))

    async def add(self, grant: Grant) -> bool:
        await self._grants.delete_one({"_id": _id(grant), "expires": {"$lte": self._clock()}})
        try:
            await self._grants.insert_one({"_id": _id(grant), **_document(grant)})
        except DuplicateKeyError:
            return False
        return True

    async def get(self, kind: str, key: str) -> Grant | None:
        document = await self._grants.find_one({"_id": f"{kind}/{key}"})
        return None if document is None else self._living(document)

    async def take(self, kind: str, key: str) -> Grant | None:
        async with self._locks.writes():
            document = await self._grants.find_one_and_delete({"_id": f"{kind}/{key}"})
        return None if document is None else self._living(document)

    async def swap(self, held: Grant, new: Grant) -> bool:
        unchanged = {
            "_id": _id(held),
            "value": Binary(held.value),
            "expires": {"$gt": self._clock()},
        }
        async with self._locks.writes():
            result = await self._grants.update_one(unchanged, {"$set": _document(new)})
        return result.matched_count > 0

    async def listed(self, kind: str) -> list[Grant]:
        documents = await self._grants.find(
            {"kind": kind, "expires": {"$gt": self._clock()}}, sort=[("key", 1)]
        ).to_list()
        return [_grant(document) for document in documents]

    async def drop(self, handles: Mapping[str, str]) -> int:
        given = {name: handles[name] for name in HANDLES if handles.get(name)}
        if not given:
            raise ValueError("at least one handle has to be given")
        result = await self._grants.delete_many(given)
        return result.deleted_count

    async def purge(self) -> int:
        result = await self._grants.delete_many({"expires": {"$lte": self._clock()}})
        return result.deleted_count

    def _living(self, document: Document) -> Grant | None:
        return _grant(document) if document["expires"] > self._clock() else None


def _id(grant: Grant) -> str:
    return f"{grant.kind}/{grant.key}"


def _document(grant: Grant) -> Document:
    return {
        "kind": grant.kind,
        "key": grant.key,
        "value": Binary(grant.value),
        "expires": grant.expires,
        "family": grant.family,
        "client": grant.client,
        "patient": grant.patient,
    }


def _grant(document: Document) -> Grant:
    return Grant(
        document["kind"],
        document["key"],
        bytes(document["value"]),
        document["expires"],
        document["family"],
        document["client"],
        document["patient"],
    )
