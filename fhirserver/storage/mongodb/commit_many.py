"""Bulk load: many independent units at once; those of one change share round trips."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fhirserver.model.version import Change, Version
from fhirserver.storage.interface import Selects

#: How many units are under way at a time.
_AT_ONCE = 400

Commit = Callable[[Sequence[Change], Sequence[Selects]], Awaitable[list[Version]]]
Unit = tuple[Sequence[Change], Sequence[Selects]]


async def commit_many(commit: Commit, units: Sequence[Unit]) -> list[list[Version] | Exception]:
    """Commit each unit; a unit that fails yields its exception."""

    async def one(unit: Unit) -> list[Version] | Exception:
        try:
            return await commit(*unit)
        except Exception as error:
            return error

    results: list[list[Version] | Exception] = []
    for start in range(0, len(units), _AT_ONCE):
        results += await asyncio.gather(*[one(unit) for unit in units[start : start + _AT_ONCE]])
    return results
