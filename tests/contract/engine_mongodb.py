"""The MongoDB engine for the contract suite.

The server is the one whose URL is in FHIRSERVER_TEST_MONGODB (`.ci/ferretdb start` prints one);
every store gets a database of its own on it, dropped afterwards.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from pymongo import AsyncMongoClient

from fhirserver.storage.mongodb import MongoStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "mongodb"
VARIABLE = "FHIRSERVER_TEST_MONGODB"


def unavailable() -> str | None:
    """Why this engine cannot be tested here; None when it can."""
    if os.environ.get(VARIABLE):
        return None
    return f"no MongoDB-wire server: {VARIABLE} is not set (start one with .ci/ferretdb start)"


async def create(folder: Path, clock: Callable[[], int] | None = None) -> MongoStore:
    """An open store on a new, empty database. `clock` gives microseconds since 1970."""
    server, _, rest = os.environ[VARIABLE].partition("://")[2].partition("/")
    _, question, options = rest.partition("?")
    name = f"contract_{secrets.token_hex(6)}"
    store = MongoStore(f"mongodb://{server}/{name}{question}{options}", clock=clock)
    await store.open()
    return store


async def again(store: MongoStore) -> MongoStore:
    """Another open store on the database of `store`, as a second process would have it."""
    other = MongoStore(store._connection.url)
    await other.open()
    return other


async def discard(store: MongoStore) -> None:
    """Close the store and drop its database."""
    connection = store._connection
    await store.close()
    async with AsyncMongoClient(connection.url, serverSelectionTimeoutMS=5000) as client:
        await client.drop_database(connection.database_name)
