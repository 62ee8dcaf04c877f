"""Search in contained resources: `_contained` and `_containedType`
(https://hl7.org/fhir/R4/search.html#contained).

A stored resource has one index entry for each resource it contains (`search/index.py`), so
the engine finds the containers of a type; the criteria are then judged on each contained resource
in memory. What this cannot answer rightly is refused: criteria that reach to other resources,
`_id` and `_lastUpdated` (a contained resource has neither identity nor time of its own), and
`_sort`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.errors import NotSupported, TooCostly
from fhirserver.interaction.own_cursor import OwnCursor, foreign_cursor
from fhirserver.interaction.search_page import read_page
from fhirserver.model.json import decode_stored, encode
from fhirserver.search.evaluate import Candidate, Resources, matches
from fhirserver.search.expression import (
    All,
    AnyOf,
    Chain,
    Compare,
    Everything,
    Has,
    Identity,
    Kind,
    Match,
    Not,
    Present,
    Query,
    Updated,
)
from fhirserver.search.index import CONTAINED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Expression
    from fhirserver.search.parse import Search

_CHUNK = 100  # containers looked into at once
_CURSOR = re.compile(r"~(?:([0-9]{1,18})~(-1|[0-9]{1,9})|~)~([A-Za-z0-9\-.]{0,64})~(.*)", re.DOTALL)
_ALONE = Resources(())
_OWN_CURSOR = OwnCursor("search")


async def search_contained(
    ctx: Context, parsed: Search, query: Query
) -> tuple[list[Version], str | None, int | None]:
    """The page, the next cursor and the total of a search with `_contained=true` or `both`."""
    _check(parsed, query.where)
    both = parsed.contained == "both"
    counts_only = parsed.summary == "count" or query.count == 0
    total = None
    if counts_only or parsed.total in ("accurate", "estimate"):
        total = await _count(ctx, parsed, query)
        total += await ctx.store.count(query) if both else 0
    if counts_only:
        return [], None, total
    found: list[Version] = []
    cursor = query.after
    if both and (cursor is None or not cursor.startswith("~")):
        with _OWN_CURSOR:
            page = await read_page(ctx, query)
        if page.next is not None:
            return page.versions, page.next, total
        found, cursor = page.versions, None
        if len(found) >= query.count:
            return found, _write_cursor(None, None), total
    inner, following = await _page(ctx, parsed, query, cursor, query.count - len(found))
    return found + inner, following, total


def _check(parsed: Search, where: Expression) -> None:
    if parsed.query.sort:
        raise NotSupported("_sort is not available together with _contained.")
    for node in _nodes(where):
        if isinstance(node, Chain | Has):
            raise NotSupported("Chains, _has and _list are not available together with _contained.")
        if isinstance(node, Identity | Updated):
            raise NotSupported(
                "A contained resource has no _id and no _lastUpdated to be searched by."
            )


def _nodes(expression: Expression) -> Iterator[Expression]:
    yield expression
    match expression:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _nodes(part)
        case Not(part):
            yield from _nodes(part)
        case _:
            pass


@dataclass(frozen=True, slots=True)
class _Place:
    """What a page ended with, so that the next goes on right behind it whatever is written
    meanwhile: the key of a container, which stays when it changes; of a contained match also
    its number there (-1: the container itself is the match) and its local id."""

    key: int
    number: int = -1
    id: str = ""

    def start(self, container: Version) -> int:
        """The number of the contained resource from which on the container is still to come."""
        key = int(container.key)
        if key > self.key:
            return 0
        if key < self.key or self.number < 0:
            return sys.maxsize
        ids = [inner.get("id") for inner in _contained(container)]
        return ids.index(self.id) + 1 if self.id in ids else self.number


async def _page(
    ctx: Context, parsed: Search, query: Query, cursor: str | None, count: int
) -> tuple[list[Version], str | None]:
    place, after = _read_cursor(cursor)
    found: list[Version] = []
    looked = 0
    while True:
        with _OWN_CURSOR:
            page = await ctx.store.search(_containers(query, after))
        for container in page.versions:
            start = 0 if place is None else place.start(container)
            for number, match in _matches(ctx, parsed, query, container):
                if max(number, 0) < start:
                    continue
                if len(found) >= count:
                    return found, _write_cursor(place, after)
                found.append(match)
                id = match.id.partition("#")[2]
                place = _Place(int(container.key), number, id)
        looked += len(page.versions)
        after = page.next
        if after is None:
            return found, None
        if len(found) >= count or looked >= ctx.limits.estimate:
            return found, _write_cursor(None, after)


async def _count(ctx: Context, parsed: Search, query: Query) -> int:
    total = looked = 0
    after: str | None = None
    while True:
        page = await ctx.store.search(_containers(query, after))
        total += sum(1 for c in page.versions for _ in _matches(ctx, parsed, query, c))
        looked += len(page.versions)
        after = page.next
        if after is None:
            return total
        if looked >= ctx.limits.estimate:
            raise TooCostly(
                f"More than {ctx.limits.estimate} resources contain one of this type: "
                "too many to count. Search without _total."
            )


def _containers(query: Query, after: str | None) -> Query:
    where: Expression
    if query.types:
        where = Match(CONTAINED, Kind.TOKEN, Compare("system", "in", query.types))
    else:
        where = Present(CONTAINED, Kind.TOKEN)
    return Query((), where, count=_CHUNK, after=after)


def _matches(
    ctx: Context, parsed: Search, query: Query, container: Version
) -> Iterator[tuple[int, Version]]:
    """What a container adds to the result: itself once, or each contained match with its
    number."""
    resource = decode_stored(container.content or b"{}")
    if parsed.contained_type == "contained":
        for number, inner in _contained_matches(ctx, query, resource):
            # So that its fullUrl is the container's with the local id as fragment.
            yield (
                number,
                msgspec.structs.replace(
                    container, id=f"{container.id}#{inner.get('id', '')}", content=encode(inner)
                ),
            )
        return
    if parsed.contained == "both" and (not query.types or container.type in query.types):
        candidate = _candidate(ctx, resource)
        if matches(query.where, candidate, _ALONE):
            return  # it is a match of its own
    for _ in _contained_matches(ctx, query, resource):
        yield -1, container
        return


def _contained(container: Version) -> list[Resource]:
    found: list[Resource] = decode_stored(container.content or b"{}").get("contained", [])
    return found


def _contained_matches(
    ctx: Context, query: Query, resource: Resource
) -> Iterator[tuple[int, Resource]]:
    for number, inner in enumerate(resource.get("contained", [])):
        type = inner.get("resourceType")
        if query.types and type not in query.types:
            continue
        if isinstance(query.where, Everything) or matches(
            query.where, _candidate(ctx, inner), _ALONE
        ):
            yield number, inner


def _candidate(ctx: Context, resource: dict[str, Any]) -> Candidate:
    return Candidate(
        resource["resourceType"], resource.get("id", ""), 0, ctx.indexer.entries(resource)
    )


def _write_cursor(place: _Place | None, after: str | None) -> str:
    """`after`: the engine's cursor of the containers among which `place` is."""
    shown = "~~" if place is None else f"{place.key}~{place.number}~{place.id}"
    return f"~{shown}~{after or ''}"


def _read_cursor(cursor: str | None) -> tuple[_Place | None, str | None]:
    if cursor is None:
        return None, None
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise foreign_cursor("search")
    key, number, id, after = found.groups()
    return _Place(int(key), int(number), id) if key else None, after or None
