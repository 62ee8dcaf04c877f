"""A connection with transactions, for the tests of `transaction.py`: no server here has them.

Its collections take `session` and carry commands out at once; aborting a session puts back what
was there when its transaction started. It holds for one transaction at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymongo.errors import OperationFailure

from fhirserver.storage.mongodb.connection import Connection

TRANSACTIONAL = ("resources", "locks", "state")


def labelled(label: str) -> OperationFailure:
    return OperationFailure("as the test wants", 1, {"errorLabels": [label]})


class Session:
    def __init__(self, connection: TransactionalConnection) -> None:
        self._connection = connection
        self._before: dict[str, list[Any]] | None = None

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._before is not None:
            await self.abort_transaction()

    async def start_transaction(self, **options: Any) -> None:
        self._connection.log.append("start")
        self._before = {
            name: await self._connection.real(name).find().to_list() for name in TRANSACTIONAL
        }

    async def commit_transaction(self) -> None:
        self._connection.log.append("commit")
        self._connection.fail("commit")
        self._before = None

    async def abort_transaction(self) -> None:
        self._connection.log.append("abort")
        before, self._before = self._before, None
        for name, documents in (before or {}).items():
            await self._connection.real(name).delete_many({})
            if documents:
                await self._connection.real(name).insert_many(documents)


class _Collection:
    def __init__(self, connection: TransactionalConnection, name: str) -> None:
        self._connection, self._name = connection, name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, session: Any = None, **options: Any) -> Any:
            if session is not None:
                self._connection.fail(f"{self._name}.{method}")
            return getattr(self._connection.real(self._name), method)(*arguments, **options)

        return call


class _Database:
    def __init__(self, connection: TransactionalConnection) -> None:
        self._connection = connection

    def __getitem__(self, name: str) -> _Collection:
        return _Collection(self._connection, name)


class _Client:
    def __init__(self, connection: TransactionalConnection) -> None:
        self._connection = connection

    def start_session(self) -> Session:
        return Session(self._connection)


class TransactionalConnection(Connection):
    """`failures`: errors to raise, by what is called within a transaction."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.log: list[str] = []
        self.failures: dict[str, list[Exception]] = {}

    async def connect(self) -> None:
        await super().connect()
        self.topology = "replica set"

    def fail(self, what: str) -> None:
        if self.failures.get(what):
            raise self.failures[what].pop(0)

    def real(self, name: str) -> Any:
        assert self._client is not None
        return self._client[self.database_name][name]

    @property
    def database(self) -> Any:
        return _Database(self)

    @property
    def client(self) -> Any:
        return _Client(self) if self._client is not None else super().client
