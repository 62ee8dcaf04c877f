"""FHIR batch interaction (https://hl7.org/fhir/R4/http.html#transaction): each entry is a request
of its own, done in the order of the Bundle, and none hinders another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.interaction.bundle import entry_requests

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.interaction.entry import EntryResult, Perform


async def batch(ctx: Context, bundle: Resource, perform: Perform) -> list[EntryResult]:
    """What came of each entry, in order. Raises Invalid when the Bundle itself is wrong."""
    return [await perform(request) for request in entry_requests(ctx, bundle, "batch")]
