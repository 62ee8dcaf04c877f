"""FHIR conditional update (https://hl7.org/fhir/R4/http.html#cond-update)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import Conflict, Invalid, Issue, MethodNotAllowed, PreconditionFailed
from fhirserver.interaction.conditional_reference import checked
from fhirserver.interaction.context import Draft, Written
from fhirserver.interaction.identity import check_id, check_type
from fhirserver.interaction.if_match import check_if_match
from fhirserver.interaction.select import conditional_query, select_one, selects
from fhirserver.interaction.write import attempts, commit
from fhirserver.model.version import ABSENT

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.interaction.if_match import IfMatch
    from fhirserver.model.version import Version


async def conditional_update(
    ctx: Context, type: str, criteria: str, resource: Resource, *, if_match: IfMatch | None = None
) -> Written:
    """Update the one resource that `criteria` select, or create it when there is none."""
    ctx.store.demand("u", type)
    check_type(resource, type)
    resource, issues = await checked(ctx, resource)
    query = conditional_query(ctx, type, criteria)

    async def attempt() -> Written:
        found = await select_one(ctx, query, criteria)
        draft = await conditional_draft(ctx, type, resource, found, if_match)
        known = () if found is None else (found,)
        (version,) = await commit(ctx, [draft], [selects(query, *known)])
        return Written("updated" if found else "created", version, issues)

    return await attempts(ctx, attempt)


async def conditional_draft(
    ctx: Context, type: str, resource: Resource, found: Version | None, if_match: IfMatch | None
) -> Draft:
    """What a conditional update writes, seen that its criteria select `found`."""
    body_id = resource.get("id")
    if found is not None:
        if body_id is not None and body_id != found.id:
            text = f"The criteria select {type}/{found.id}, but the body's id is another."
            raise Invalid(issues=(Issue("error", "value", text, (f"{type}.id",)),))
        if if_match is not None:
            check_if_match(type, found.id, found, if_match)
        return Draft("PUT", type, found.id, resource, found.version)
    if if_match is not None:
        raise PreconditionFailed("The criteria select nothing, and If-Match is given.")
    if body_id is None:
        return Draft("PUT", type, ctx.new_id(), resource, ABSENT)
    check_id(resource, type, body_id)
    if not (ctx.limits.update_create and ctx.store.client_ids):
        raise MethodNotAllowed("The criteria select nothing, and this server gives ids itself.")
    current = await ctx.store.current(type, body_id)
    if current is not None and not current.deleted:
        # Writing over a resource that the criteria do not select would lose it by mistake.
        raise Conflict(f"The criteria select nothing, but {type}/{body_id} exists.")
    return Draft("PUT", type, body_id, resource, ABSENT)
