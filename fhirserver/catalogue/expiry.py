"""Now and then: what is referenced no longer goes off line, what ends soon is marked so.

Source: CSP R.1111-37 (referencing for one year, renewal for two).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from fhirserver.access.decision import listing
from fhirserver.access.decision.build import token
from fhirserver.access.every import every
from fhirserver.catalogue.referencing import referencing_of, text
from fhirserver.catalogue.rules import rules
from fhirserver.catalogue.sync import sync, write
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.catalogue.registration import Registrar
    from fhirserver.interaction.context import Context

EXPIRED = "Référencement expiré"
_PAGE = 200


async def expire(ctx: Context, registrar: Registrar) -> None:
    """Look through the list once. Done twice it changes nothing more."""
    now = text(ctx.clock())
    soon = text(ctx.clock() + timedelta(days=rules().validity.remind_days))
    query = Query(("Device",), token("referencing-status", listing.LISTED), count=_PAGE)
    for version in [v async for v in every(ctx.as_server.store, query)]:
        device = decode_stored(version.content or b"{}")
        place = referencing_of(device)
        await sync(ctx, version.id, registrar)
        if not place.end:
            continue
        if place.end <= now:
            over = replace(place, status="HORS_LIGNE", reason=EXPIRED, due=True)
            if await write(ctx, version, device, over):
                await sync(ctx, version.id, registrar)
        elif place.end <= soon and not place.due:
            await write(ctx, version, device, replace(place, due=True))
