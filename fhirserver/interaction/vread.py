"""FHIR vread interaction (https://hl7.org/fhir/R4/http.html#vread)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhirserver.errors import NotFound
from fhirserver.interaction.identity import unknown
from fhirserver.interaction.read import gone
from fhirserver.interaction.shipped_definitions import read_shipped

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

_VERSION = re.compile(r"[1-9][0-9]{0,17}")


async def vread(ctx: Context, type: str, id: str, version_id: str) -> Version:
    """That version. Raises NotFound, or Gone when that version is the deletion."""
    version = None
    if _VERSION.fullmatch(version_id):
        version = await ctx.store.vread(type, id, int(version_id))
    if version is None:
        shipped = read_shipped(ctx, type, id, await ctx.store.read(type, id))
        if shipped is not None and str(shipped.version) == version_id:
            return shipped
        if await ctx.store.read(type, id) is None:
            raise unknown(type, id)
        raise NotFound(f"{type}/{id} has no version {version_id[:40]}.")
    if version.content is None:
        raise gone(f"Version {version.version} of {type}/{id} is its deletion.", version)
    return version
