"""FHIR read interaction (https://hl7.org/fhir/R4/http.html#read)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import Gone
from fhirserver.interaction.identity import unknown
from fhirserver.interaction.shipped_definitions import read_shipped

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version


async def read(ctx: Context, type: str, id: str) -> Version:
    """The current version. Raises NotFound, or Gone when the resource is deleted."""
    stored = await ctx.store.read(type, id)
    return present(type, id, read_shipped(ctx, type, id, stored))


def present(type: str, id: str, version: Version | None) -> Version:
    """What was looked up, when it is there. Raises NotFound or Gone."""
    if version is None:
        raise unknown(type, id)
    if version.content is None:
        raise gone(f"{type}/{id} was deleted (version {version.version}).", version)
    return version


def gone(text: str, deletion: Version) -> Gone:
    return Gone(text, version=deletion.version, updated=deletion.updated)
