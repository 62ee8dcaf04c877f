"""The calendar feed of a citizen, beside the FHIR API: GET /calendar/[secret].ics."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from fhirserver.access.audit.trail import Access
from fhirserver.diary.appointment.calendar import appointments, reader_of_feed, written
from fhirserver.errors import FHIRError, Forbidden

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhirserver.access.caller import Caller
    from fhirserver.interaction.context import Context

    Permitted = Callable[[Context, Caller], Awaitable[Context]]

_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
}


def router(context: Callable[[], Context | None], permitted: Permitted) -> APIRouter:
    """`context`: the server's, None while it is not ready. `permitted`: the same for a caller."""
    made = APIRouter()

    @made.head("/calendar/{secret}.ics")
    @made.get("/calendar/{secret}.ics")
    async def calendar(secret: str, request: Request) -> Response:
        ctx = context()
        if ctx is None:
            return Response(status_code=503, headers=_HEADERS)
        address = request.client.host if request.client else ""
        try:
            found = await _feed(ctx, permitted, secret, address)
        except (TimeoutError, ConnectionError, FHIRError):
            return Response(status_code=503, headers=_HEADERS)
        if found is None:
            return Response(status_code=404, headers=_HEADERS)
        return Response(found, media_type="text/calendar; charset=utf-8", headers=_HEADERS)

    return made


async def _feed(ctx: Context, permitted: Permitted, secret: str, address: str) -> bytes | None:
    """The calendar that a secret opens, as who was given it sees it, recorded as read by them."""
    caller = await reader_of_feed(ctx, secret)
    if caller is None or caller.patient is None:
        return None
    view = await permitted(ctx, caller)
    try:
        if await view.store.read("Patient", caller.patient) is None:
            return None
        found = await appointments(view, caller.patient)
    except Forbidden:  # a representative who is one no longer
        return None
    if ctx.audit is not None:
        said = Access("search-type", "GET /calendar", address=address, versions=found)
        await ctx.audit.accessed(caller, said)
    return written(found, urlsplit(ctx.base_url).hostname or "fhirserver")
