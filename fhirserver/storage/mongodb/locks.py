"""Locks that hold across servers: a document whose `_id` only one can insert.

**Selections.** A commit with `Selects` preconditions inserts one document per normalised query,
looks whether each precondition holds, writes, and deletes the documents again. Of many that have
the same query one at a time goes on. A holder that died is recognised by its term, and the next
takes over. *Fencing*: the lock names the resources its holder is about to write, and who takes
over first raises the `fence` of each (of a resource that does not exist, by inserting an empty
document in its place). The holder read the fence before it inserted the lock and writes only where
it is unchanged, so after a takeover its write cannot succeed, however late it comes; and what it
wrote before, the next holder sees. Clocks decide only when a takeover is tried, never whether it
is safe.

**Writes.** On a server whose updates are not atomic (`Dialect`), one lease around each batch of
writes makes them so.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from weakref import WeakValueDictionary

from pymongo.errors import DuplicateKeyError

from fhirserver.search.expression import All, AnyOf, Expression, Not, Query
from fhirserver.storage.mongodb.connection import Connection, Document

#: How long a holder may take; after that the next takes over.
TERM = timedelta(seconds=10)
#: How long to wait for a lock, in seconds.
PATIENCE = 20.0

_WRITES = "writes"


def lock_name(query: Query) -> str:
    """The same for two queries that differ only in the order of their parts, or in how their
    results are paged."""
    text = repr((sorted(query.types), _normal(query.where)))
    return "selects/" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _normal(expression: Expression) -> object:
    match expression:
        case All(parts) | AnyOf(parts):
            if len(parts) == 1:
                return _normal(parts[0])
            return (type(expression).__name__, sorted(repr(_normal(part)) for part in parts))
        case Not(part):
            return ("Not", _normal(part))
        case _:
            return expression


class Locks:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._local: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def _local_lock(self, name: str) -> asyncio.Lock:
        lock = self._local.get(name)
        if lock is None:
            lock = self._local[name] = asyncio.Lock()
        return lock

    @asynccontextmanager
    async def selections(self, names: Iterable[str], targets: list[str]) -> AsyncIterator[None]:
        """Hold the locks `names` while about to write the documents `targets`."""
        async with AsyncExitStack() as stack:
            # In order, so that two holders never wait for each other.
            for name in sorted(set(names)):
                await stack.enter_async_context(self._held(name, targets))
            yield

    @asynccontextmanager
    async def writes(self) -> AsyncIterator[None]:
        """Write alone, where the server's updates are not atomic."""
        if self._connection.dialect.atomic_updates:
            yield
            return
        async with self._held(_WRITES, []):
            yield

    @asynccontextmanager
    async def _held(self, name: str, targets: list[str]) -> AsyncIterator[None]:
        local = self._local_lock(name)
        async with local:
            token = await self._acquire(name, targets)
            try:
                yield
            finally:
                await self._connection.locks.delete_one({"_id": name, "token": token})

    async def _acquire(self, name: str, targets: list[str]) -> str:
        token = secrets.token_hex(12)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        pause = 0.002
        while True:
            try:
                await self._connection.locks.insert_one(
                    {
                        "_id": name,
                        "token": token,
                        "targets": targets,
                        "until": datetime.now(UTC) + TERM,
                    }
                )
                return token
            except DuplicateKeyError:
                pass
            held = await self._connection.locks.find_one({"_id": name})
            if held is not None and held["until"] < datetime.now(UTC):
                await self.take_over(held)
                continue
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"the lock {name} was not free within {PATIENCE:g} s")
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 0.1)

    async def take_over(self, held: Document) -> None:
        """Make sure that the holder of an expired lock writes nothing more, and remove it."""
        if held["targets"]:
            async with self.writes():
                for target in held["targets"]:
                    await self._fence(target)
        await self._connection.locks.delete_one({"_id": held["_id"], "token": held["token"]})

    async def _fence(self, target: str) -> None:
        current = self._connection.current
        raised = await current.update_one({"_id": target}, {"$inc": {"fence": 1}})
        if raised.matched_count:
            return
        type, _, id = target.partition("/")
        try:
            await current.insert_one(
                {"_id": target, "type": type, "id": id, "version": 0, "deleted": True, "fence": 1}
            )
        except DuplicateKeyError:
            await current.update_one({"_id": target}, {"$inc": {"fence": 1}})

    async def sweep(self) -> None:
        """Take over every lock that is past its term."""
        async for held in self._connection.locks.find({"until": {"$lt": datetime.now(UTC)}}):
            await self.take_over(held)
