"""$everything of a patient or an encounter
(https://hl7.org/fhir/R4/patient-operation-everything.html).

The whole compartment, type by type, then what it references and no compartment of the kind can
hold (practitioners, organizations, medications, locations, the Binaries of documents ...), each
resource once. A cursor says
which type is being read and where in it; what is referenced follows in the order of type and id,
so a page goes on right after the last one whatever is written meanwhile.

On the type it is the everything of each patient one after the other; what several reference
comes with each of them, once on a page.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from fhirserver.errors import Invalid
from fhirserver.interaction.compartment import member_types, within
from fhirserver.interaction.own_cursor import OwnCursor, foreign_cursor
from fhirserver.interaction.read import read
from fhirserver.interaction.search import SearchResult
from fhirserver.model import dates, references
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.model.json import decode_stored
from fhirserver.operation.parameters import given
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Compare,
    Expression,
    Kind,
    Match,
    Not,
    Present,
    Query,
    Updated,
)
from fhirserver.search.parse import Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.operation.call import Call

_OWN_CURSOR = OwnCursor("$everything")
_SCAN = 500  # resources read at once when looking for references
_BINARIES = 4  # Binaries read at once: they can be as large as a request
_PAGE_BYTES = 32 * 1024 * 1024  # after so much of what is referenced a page ends
_RECORDS = 100  # patients looked at for one page, whether they have what is asked for or not
_AT_A_TIME = 50  # resources walked before other requests get their turn
_CARE_DATE: dict[str, str] = msgspec.json.decode(
    files("fhirserver.operation").joinpath("care_date.json").read_bytes()
)["parameters"]


@dataclass(slots=True)
class _Asked:
    types: tuple[str, ...] = ()
    since: int | None = None
    start: int | None = None
    end: int | None = None
    count: int = 0
    cursor: str | None = None
    applied: list[tuple[str, str]] = field(default_factory=list)


async def everything(ctx: Context, call: Call) -> SearchResult:
    """A page of everything. Parameters: `_since`, `_type`, `_count`, and for a patient `start`
    and `end` (dates of care; what has none is always there)."""
    assert call.type is not None
    asked = _read_parameters(ctx, call)
    page = _Page(asked.count)
    following: str | None
    if call.id is None:
        following = await _of_each(ctx, call.type, asked, page)
    else:
        await read(ctx, call.type, call.id)
        following = await _Record(ctx, call.type, call.id, asked).fill(page, asked.cursor)
    search = Search(Query((), count=asked.count), applied=tuple(asked.applied))
    return SearchResult(
        search, list(page.matches.values()), list(page.included.values()), None, following, ()
    )


async def _of_each(ctx: Context, type: str, asked: _Asked, page: _Page) -> str | None:
    """Fill a page with one record after the other; the next place. A place is the cursor that
    leads to the patient and the place in that record, with a `!` between them."""
    after, mark, place = (asked.cursor or "!").rpartition("!")
    if not mark:
        raise foreign_cursor("$everything")
    for _ in range(_RECORDS):
        if not page.room:
            break
        with _OWN_CURSOR:
            found = await ctx.store.search(Query((type,), count=1, after=after or None))
        if not found.versions:
            return None
        record = _Record(ctx, type, found.versions[0].id, asked)
        following = await record.fill(page, place or None)
        if following is not None:
            return f"{after}!{following}"
        if found.next is None:
            return None
        after, place = found.next, ""
    return f"{after}!"


class _Page:
    """What is on a page, each resource once."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._bytes = 0  # of what is included
        self.matches: dict[tuple[str, str], Version] = {}
        self.included: dict[tuple[str, str], Version] = {}

    @property
    def room(self) -> int:
        if self._bytes >= _PAGE_BYTES:
            return 0
        return self._count - len(self.matches) - len(self.included)

    def match(self, versions: Sequence[Version]) -> None:
        for version in versions:
            self.matches.setdefault((version.type, version.id), version)

    def include(self, versions: Sequence[Version]) -> None:
        for version in versions:
            if (version.type, version.id) not in self.matches:
                self._bytes += len(version.content or b"")
                self.included.setdefault((version.type, version.id), version)


class _Record:
    """What one patient or encounter has here."""

    def __init__(self, ctx: Context, name: str, id: str, asked: _Asked) -> None:
        self._ctx = ctx
        self._name = name
        self._id = id
        self._asked = asked
        self._all = member_types(ctx.registry, name)
        self._reached = tuple(t for t in self._all if ctx.store.reaches("s", t))
        self.members = tuple(t for t in self._reached if not asked.types or t in asked.types)
        self._references_asked = not asked.types or any(t not in self._all for t in asked.types)
        self.first = f"{self.members[0]}:" if self.members else "~"

    async def fill(self, page: _Page, place: str | None) -> str | None:
        """Put what follows from `place` on on the page; the next place."""
        following: str | None = place or self.first
        while following is not None and page.room > 0:
            if following.startswith("~"):
                found, following = await self.referenced(following[1:], page.room)
                page.include(found)
            else:
                found, following = await self.held(following, page.room)
                page.match(found)
        return following

    async def held(self, place: str, count: int) -> tuple[list[Version], str | None]:
        """Resources of the compartment from `place` on, all of one type, and the next place."""
        type, colon, cursor = place.partition(":")
        if not colon or type not in self.members:
            raise foreign_cursor("$everything")
        query = Query(
            (type,), self._where(type, self._asked.since), count=count, after=cursor or None
        )
        with _OWN_CURSOR:
            page = await self._ctx.store.search(query)
        if page.next is not None:
            return page.versions, f"{type}:{page.next}"
        following = self.members.index(type) + 1
        if following < len(self.members):
            return page.versions, f"{self.members[following]}:"
        return page.versions, "~"

    async def referenced(self, after: str, count: int) -> tuple[list[Version], str | None]:
        """Resources beside the compartment that it references, in order of type and id."""
        if after and references.parse(after).kind != "literal":
            raise foreign_cursor("$everything")
        if not self._references_asked:
            return [], None
        seen = tuple(after.split("/")) if after else ("", "")
        wanted = sorted(identity for identity in await self._identities() if identity > seen)
        found: list[Version] = []
        place = size = 0
        while place < len(wanted) and len(found) <= count and size < _PAGE_BYTES:
            part = _next_part(wanted, place)
            place += len(part)
            read = [v for v in await self._ctx.store.read_many(part) if self._fits(v)]
            size += sum(len(v.content or b"") for v in read)
            found += sorted(read, key=lambda v: (v.type, v.id))
        page = found[:count]
        more = len(found) > count or (bool(page) and place < len(wanted))
        return page, f"~{page[-1].type}/{page[-1].id}" if more else None

    async def _identities(self) -> set[tuple[str, str]]:
        """What the record references, and what that references in turn."""
        found: set[tuple[str, str]] = set()
        fresh: set[tuple[str, str]] = set()
        for type in self._reached:
            query = Query((type,), self._where(type, None), count=_SCAN)
            while True:
                page = await self._ctx.store.search(query)
                fresh |= await self._references_of(page.versions)
                if page.next is None:
                    break
                query = Query((type,), query.where, count=_SCAN, after=page.next)
        for _ in range(self._ctx.limits.include_rounds):
            fresh -= found
            if not fresh:
                break
            found |= fresh
            # A Binary refers to nothing but the document it belongs to, and may be large.
            small = sorted(identity for identity in fresh if identity[0] != "Binary")
            fresh = await self._references_of(await self._ctx.store.read_many(small))
        return found

    async def _references_of(self, versions: Sequence[Version]) -> set[tuple[str, str]]:
        bases = self._ctx.local_bases
        found = set()
        for number, version in enumerate(versions, 1):
            for link in references.links(decode_stored(version.content or b"{}")):
                if link.type not in ("reference", "url"):
                    continue
                target = references.parse(link.value, bases)
                if link.type == "url" and target.type != "Binary":
                    continue  # of what is at an address, only contents are the record's
                # What a compartment of this kind can hold is here already, or is another's.
                if target.kind == "literal" and target.type not in self._all:
                    found.add((target.type, target.id))
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        return found

    def _fits(self, version: Version) -> bool:
        asked = self._asked
        if asked.types and version.type not in asked.types:
            return False
        return asked.since is None or version.updated >= asked.since

    def _where(self, type: str, since: int | None) -> Expression:
        parts: list[Expression] = [within(self._ctx.registry, self._name, self._id, (type,))]
        asked = self._asked
        if since is not None:
            parts.append(Updated(Compare("low", "ge", since)))
        code = _CARE_DATE.get(type)
        if code is not None and (asked.start is not None or asked.end is not None):
            tests: list[Compare] = []
            if asked.start is not None:
                tests.append(Compare("high", "gt", asked.start))
            if asked.end is not None:
                tests.append(Compare("low", "lt", asked.end))
            undated = Not(Present(code, Kind.DATE))
            parts.append(AnyOf((Match(code, Kind.DATE, Both(tuple(tests))), undated)))
        return parts[0] if len(parts) == 1 else All(tuple(parts))


def _next_part(wanted: Sequence[tuple[str, str]], place: int) -> Sequence[tuple[str, str]]:
    """What is read at once from `place` on: many resources, or a few Binaries."""
    most = _BINARIES if wanted[place][0] == "Binary" else _SCAN
    part = wanted[place : place + most]
    kind = part[0][0] == "Binary"
    return [identity for identity in part if (identity[0] == "Binary") is kind]


def _read_parameters(ctx: Context, call: Call) -> _Asked:
    asked = _Asked(count=ctx.limits.max_count)
    for name, given_value in given(call):
        value = str(given_value)
        match name:
            case "_since":
                asked.since = _interval(name, value)[0]
            case "start" if call.type == "Patient":
                asked.start = _interval(name, value)[0]
            case "end" if call.type == "Patient":
                asked.end = _interval(name, value)[1]
            case "_type":
                types = tuple(value.split(","))
                for type in types:
                    if type not in RESOURCE_TYPES:
                        raise Invalid(f"{type[:80]} is no resource type.", code="value")
                asked.types += types
            case "_count":
                if not value.isascii() or not value.isdecimal() or int(value[:9]) == 0:
                    raise Invalid(f"_count must be a number from 1: {value[:80]}", code="value")
                asked.count = min(int(value[:9]), ctx.limits.max_count)
            case "_cursor":
                asked.cursor = value
                continue
            case "_format" | "_pretty" | "_summary" | "_elements":
                pass
            case _:
                raise Invalid(f"$everything has no parameter {name[:80]} here.")
        asked.applied.append((name, value))
    return asked


def _interval(name: str, value: str) -> dates.Interval:
    try:
        return dates.interval(value.replace(" ", "+"))
    except ValueError as error:
        raise Invalid(f"{name} is no date or time: {value[:80]}", code="value") from error
