"""Whether the caller wrote a document (CSP R.1111-50: corrections by the author alone)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fhirserver.access.caller import Role
from fhirserver.access.decision import authorship
from fhirserver.access.permit import situation_of

if TYPE_CHECKING:
    from fhirserver.access.store import Store
    from fhirserver.interaction.context import Context


async def wrote(ctx: Context, document: dict[str, Any]) -> bool:
    """Always true where nobody is known (`--auth off`)."""
    if ctx.caller.role is Role.OPEN:
        return True
    store = cast("Store", ctx.as_server.store)
    situation = await situation_of(store, ctx.caller, ctx.clock(), ctx.registry, ctx.access)
    return authorship.wrote(situation, document)
