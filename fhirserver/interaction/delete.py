"""FHIR delete interaction (https://hl7.org/fhir/R4/http.html#delete).

References to what is deleted stay as they are: this server does not enforce referential
integrity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.interaction.context import Draft, Written
from fhirserver.interaction.if_match import check_if_match
from fhirserver.interaction.shipped_definitions import refuse_shipped
from fhirserver.interaction.write import attempts, commit
from fhirserver.model.version import Version

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.interaction.if_match import IfMatch


async def delete(ctx: Context, type: str, id: str, *, if_match: IfMatch | None = None) -> Written:
    """Delete the resource; deleting what is absent or deleted changes nothing."""

    ctx.store.demand("d", type)
    refuse_shipped(((type, id),))

    async def attempt() -> Written:
        current = await ctx.store.current(type, id)
        if if_match is not None:
            check_if_match(type, id, current, if_match)
        if current is None:
            return Written("unchanged", Version(type, id, 0, 0, "DELETE", None))
        if current.deleted:
            return Written("unchanged", current)
        (version,) = await commit(ctx, [Draft("DELETE", type, id, None, current.version)])
        return Written("deleted", version)

    return await attempts(ctx, attempt)
