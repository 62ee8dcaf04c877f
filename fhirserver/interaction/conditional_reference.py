"""Conditional references, such as `Patient?identifier=s|v`: made to point to the one resource that
they select (https://hl7.org/fhir/R4/http.html#trules).

FHIR has them in transactions. This server takes them in every write, since senders that know a
patient by a national identifier alone publish single resources too. What is stored is always the
literal reference.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid, Issue, MultipleMatches, PreconditionFailed
from fhirserver.interaction.select import conditional_query
from fhirserver.interaction.write import validated
from fhirserver.model import references

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Resource


async def checked(ctx: Context, resource: Resource) -> tuple[Resource, tuple[Issue, ...]]:
    """The resource as it is to be written and the warnings about it. Raises Invalid, and
    PreconditionFailed for a reference that does not select one resource."""
    try:
        return resource, validated(ctx, resource)
    except Invalid:
        # Only what is refused is looked through: nearly no resource has such a reference.
        settled = await _settled(ctx, resource)
        if settled is resource:
            raise
    return settled, validated(ctx, settled)


async def _settled(ctx: Context, resource: Resource) -> Resource:
    if resource.get("resourceType") == "Bundle":
        return resource  # a document or collection is kept as it was put together
    known: dict[str, str] = {}
    for text, reference in conditional_references(ctx, resource).items():
        query = conditional_query(ctx, reference.type, reference.criteria)
        page = await ctx.store.search(replace(query, count=2))
        known[text] = the_one(reference, [version.id for version in page.versions])
    return references.rewrite(resource, known) if known else resource


def conditional_references(ctx: Context, resource: Resource) -> dict[str, references.Reference]:
    """Those of a resource, by their text."""
    found = {}
    for link in references.links(resource):
        if link.type == "reference" and "?" in link.value:
            reference = references.parse(link.value, ctx.local_bases)
            if reference.kind == "conditional":
                found[link.value] = reference
    return found


def the_one(reference: references.Reference, ids: Sequence[str]) -> str:
    """`Type/id` of what the reference selects. Raises MultipleMatches, PreconditionFailed."""
    if len(ids) == 1:
        return f"{reference.type}/{ids[0]}"
    text = f"The conditional reference {reference.text[:200]} must select one resource, "
    if ids:
        raise MultipleMatches(text + "but it selects several.")
    raise PreconditionFailed(issues=(Issue("error", "not-found", text + "but it selects none."),))
