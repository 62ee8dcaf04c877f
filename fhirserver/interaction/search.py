"""FHIR search interaction: of a type, several types or a compartment
(https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid, Issue, NotFound
from fhirserver.interaction.compartment import member_types, within
from fhirserver.interaction.contained import search_contained
from fhirserver.interaction.include import include
from fhirserver.interaction.own_cursor import OwnCursor, foreign_cursor
from fhirserver.interaction.search_page import Found, read_page, start_at
from fhirserver.interaction.shipped_definitions import find_shipped
from fhirserver.search.expression import All, Everything
from fhirserver.search.parse import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Query
    from fhirserver.search.parse import Search

_CURSOR = "_cursor"
_OWN_CURSOR = OwnCursor("search")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of a search. `total`: of all matches, when asked for or all on this page. `next`: the
    cursor of the next page. `issues`: warnings, for an entry of mode outcome."""

    search: Search
    matches: list[Version]
    included: list[Version]
    total: int | None
    next: str | None
    issues: tuple[Issue, ...]


async def search(
    ctx: Context,
    types: tuple[str, ...],
    parameters: Sequence[tuple[str, str]],
    *,
    strict: bool,
    compartment: tuple[str, str] | None = None,
    parsed: Search | None = None,
) -> SearchResult:
    """A page of the resources of `types` (none: all) that `parameters` select.

    `compartment`: (`Patient`, id) searches in that compartment alone, where no `types` mean every
    type it can hold. `parsed`: what an earlier call made of the same parameters, to spare reading
    them again. Raises Invalid, NotFound for a type the compartment cannot hold.
    """
    by_type = False
    if compartment is not None and not types:
        types = _stated(member_types(ctx.registry, compartment[0]), parameters)
        by_type = True
    cursor, parameters = _cursor_of(parameters)
    if parsed is None:
        parsed = parse(
            ctx.registry,
            types,
            parameters,
            strict=strict,
            local_bases=ctx.local_bases,
            now=ctx.clock(),
            default_count=ctx.limits.default_count,
            max_count=ctx.limits.max_count,
            terminology=ctx.terminology,
        )
    query = parsed.query if cursor is None else replace(parsed.query, after=cursor)
    by_type = by_type and not query.sort and parsed.contained == "false"
    if compartment is not None and by_type:
        # As in a search of several types, those out of the caller's reach are left out.
        reached = [type for type in query.types if ctx.store.reaches("s", type)]
        if not reached:
            ctx.store.demand("s", query.types[0])
        parts = [_inside(ctx, replace(query, types=(type,)), compartment) for type in reached]
    elif compartment is not None:
        query = _inside(ctx, query, compartment)
    issues = _ignored(parsed)
    if parsed.contained != "false":
        matches, following, total = await search_contained(ctx, parsed, query)
    elif by_type:
        total = await _total(ctx, parsed, parts)
        matches, following = await _page_by_type(ctx, parsed, parts, cursor)
    else:
        total = await _total(ctx, parsed, [query])
        matches, following = await _page(ctx, parsed, query)
        if cursor is None and following is None and compartment is None:
            shipped = await find_shipped(ctx, parsed, matches)
            matches = matches if only_counts(parsed) else [*matches, *shipped]
            total = total if total is None else total + len(shipped)
    if total is None and cursor is None and following is None and parsed.total != "none":
        total = len(matches)  # the only page: nothing needs to be counted
    included: list[Version] = []
    if matches and (parsed.includes or parsed.revincludes):
        included, more = await include(ctx, parsed, matches)
        issues += more
    return SearchResult(parsed, matches, included, total, following, issues)


def _cursor_of(
    parameters: Sequence[tuple[str, str]],
) -> tuple[str | None, Sequence[tuple[str, str]]]:
    cursors = [value for name, value in parameters if name == _CURSOR]
    if not cursors:
        return None, parameters
    if len(cursors) > 1:
        raise Invalid("_cursor is given more than once.")
    return cursors[0], [(name, value) for name, value in parameters if name != _CURSOR]


def _ignored(parsed: Search) -> tuple[Issue, ...]:
    if not parsed.ignored:
        return ()
    return tuple(
        Issue("warning", "not-supported", f"The parameter {name[:200]} was ignored: {why[:300]}.")
        for name, why in zip(parsed.ignored, parsed.warnings, strict=True)
    )


def only_counts(parsed: Search) -> bool:
    """`_summary=count` and `_count=0` ask for the total alone."""
    return parsed.summary == "count" or parsed.query.count == 0


async def _page(ctx: Context, parsed: Search, query: Query) -> tuple[list[Version], str | None]:
    if only_counts(parsed):
        return [], None
    found = await _found(ctx, query)
    return found.versions, found.next


async def _found(ctx: Context, query: Query) -> Found:
    with _OWN_CURSOR:
        return await read_page(ctx, query)


async def _page_by_type(
    ctx: Context, parsed: Search, parts: list[Query], cursor: str | None
) -> tuple[list[Version], str | None]:
    """A page of a whole compartment: one type after the other, so that each step is a look-up in
    one index however many resources the server has. The cursor names the type."""
    if only_counts(parsed):
        return [], None
    first, _, after = cursor.partition(":") if cursor else (parts[0].types[0], "", "")
    places = [place for place, part in enumerate(parts) if part.types == (first,)]
    if not places:
        raise foreign_cursor("search")
    versions: list[Version] = []
    for place in range(places[0], len(parts)):
        part = replace(parts[place], count=parsed.query.count - len(versions), after=after or None)
        found = await _found(ctx, part)
        versions += found.versions
        if found.next is not None:
            return versions, f"{part.types[0]}:{found.next}"
        if place + 1 == len(parts):
            break
        following = parts[place + 1]
        after = start_at(following, found.seq) if found.seq else ""
        if len(versions) >= parsed.query.count:
            return versions, f"{following.types[0]}:{after}"
    return versions, None


async def _total(ctx: Context, parsed: Search, parts: list[Query]) -> int | None:
    accurate = only_counts(parsed) or parsed.total == "accurate"
    if not accurate and parsed.total != "estimate":
        return None
    total = 0
    for part in parts:
        # Counting for an estimate stops at the limit: what is more is told as the limit.
        total += await ctx.store.count(part, None if accurate else ctx.limits.estimate - total)
        if not accurate and total >= ctx.limits.estimate:
            break
    return total


def _inside(ctx: Context, query: Query, compartment: tuple[str, str]) -> Query:
    name, id = compartment
    inside = within(ctx.registry, name, id, query.types)
    everything = isinstance(query.where, Everything)
    return replace(query, where=inside if everything else All((inside, query.where)))


def _stated(members: tuple[str, ...], parameters: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The types of a compartment that `_type` asks for, all of them without it."""
    stated = [value for name, value in parameters if name == "_type"]
    if not stated:
        return members
    types = tuple(dict.fromkeys(type for type in stated[0].split(",") if type))
    for type in types:
        if type not in members:
            raise NotFound(f"{type[:80]} is never in this compartment.")
    return types or members
