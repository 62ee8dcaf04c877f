from __future__ import annotations

import asyncio
import gc
import time
import warnings

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from fhirserver.storage.mongodb import MongoStore
from fhirserver.storage.mongodb.connection import Connection, topology_of
from fhirserver.storage.mongodb.dialect import FERRETDB_1, MONGODB, dialect_of


async def test_server_that_is_away_is_a_connection_error_soon():
    store = MongoStore("mongodb://127.0.0.1:1/")
    start = time.monotonic()
    with pytest.raises(ConnectionError):
        await store.open()
    assert time.monotonic() - start < 8
    await store.close()


async def test_server_that_does_not_answer_is_a_timeout():
    ended = []

    async def silent(reader, writer):
        ended.append(asyncio.current_task())
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = MongoStore(f"mongodb://127.0.0.1:{port}/?timeoutMS=300")
        with pytest.raises((TimeoutError, ConnectionError)):
            await store.open()
        await store.close()
        await asyncio.gather(*ended)
    with warnings.catch_warnings():
        # The driver leaves a socket whose handshake it gave up to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("mongodb://h:1", "fhirserver"),
        ("mongodb://h:1/", "fhirserver"),
        ("mongodb://h:1/x", "x"),
        ("mongodb://h:1,i:2/y?replicaSet=r", "y"),
    ],
)
def test_database_is_named_by_the_url(url, name):
    assert Connection(url).database_name == name


def test_making_a_store_starts_nothing():
    """So that it can be made before a fork."""
    store = MongoStore("mongodb://127.0.0.1:1/x")
    assert not store.capabilities.transactions
    assert store._connection._client is None


def test_topology_is_read_from_hello():
    assert topology_of({"setName": "rs0"}) == "replica set"
    assert topology_of({"msg": "isdbgrid"}) == "sharded cluster"
    assert topology_of({"isWritablePrimary": True}) == "standalone"


def test_dialect_is_read_from_build_info():
    assert dialect_of({"version": "7.0.42", "ferretdbVersion": "v1.24.2"}) is FERRETDB_1
    assert dialect_of({"version": "7.0.42"}) is MONGODB


async def test_server_that_only_claims_transactions_is_found_out(store):
    """FerretDB can be told to claim that it is a replica set."""
    store._connection.topology = "replica set"
    assert "refuses transactions" in await store._connection.transactions_missing()


async def test_server_that_undoes_nothing_is_found_out(store, monkeypatch, database):
    """FerretDB takes some commands of a transaction and carries them out at once."""
    connection = store._connection
    connection.topology = "replica set"
    insert_one = AsyncCollection.insert_one
    monkeypatch.setattr(
        AsyncCollection,
        "insert_one",
        lambda collection, document, session: insert_one(collection, document),
    )
    assert "does not undo" in await connection.transactions_missing()
    assert await database.state.count_documents({}) == 0
