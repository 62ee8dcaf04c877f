"""Connections to the database file, and the limits a statement runs under."""

from __future__ import annotations

from time import monotonic
from typing import Any

import apsw

from fhirserver.search.types.position import great_circle

#: How long a statement waits for another process's write transaction.
BUSY_MILLISECONDS = 20_000
#: Virtual machine steps between two looks at the clock (some tens of microseconds).
STEPS = 2_000


def connect(path: str, *, writer: bool = False, cache_kib: int = 32_768) -> apsw.Connection:
    connection = apsw.Connection(path, statementcachesize=512)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("cache_size", -cache_kib)
    # Without it a statement is prepared anew at each call, for the statistics (STAT4) of the
    # values it binds: half the time of a search. `compile.py` fixes the plan anyway.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.pragma("temp_store", "memory")
    connection.pragma("wal_autocheckpoint", 0)
    # Hostile SQL never arrives here, but a damaged file might carry triggers or views.
    connection.pragma("trusted_schema", 0)
    connection.create_scalar_function("great_circle", _metres, 4, deterministic=True)
    if writer:
        # What is replaced or erased is overwritten in the file, not only let go of.
        connection.pragma("secure_delete", True)
    else:
        connection.pragma("query_only", 1)
    return connection


def _metres(*degrees: Any) -> float:
    return great_circle(*degrees)


class Budget:
    """Interrupts a connection's statement when its time is up.

    `with budget(seconds):` raises apsw.InterruptError from the statement that runs too long.
    """

    __slots__ = ("_deadline",)

    def __init__(self, connection: apsw.Connection) -> None:
        self._deadline = 0.0
        connection.set_progress_handler(self._over, STEPS)

    def _over(self) -> bool:
        return self._deadline != 0.0 and monotonic() > self._deadline

    def start(self, seconds: float) -> None:
        self._deadline = monotonic() + seconds

    def stop(self) -> None:
        self._deadline = 0.0
