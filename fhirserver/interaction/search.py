"""FHIR search interaction: of a type, several types or a compartment
(https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhirserver.access.store import InvalidCursor
from fhirserver.errors import Invalid, Issue
from fhirserver.interaction.compartment import member_types, within
from fhirserver.interaction.contained import search_contained
from fhirserver.interaction.include import include
from fhirserver.search.expression import All, Everything
from fhirserver.search.parse import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Query
    from fhirserver.search.parse import Search

_CURSOR = "_cursor"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of a search. `total`: of all matches, when asked for. `next`: the cursor of the next
    page. `issues`: warnings, for an entry of mode outcome."""

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
    if compartment is not None and not types:
        types = member_types(ctx.registry, compartment[0])
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
    query = replace(parsed.query, after=cursor)
    if compartment is not None:
        name, id = compartment
        inside = within(ctx.registry, name, id, query.types)
        everything = isinstance(query.where, Everything)
        query = replace(query, where=inside if everything else All((inside, query.where)))
    issues = _ignored(parsed)
    if parsed.contained != "false":
        matches, following, total = await search_contained(ctx, parsed, query)
    else:
        total = await _total(ctx, parsed, query)
        matches, following = await _page(ctx, parsed, query)
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
    return tuple(
        Issue("warning", "not-supported", f"The parameter {name[:200]} is unknown and was ignored.")
        for name in parsed.ignored
    )


def only_counts(parsed: Search) -> bool:
    """`_summary=count` and `_count=0` ask for the total alone."""
    return parsed.summary == "count" or parsed.query.count == 0


async def _page(ctx: Context, parsed: Search, query: Query) -> tuple[list[Version], str | None]:
    if only_counts(parsed):
        return [], None
    try:
        page = await ctx.store.search(query)
    except InvalidCursor as error:
        raise Invalid("_cursor is not one this server gave for this search.") from error
    return page.versions, page.next


async def _total(ctx: Context, parsed: Search, query: Query) -> int | None:
    if only_counts(parsed) or parsed.total == "accurate":
        return await ctx.store.count(query)
    if parsed.total == "estimate":
        # Counting stops at the limit: what is more is told as the limit, which is an estimate.
        return await ctx.store.count(query, ctx.limits.estimate)
    return None
