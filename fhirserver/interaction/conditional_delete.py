"""FHIR conditional delete (https://hl7.org/fhir/R4/http.html#3.1.0.7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.interaction.context import Draft, Written
from fhirserver.interaction.if_match import check_if_match
from fhirserver.interaction.select import conditional_query, select_all, selects
from fhirserver.interaction.write import attempts, commit

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.interaction.if_match import IfMatch
    from fhirserver.model.version import Version


async def conditional_delete(
    ctx: Context, type: str, criteria: str, *, if_match: IfMatch | None = None
) -> list[Written]:
    """Delete what `criteria` select: nothing, the one, or all of them when the server allows it.
    With `if_match` each must be at this version.

    All go together, or one after the other on a store without transactions.
    """
    ctx.store.demand("d", type)
    query = conditional_query(ctx, type, criteria)

    async def attempt() -> list[Written]:
        found = await select_all(ctx, query, criteria)
        if not found:
            return []
        if if_match is not None:
            for version in found:
                check_if_match(type, version.id, version, if_match)
        drafts = [deletion(version) for version in found]
        if len(drafts) == 1 or ctx.store.capabilities.transactions:
            versions = await commit(ctx, drafts, [selects(query, *found)])
            return [Written("deleted", version) for version in versions]
        versions = []
        for draft in drafts:
            versions += await commit(ctx, [draft])
        return [Written("deleted", version) for version in versions]

    return await attempts(ctx, attempt)


def deletion(version: Version) -> Draft:
    return Draft("DELETE", version.type, version.id, None, version.version)
