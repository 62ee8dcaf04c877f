"""The connection to the server: made in the running event loop, bounded in time, its errors
in the words of `storage/interface.py`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
    WTimeoutError,
)
from pymongo.uri_parser import parse_uri

from fhirserver.storage.mongodb.dialect import MONGODB, Dialect, dialect_of

Document = dict[str, Any]
Collection = AsyncCollection[Document]

DEFAULT_DATABASE = "fhirserver"

#: Bounds of every wait, in milliseconds; the URL's own options go before.
_LIMITS: dict[str, Any] = {
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "timeoutMS": 15_000,
}


_TRIES = 10  # a document that others remove and write all the time


async def put_document(collection: Collection, id: str, document: Document) -> None:
    """Write a document in place of one of that id. Of two that find none both insert, and one is
    told of a duplicate: it comes again, and replaces."""
    for tried in range(1, _TRIES + 1):
        try:
            await collection.replace_one({"_id": id}, document, upsert=True)
        except DuplicateKeyError:
            if tried == _TRIES:
                raise
        else:
            return


@contextmanager
def reaching() -> Iterator[None]:
    """Turn the driver's errors into TimeoutError and ConnectionError."""
    try:
        yield
    except (ExecutionTimeout, NetworkTimeout, WTimeoutError, WaitQueueTimeoutError) as error:
        raise TimeoutError(f"MongoDB did not answer in time: {error}") from error
    except ConnectionFailure as error:
        raise ConnectionError(f"MongoDB cannot be reached: {error}") from error
    except PyMongoError as error:
        if error.timeout:
            raise TimeoutError(f"MongoDB did not answer in time: {error}") from error
        raise


class Connection:
    """One client, the database of the URL, its collections, and what the server is."""

    def __init__(self, url: str) -> None:
        self.url = url
        options = parse_uri(url, validate=True, warn=False)
        self.database_name: str = options["database"] or DEFAULT_DATABASE
        given = {name.lower() for name in options["options"]}
        self._limits = {k: v for k, v in _LIMITS.items() if k.lower() not in given}
        #: How long to wait for the first answer, in seconds.
        self._first_answer = options["options"].get("timeoutms", 5.0)
        self._client: AsyncMongoClient[Document] | None = None
        self.dialect: Dialect = MONGODB
        self.version: tuple[int, ...] = ()
        self.topology = "unknown"

    async def connect(self) -> None:
        """Connect and learn what the server is."""
        await self.close()
        self._client = AsyncMongoClient(
            self.url, tz_aware=True, appname="fhirserver", **self._limits
        )
        try:
            # Reads are tried again until their time is over: less of it, to tell soon.
            with reaching(), pymongo.timeout(self._first_answer):
                info = await self._client.admin.command("buildInfo")
                hello = await self._client.admin.command("hello")
        except BaseException:
            await self.close()
            raise
        self.dialect = dialect_of(info)
        self.version = tuple(int(part) for part in info.get("versionArray", ())[:3])
        self.topology = topology_of(hello)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def client(self) -> AsyncMongoClient[Document]:
        if self._client is None:
            raise RuntimeError("the store is not open")
        return self._client

    @property
    def database(self) -> AsyncDatabase[Document]:
        # What is acknowledged is on the disks of a majority; what is read comes from the primary.
        return self.client.get_database(
            self.database_name,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", j=True),
        )

    @property
    def current(self) -> Collection:
        return self.database["resources"]

    @property
    def history(self) -> Collection:
        return self.database["history"]

    @property
    def chunks(self) -> Collection:
        return self.database["chunks"]

    @property
    def counters(self) -> Collection:
        return self.database["counters"]

    @property
    def locks(self) -> Collection:
        return self.database["locks"]

    @property
    def state(self) -> Collection:
        return self.database["state"]

    async def transactions_missing(self) -> str:
        """Why the server has no multi-document transactions; "" when it has.

        A replica set or a mongos should have them. A write that is aborted tells: some servers
        that speak MongoDB's protocol take a transaction's commands without making one.
        """
        if self.topology == "standalone":
            return (
                f"{self.dialect.name} runs as a standalone server; transactions need a replica "
                "set or a sharded cluster"
            )
        probe = {"_id": f"transactions/{secrets.token_hex(12)}"}
        try:
            async with self.client.start_session() as session:
                await session.start_transaction()
                try:
                    await self.state.insert_one(dict(probe), session=session)
                finally:
                    await session.abort_transaction()
        except OperationFailure as error:
            return f"the server refuses transactions: {error}"
        if (await self.state.delete_one(probe)).deleted_count:
            return "the server does not undo what an aborted transaction wrote"
        return ""


def topology_of(hello: Mapping[str, Any]) -> str:
    if hello.get("msg") == "isdbgrid":
        return "sharded cluster"
    return "replica set" if hello.get("setName") else "standalone"
