"""FHIR conditional patch (https://hl7.org/fhir/R4/http.html#patch)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.errors import NotFound
from fhirserver.interaction.conditional_reference import checked
from fhirserver.interaction.context import Written
from fhirserver.interaction.if_match import check_if_match
from fhirserver.interaction.patch import patched_draft
from fhirserver.interaction.select import conditional_query, select_one, selects
from fhirserver.interaction.write import attempts, commit

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.interaction.if_match import IfMatch
    from fhirserver.interaction.patch import Patch


async def conditional_patch(
    ctx: Context, type: str, criteria: str, patch: Patch, *, if_match: IfMatch | None = None
) -> Written:
    """Change the one resource that `criteria` select. Raises NotFound, MultipleMatches."""
    ctx.store.demand("u", type)
    query = conditional_query(ctx, type, criteria)

    async def attempt() -> Written:
        current = await select_one(ctx, query, criteria)
        if current is None:
            raise NotFound(f"The criteria '{criteria[:200]}' select no {type}.")
        if if_match is not None:
            check_if_match(type, current.id, current, if_match)
        draft = patched_draft(current, patch)
        assert draft.resource is not None
        resource, issues = await checked(ctx, draft.resource)
        draft = replace(draft, resource=resource)
        (version,) = await commit(ctx, [draft], [selects(query, current)])
        return Written("updated", version, issues)

    return await attempts(ctx, attempt)
