"""A store that keeps everything in memory and follows the contract by the plainest means:
searches by `search/evaluate.py`, one commit at a time."""

from __future__ import annotations

import asyncio
import time

from fhirserver.model import dates
from fhirserver.model.version import ABSENT, Page, Version
from fhirserver.search.evaluate import Candidate, Resources, matches, sort_key
from fhirserver.storage.interface import (
    Capabilities,
    InvalidCursor,
    SelectionChanged,
    TransactionsUnavailable,
    VersionConflict,
)


class MemoryStore:
    def __init__(self, *, transactions=True, reason="the memory store was told so", wait=True):
        self.capabilities = Capabilities(transactions, "" if transactions else reason)
        self.versions: list[Version] = []
        self.current: dict[tuple[str, str], list[Version]] = {}
        self.entries: dict[tuple[str, str], list] = {}
        self.keys: dict[tuple[str, str], int] = {}
        self.state: dict[str, bytes] = {}
        self.wait = wait
        self.commits = 0
        self._last = 0

    async def _pause(self):
        if self.wait:
            await asyncio.sleep(0)

    async def open(self): ...

    async def close(self): ...

    async def check(self):
        return []

    async def read(self, type, id):
        await self._pause()
        found = self.current.get((type, id))
        return found[-1] if found else None

    async def vread(self, type, id, version):
        await self._pause()
        return next((v for v in self.current.get((type, id), []) if v.version == version), None)

    async def read_many(self, identities):
        await self._pause()
        found = [self.current[i][-1] for i in dict.fromkeys(identities) if i in self.current]
        return [v for v in found if not v.deleted]

    def _select(self, query):
        resources = Resources(
            Candidate(t, i, vs[-1].updated, self.entries[t, i], self.keys[t, i])
            for (t, i), vs in self.current.items()
            if not vs[-1].deleted
        )
        found = [
            c
            for c in resources
            if (not query.types or c.type in query.types) and matches(query.where, c, resources)
        ]
        found.sort(key=lambda c: sort_key(query.sort, c))
        return found

    async def search(self, query):
        await self._pause()
        found = self._select(query)
        if query.after is not None:
            try:
                key = int(query.after)
            except ValueError:
                raise InvalidCursor from None
            places = [n for n, c in enumerate(found) if c.key == key]
            if places:
                found = found[places[0] + 1 :]
            elif key in self.keys.values() and not query.sort:
                found = [c for c in found if c.key > key]  # it is deleted, or selected no more
            else:
                raise InvalidCursor
        page = found[: query.count]
        more = query.count and len(found) > query.count
        return Page(
            [self.current[c.type, c.id][-1] for c in page], str(page[-1].key) if more else None
        )

    async def count(self, query, limit=None):
        await self._pause()
        found = len(self._select(query))
        return found if limit is None else min(found, limit)

    def _history(self, selection):
        found = []
        for version in reversed(self.versions):
            if selection.type is not None and version.type != selection.type:
                continue
            if selection.id is not None and version.id != selection.id:
                continue
            if selection.types and version.type not in selection.types:
                continue
            if selection.since is not None and version.updated < selection.since:
                continue
            if selection.at is not None:
                low, high = selection.at
                later = [
                    v.updated
                    for v in self.current[version.type, version.id]
                    if v.version == version.version + 1
                ]
                if version.updated >= high or (later and later[0] <= low):
                    continue
            found.append(version)
        return found

    async def history(self, selection):
        await self._pause()
        found = self._history(selection)
        if selection.after is not None:
            if not selection.after.isdigit():
                raise InvalidCursor
            found = [v for v in found if v.seq < int(selection.after)]
        page = found[: selection.count]
        more = selection.count and len(found) > selection.count
        return Page(page, str(page[-1].seq) if more else None)

    async def history_count(self, selection, limit=None):
        return len(self._history(selection))

    async def newest(self, types):
        return max((v.seq for v in self.versions if v.type in types), default=0)

    async def commit(self, changes, selects=(), log=()):
        await self._pause()
        return self._commit(changes, selects)

    def _commit(self, changes, selects):
        if len(changes) > 1 and not self.capabilities.transactions:
            raise TransactionsUnavailable
        identities = [(c.type, c.id) for c in changes]
        assert len(set(identities)) == len(identities)
        for precondition in selects:
            found = {(c.type, c.id) for c in self._select(precondition.query)}
            if found != precondition.ids:
                raise SelectionChanged(precondition)
        for change in changes:
            held = self.current.get((change.type, change.id))
            last = held[-1] if held else None
            number = last.version if last else 0
            gone = last is None or last.deleted
            if (change.expect == ABSENT and not gone) or (
                change.expect > 0 and change.expect != number
            ):
                raise VersionConflict(
                    change.type, change.id, -number if last and last.deleted else number
                )
        self.commits += 1
        now = max(time.time_ns() // 1_000_000 * 1000, self._last)
        self._last = now
        made = []
        for change in changes:
            identity = (change.type, change.id)
            held = self.current.get(identity)
            last = held[-1] if held else None
            if change.content is None and (last is None or last.deleted):
                made.append(last or Version(change.type, change.id, 0, 0, change.method, None))
                continue
            number = last.version + 1 if last else 1
            body = change.content and change.content.stamp(number, dates.instant(now))
            version = Version(
                change.type,
                change.id,
                number,
                now,
                change.method,
                body,
                self.keys.setdefault(identity, len(self.keys) + 1),
                len(self.versions) + 1,
            )
            self.versions.append(version)
            self.current.setdefault(identity, []).append(version)
            self.entries[identity] = list(change.entries)
            made.append(version)
        return made

    async def commit_many(self, units):
        await self._pause()
        outcomes = []
        for changes, selects in units:
            try:
                outcomes.append(self._commit(changes, selects))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    async def settled(self):
        return self.versions[-1].seq if self.versions else 0

    async def changes(self, after=0, types=None):
        for version in [v for v in self.versions if v.seq > after]:
            if types is None or version.type in types:
                yield version

    async def reindex(self, type, after, limit):
        await self._pause()
        found = sorted(
            (vs[-1] for (t, _), vs in self.current.items() if t == type and not vs[-1].deleted),
            key=lambda v: v.key,
        )
        found = [v for v in found if after is None or v.key > after]
        page = found[:limit]
        return page, page[-1].key if len(found) > limit else None

    async def replace_entries(self, items):
        await self._pause()
        replaced = 0
        for version, entries in items:
            identity = (version.type, version.id)
            if self.current[identity][-1].version == version.version:
                self.entries[identity] = list(entries)
                replaced += 1
        return replaced

    async def get_state(self, name):
        return self.state.get(name)

    async def set_state(self, name, value):
        if value is None:
            self.state.pop(name, None)
        else:
            self.state[name] = value


async def stored(engine):
    """Every version an engine holds, in commit order."""
    return [version async for version in engine.changes(0)]
