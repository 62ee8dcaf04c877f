"""FHIR create interaction, also conditional (https://hl7.org/fhir/R4/http.html#create)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.interaction.conditional_reference import checked
from fhirserver.interaction.context import Draft, Written
from fhirserver.interaction.identity import check_type
from fhirserver.interaction.select import conditional_query, select_one, selects
from fhirserver.interaction.write import attempts, commit
from fhirserver.model.version import ABSENT

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource


async def create(
    ctx: Context, type: str, resource: Resource, *, if_none_exist: str | None = None
) -> Written:
    """Store a new resource under an id of the server; an id in the body has no meaning.

    With `if_none_exist` (search criteria): nothing is made when they select one resource, which
    is then given back as found. Raises MultipleMatches.
    """
    ctx.store.demand("c", type)
    check_type(resource, type)
    resource, issues = await checked(ctx, resource)
    if if_none_exist is None:

        async def attempt() -> Written:
            draft = Draft("POST", type, ctx.new_id(), resource, ABSENT)
            (version,) = await commit(ctx, [draft])
            return Written("created", version, issues)

    else:
        query = conditional_query(ctx, type, if_none_exist)

        async def attempt() -> Written:
            found = await select_one(ctx, query, if_none_exist)
            if found is not None:
                return Written("found", found)
            draft = Draft("POST", type, ctx.new_id(), resource, ABSENT)
            (version,) = await commit(ctx, [draft], [selects(query)])
            return Written("created", version, issues)

    return await attempts(ctx, attempt)
