"""What a conditional interaction's criteria select (https://hl7.org/fhir/R4/http.html#ccreate)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.access.store import Selects
from fhirserver.errors import MultipleMatches, PreconditionFailed, TooCostly
from fhirserver.search.expression import Everything
from fhirserver.search.parse import criteria as parse_criteria

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Query


def conditional_query(ctx: Context, type: str, criteria: str) -> Query:
    """The query of `criteria`, a search URL's query part. Refuses criteria that select nothing
    in particular, so that a forgotten value cannot reach every resource of the type."""
    query = parse_criteria(
        ctx.registry,
        type,
        criteria,
        local_bases=ctx.local_bases,
        now=ctx.clock(),
        terminology=ctx.terminology,
    )
    if query.where == Everything():
        raise PreconditionFailed(
            f"The criteria '{criteria[:200]}' do not select: name at least one search parameter."
        )
    return query


async def select_one(ctx: Context, query: Query, criteria: str) -> Version | None:
    """The one resource selected, or None. Raises MultipleMatches."""
    found = (await ctx.store.search(replace(query, count=2))).versions
    if len(found) > 1:
        raise MultipleMatches(
            f"The criteria '{criteria[:200]}' select more than one {query.types[0]}."
        )
    return found[0] if found else None


async def select_all(ctx: Context, query: Query, criteria: str) -> list[Version]:
    """Every resource selected, within what one conditional delete may touch."""
    limits = ctx.limits
    most = limits.conditional_delete_max if limits.conditional_delete_multiple else 1
    found = (await ctx.store.search(replace(query, count=most + 1))).versions
    if len(found) <= most:
        return found
    if limits.conditional_delete_multiple:
        raise TooCostly(
            f"The criteria '{criteria[:200]}' select more than {most} resources; narrow them."
        )
    raise MultipleMatches(f"The criteria '{criteria[:200]}' select more than one {query.types[0]}.")


def selects(query: Query, *versions: Version) -> Selects:
    """The precondition that `query` still selects exactly these."""
    return Selects(query, frozenset((version.type, version.id) for version in versions))
