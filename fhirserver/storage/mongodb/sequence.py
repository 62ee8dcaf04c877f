"""The order of commits: a number for each version, and how far the order is settled.

Numbers are taken from one counter document before the write, so a higher number can become
visible before a lower one. A follower that went on past the gap would miss the lower. Therefore
whoever takes numbers leaves, in the same atomic step, a reservation in the counter document: a
number below all that it took. Followers read the counter document and go only up to the lowest
reservation; once the versions are written the reservation is taken away.

A reservation has a term, so that a writer that died stalls nobody for long. A writer that comes
back after its term finds its reservation gone, and gives its versions new numbers (`write.py`):
followers see them then, perhaps a second time, but never not at all.

The counter also carries the time of the last commit, so that times follow the order of commits
on however many machines the writers run.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Int64
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from fhirserver.storage.mongodb.connection import Connection, Document

#: How long a reservation stands.
TERM = timedelta(seconds=60)
#: How long a follower waits for reservations that it found.
PATIENCE = 2.0

_ID = "commits"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Numbers `first` to `last`, and the time of the commit in microseconds."""

    slot: str
    first: int
    last: int
    updated: int


class Sequence:
    """The counter document, as one store uses it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._writer = secrets.token_hex(6)
        self._slots = 0
        self._known = 0  # a number the counter has passed
        self._mark: int | None = None
        self._release: set[asyncio.Task[bool]] = set()

    async def open(self) -> None:
        counters = self._connection.counters
        document = await counters.find_one({"_id": _ID})
        if document is None:
            try:
                await counters.insert_one(
                    {"_id": _ID, "last": Int64(0), "time": Int64(0), "open": {}}
                )
            except DuplicateKeyError:
                document = await counters.find_one({"_id": _ID})
        self._known = int(document["last"]) if document else 0

    async def quiet(self) -> int | None:
        """The last number taken, when all up to it are written; None while some are not."""
        document = await self._connection.counters.find_one({"_id": _ID})
        if document is None or document.get("open"):
            return None
        return int(document["last"])

    async def reserve(self, count: int, now: int) -> Reservation:
        """Take `count` numbers at the time `now` (microseconds; kept in whole milliseconds)."""
        self._mark = None
        self._slots += 1
        slot = f"{self._writer}-{self._slots}"
        after = await self._connection.counters.find_one_and_update(
            {"_id": _ID},
            {
                "$inc": {"last": Int64(count)},
                "$max": {"time": Int64(now // 1000 * 1000)},
                "$set": {
                    f"open.{slot}": {
                        "below": Int64(self._known),
                        "until": datetime.now(UTC) + TERM,
                    }
                },
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert after is not None  # upsert
        last = int(after["last"])
        self._known = max(self._known, last)
        return Reservation(slot, last - count + 1, last, int(after["time"]))

    async def release(self, reservation: Reservation) -> bool:
        """The versions are written, or never will be. False: the term was over, and followers
        may have passed these numbers."""
        field = f"open.{reservation.slot}"
        result = await self._connection.counters.update_one(
            {"_id": _ID, field: {"$exists": True}}, {"$unset": {field: ""}}
        )
        return result.matched_count == 1

    async def mark(self) -> int | None:
        """The number of the newest commit, if nobody was writing when it was read; from memory,
        if this store has not written since. Whoever finds the same with `look` after reading knows
        that nothing was committed in between."""
        return await self.look() if self._mark is None else self._mark

    async def look(self) -> int | None:
        """The number of the newest commit, or None while someone is writing."""
        document = await self._connection.counters.find_one({"_id": _ID}) or {}
        self._mark = None if document.get("open") else int(document.get("last", 0))
        return self._mark

    async def settled(self) -> int:
        """The number up to which every commit is visible now or never will be."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        pause = 0.001
        wanted: int | None = None
        while True:
            document = await self._connection.counters.find_one({"_id": _ID}) or {}
            last = int(document.get("last", 0))
            wanted = last if wanted is None else wanted
            reservations = document.get("open") or {}
            below = [int(r["below"]) for r in reservations.values()]
            settled = min([last, *below])
            if settled >= wanted or asyncio.get_running_loop().time() > deadline:
                return min(settled, wanted)
            if await self._end_expired(reservations):
                continue
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)

    async def _end_expired(self, reservations: dict[str, Any]) -> bool:
        """Take away what is past its term; whether anything was."""
        ended = False
        for slot, reservation in reservations.items():
            if reservation["until"] < datetime.now(UTC):
                await self._connection.counters.update_one(
                    {"_id": _ID, f"open.{slot}.until": reservation["until"]},
                    {"$unset": {f"open.{slot}": ""}},
                )
                ended = True
        return ended

    async def stuck(self) -> list[Document]:
        """Reservations past their term, for the operator."""
        document = await self._connection.counters.find_one({"_id": _ID}) or {}
        now = datetime.now(UTC)
        return [r for r in (document.get("open") or {}).values() if r["until"] < now]
