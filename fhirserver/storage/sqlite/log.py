"""The append-only log in SQLite: the records of one commit are one row, in the same transaction
as what they tell of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.storage.chain import Chain
from fhirserver.storage.interface import Block, Head

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

_INSERT = "INSERT INTO log(chain,number,hash,content) VALUES(?,?,?,?)"
_READ = (
    "SELECT chain,number,hash,content FROM log WHERE chain=? AND number>? ORDER BY number LIMIT ?"
)
_NEXT_CHAIN = "SELECT chain FROM log WHERE chain>? ORDER BY chain LIMIT 1"
_LAST = "SELECT chain,number,hash FROM log WHERE chain=? ORDER BY number DESC LIMIT 1"


class Log:
    """The log as the writing thread sees it."""

    def __init__(self) -> None:
        self._chain = Chain()
        self._pending: list[bytes] = []
        self._written = False

    def append(self, records: Sequence[bytes]) -> None:
        """Take records into the transaction under way."""
        self._pending += records

    def flush(self, connection: apsw.Connection) -> None:
        """Write what was taken, before the transaction commits."""
        if self._pending:
            block = self._chain.block(self._pending)
            self._pending = []
            self._written = True
            connection.execute(_INSERT, (block.chain, block.number, block.hash, block.content))

    def committed(self) -> None:
        if self._written:
            self._written = False
            self._chain.kept()

    def forget(self) -> None:
        """The transaction failed; whether its block is on the disk is not known for certain."""
        self._pending = []
        if self._written:
            self._written = False
            self._chain.leave()


def read(connection: apsw.Connection, chain: str, after: int, limit: int) -> list[Block]:
    return [Block(*row) for row in connection.execute(_READ, (chain, after, limit))]


def drop(connection: apsw.Connection, chain: str, through: int) -> int:
    connection.execute("DELETE FROM log WHERE chain=? AND number<=?", (chain, through))
    return connection.changes()


def heads(connection: apsw.Connection) -> list[Head]:
    """From chain to chain by the index: the log itself may be very long."""
    found: list[Head] = []
    chain = ""
    while True:
        following = connection.execute(_NEXT_CHAIN, (chain,)).fetchone()
        if following is None:
            return found
        chain = following[0]
        found += [Head(*row) for row in connection.execute(_LAST, (chain,))]
