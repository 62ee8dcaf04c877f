"""Pages of a search, as of its first page: docs/decisions/0007-snapshot-paging.md.

The engine pages by keyset, which is stable while sort values stay as they are. A cursor of this
module carries more: the commit as of which the first page was read. A resource that has changed
since is taken out of the engine's page and put where it was then, with the content it has now.
So each match of the first page's time that still exists comes exactly once, whatever is written
meanwhile; what was created or began to match later does not come.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from fhirserver.access.past import Past
from fhirserver.access.store import InvalidCursor
from fhirserver.model.json import decode_stored
from fhirserver.search.evaluate import Candidate, sort_key
from fhirserver.search.expression import Identity, Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.search.entries import Entry

#: After more changes to the types searched than this, paging goes on by keyset alone, and is
#: stable again from there.
MOST_CHANGES = 2_000

_OF_RESOURCE = frozenset({"_id", "_lastUpdated"})
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Found:
    """A page, the cursor of the next, and the commit as of which it stands (0: not known)."""

    versions: list[Version]
    next: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins. `after`: the engine's cursor; `last`: the version by which the last
    resource shown was placed; `behind`: the engine's cursor lies before that."""

    seq: int
    last: tuple[str, str, int] | None = None
    behind: bool = False
    after: str | None = None


async def read_page(ctx: Context, query: Query) -> Found:
    """The page of `query` at its cursor. Raises InvalidCursor."""
    if query.after is not None:
        place = _read(query, query.after)
    else:
        page = await ctx.store.search(query)
        if page.next is None:
            return Found(page.versions, None, page.seq)
        if page.seq:
            place = _Place(page.seq, _placed(page.versions[-1]), after=page.next)
            return Found(page.versions, _write(query, place), page.seq)
        # The engine cannot tell as of when it read, so look once more as of a known commit.
        place = _Place(await Past(ctx.store, query, ctx.indexer.entries).latest())
    return await _Reader(ctx, query, place).page()


def start_at(query: Query, seq: int) -> str:
    """The cursor of the first page of `query` as of commit `seq`."""
    return _write(query, _Place(seq))


class _Reader:
    def __init__(self, ctx: Context, query: Query, place: _Place) -> None:
        self.ctx, self.query, self.place = ctx, query, place
        self.past = Past(ctx.store, query, ctx.indexer.entries)
        self.position: tuple[Any, ...] | None = None
        self.seq = place.seq
        self.after = place.after  # the engine's cursor, as far as it was read
        self.ended = False

    async def page(self) -> Found:
        if self.place.behind:
            await self._find_position()
        # First the engine, then what has changed: a change in between is then seen, not lost.
        rows, newest = await self._rows()
        changed: list[Version] | None = []
        if not self.seq:
            self.seq = newest
        elif newest != self.seq:
            changed = await self.past.selected(self.seq, MOST_CHANGES)
            if changed is None:
                self.seq, self.after, self.ended = 0, self.place.after, False
                rows, self.seq = await self._rows()
        if not changed:
            return self._close(rows, [(version, version) for _, version in rows])
        return await self._merge(rows, changed)

    async def _find_position(self) -> None:
        if self.place.last is not None and self.position is None:
            version = await self.past.version(*self.place.last)
            if version is not None:
                self.position = self._key(version)

    def _key(self, version: Version) -> tuple[Any, ...]:
        sort = self.query.sort
        entries: list[Entry] = []
        if any(key.param not in _OF_RESOURCE for key in sort):
            entries = self.ctx.indexer.entries(decode_stored(version.content or b""))
        candidate = Candidate(version.type, version.id, version.updated, entries, version.key)
        return sort_key(sort, candidate)

    async def _rows(self) -> tuple[list[tuple[str | None, Version]], int]:
        """Enough of the resources that are as they were, each with the engine's cursor of the
        chunk it came in; and the commit as of which the engine was read."""
        rows: list[tuple[str | None, Version]] = []
        while True:
            chunk = await self.ctx.store.search(replace(self.query, after=self.after))
            for version in chunk.versions:
                if self.seq and version.seq > self.seq:
                    continue
                if self.position is not None and self._key(version) <= self.position:
                    continue
                rows.append((self.after, version))
            if chunk.next is None:
                self.ended = True
                return rows, chunk.seq
            if len(rows) >= self.query.count:
                self.after = chunk.next
                return rows, chunk.seq
            self.after = chunk.next

    async def _merge(self, rows: list[tuple[str | None, Version]], changed: list[Version]) -> Found:
        await self._find_position()
        if self.place.last is not None and self.position is None:
            changed = []  # the place where they would stand is hidden from this caller by now
        placed = [(self._key(version), version) for version in changed]
        position = self.position
        # What changed after the engine was read stands among the rows still.
        here = {(version.type, version.id) for _, version in rows}
        waiting = [
            (key, version)
            for key, version in placed
            if (version.type, version.id) not in here and (position is None or key > position)
        ]
        waiting.sort(key=lambda one: one[0], reverse=True)
        # What is shown, and the version by which it is placed.
        shown: list[tuple[Version, Version]] = []
        next_row = 0
        while len(shown) < self.query.count and (waiting or next_row < len(rows)):
            row = rows[next_row][1] if next_row < len(rows) else None
            if waiting and (row is None or waiting[-1][0] < self._key(row)):
                before = waiting.pop()[1]
                current = await self._current(before)
                if current is not None:
                    shown.append((current, before))
            elif row is not None:
                shown.append((row, row))
                next_row += 1
        return self._close(rows, shown, next_row, bool(waiting))

    async def _current(self, before: Version) -> Version | None:
        """As it is now, if it still exists and is permitted."""
        query = Query((before.type,), Identity((before.id,)), count=1)
        found = (await self.ctx.store.search(query)).versions
        return found[0] if found else None

    def _close(
        self,
        rows: list[tuple[str | None, Version]],
        shown: list[tuple[Version, Version]],
        next_row: int | None = None,
        waiting: bool = False,
    ) -> Found:
        count = self.query.count
        shown = shown[:count]
        if next_row is None:
            next_row = len(shown)
        versions = [version for version, _ in shown]
        if next_row < len(rows):
            place = _Place(self.seq, behind=True, after=rows[next_row][0])
        elif not self.ended:
            place = _Place(self.seq, after=self.after)
        elif waiting:
            place = _Place(self.seq, behind=True, after=self.after)
        else:
            return Found(versions, None, self.seq)
        last = _placed(shown[-1][1]) if shown else self.place.last
        return Found(versions, _write(self.query, replace(place, last=last)), self.seq)


# --- the cursor's text ----------------------------------------------------------------------


def _placed(version: Version) -> tuple[str, str, int]:
    return version.type, version.id, version.version


def _write(query: Query, place: _Place) -> str:
    last = "~".join(map(str, place.last)) if place.last else "~~"
    # The engine's own cursor is bound to its query; where there is none, this one is.
    after = f".{_name(query)}" if place.after is None else place.after
    return f"{place.seq}~{last}~{'b' if place.behind else ''}~{after}"


def _read(query: Query, cursor: str) -> _Place:
    parts = cursor.split("~", 5)
    if len(parts) != 6:
        raise InvalidCursor("not a cursor of this server")
    seq, type, id, version, behind, after = parts
    named = bool(type and id)
    if not (_number(seq) and behind in ("", "b") and _number(version) is named and after):
        raise InvalidCursor("not a cursor of this server")
    if after.startswith(".") and after[1:] != _name(query):
        raise InvalidCursor("a cursor of another search")
    return _Place(
        int(seq),
        (type, id, int(version)) if named else None,
        bool(behind),
        None if after.startswith(".") else after,
    )


def _number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < _LARGEST


def _name(query: Query) -> str:
    text = repr((query.types, query.where, query.sort)).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=9).hexdigest()
