"""The MongoDB engine for the contract suite.

The server is the one whose URL is in FHIRSERVER_TEST_MONGODB (`.ci/ferretdb start` prints one);
every store gets a database of its own on it, dropped afterwards.
"""

from __future__ import annotations

import os
import secrets

from pymongo import AsyncMongoClient

from fhirserver.storage.mongodb import MongoStore

NAME = "mongodb"
VARIABLE = "FHIRSERVER_TEST_MONGODB"


def unavailable() -> str | None:
    """Why this engine cannot be tested here; None when it can."""
    if os.environ.get(VARIABLE):
        return None
    return f"no MongoDB-wire server: {VARIABLE} is not set (start one with .ci/ferretdb start)"


def new_url() -> str:
    """The URL of a database that nobody else uses."""
    server, _, rest = os.environ[VARIABLE].partition("://")[2].partition("/")
    _, question, options = rest.partition("?")
    return f"mongodb://{server}/contract_{secrets.token_hex(6)}{question}{options}"


def new_store(url: str | None = None) -> MongoStore:
    """A store, not yet open; `url` of an earlier one gives its database again."""
    return MongoStore(url or new_url())


async def drop(url: str) -> None:
    """Remove the database of a store."""
    async with AsyncMongoClient(url, serverSelectionTimeoutMS=5000) as client:
        await client.drop_database(client.get_default_database().name)
