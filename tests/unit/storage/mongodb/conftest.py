"""A database of its own for each test, on the server that FHIRSERVER_TEST_MONGODB names."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from pymongo import AsyncMongoClient, MongoClient

from fhirserver.storage.mongodb import MongoStore


@pytest.fixture
def server() -> str:
    url = os.environ.get("FHIRSERVER_TEST_MONGODB")
    if not url:
        pytest.skip("FHIRSERVER_TEST_MONGODB is not set (.ci/ferretdb start gives a server)")
    return url.rpartition("/")[0]


@pytest.fixture
def url(server: str) -> Iterator[str]:
    name = f"unit_{secrets.token_hex(6)}"
    yield f"{server}/{name}"
    with MongoClient(server, serverSelectionTimeoutMS=5000) as client:
        client.drop_database(name)


@pytest.fixture
async def store(url: str) -> AsyncIterator[MongoStore]:
    store = MongoStore(url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def database(url: str) -> AsyncIterator[object]:
    """The same database as whoever opens it with MongoDB's tools sees it."""
    async with AsyncMongoClient(url, tz_aware=True) as client:
        yield client.get_default_database()
