"""What follows from the place of an app: its client registration, and how long it is listed.

Both follow from what is stored and are made again whenever they are not so: after each write, and
by a job that follows the commits, so that an interruption leaves nothing undone. Access does not
wait for it: that an app is not listed is seen at each call.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from fhirserver.access.decision import listing
from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.access.decision.convention import listing_of
from fhirserver.access.store import VersionConflict
from fhirserver.catalogue import consent as consents
from fhirserver.catalogue.device import last_with_address
from fhirserver.catalogue.look import Look
from fhirserver.catalogue.referencing import (
    instant_of,
    placed,
    referencing_of,
    text,
    years_after,
)
from fhirserver.catalogue.registration import registration_of
from fhirserver.catalogue.request import is_request, request_of
from fhirserver.catalogue.rules import rules
from fhirserver.errors import FHIRError
from fhirserver.interaction.update import update
from fhirserver.model.dates import microseconds
from fhirserver.model.extensions import extensions
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.catalogue.referencing import Referencing
    from fhirserver.catalogue.registration import Registrar
    from fhirserver.catalogue.request import Request
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

    Json = dict[str, Any]

TYPES = frozenset({"Device", "Task", "Consent"})
_log = structlog.get_logger("fhirserver")


async def follow_up(ctx: Context, version: Version, registrar: Registrar) -> None:
    """Do what a committed version asks for. `ctx`: the server's own."""
    content = None if version.content is None else decode_stored(version.content)
    if version.type == "Consent":
        await _withdrawal(ctx, version, content, registrar)
    elif version.type == "Device":
        before = await _before(ctx, version)
        if any(r is not None and listing_of(r) is not None for r in (content, before)):
            await sync(ctx, version.id, registrar)
    elif content is not None and is_request(content):
        await sync(ctx, request_of(content).device.partition("/")[2], registrar)


async def sync(ctx: Context, id: str, registrar: Registrar) -> None:
    """Bring the registration of an app, and its time, to what is stored."""
    look = Look(ctx)
    version = await look.version("Device", id) if id else None
    device = None if version is None else decode_stored(version.content or b"{}")
    place = None if device is None else listing_of(device)
    if version is None or device is None or place is None:
        await registrar.stop(id)
        return
    await _renew(look, version, device)
    if not place.open_at(microseconds(ctx.clock())) or not place.purposes:
        await registrar.stop(id)
        return
    request = await last_with_address(look, id)
    if request is None:
        return  # listed without an application, as by an import: nothing to register with
    try:
        await registrar.register(registration_of(device, place, request))
    except FHIRError as error:
        _log.warning("app not registered", device=id, error=str(error))


async def _renew(look: Look, version: Version, device: Json) -> None:
    """Write the end of the time that the accepted renewals come to."""
    place = referencing_of(device)
    if not place.start or not place.end:
        return
    done = [r for r in await look.requests(version.id, "completed") if r.kind == "renewal"]
    end = end_of(place, [request for request in done if request.modified >= place.start])
    if end <= place.end:
        return
    placed_anew = replace(place, end=end, due=False)
    await write(look.ctx, version, device, placed_anew)


def end_of(place: Referencing, renewals: list[Request]) -> str:
    """One year from the first listing, and two more for each renewal, from when the time before
    ended or, if that was over, from when it was accepted."""
    start = _moment(place.start)
    if start is None:
        return place.end
    validity = rules().validity
    end = years_after(start, validity.first_years)
    for request in renewals:
        accepted = _moment(request.modified)
        if accepted is not None:
            end = years_after(max(end, accepted), validity.renewal_years)
    return text(end)


async def write(ctx: Context, version: Version, device: Json, place: Referencing) -> bool:
    """Write the place anew unless somebody else has written meanwhile."""
    convention = listing_element(device)
    made = placed(device, place, convention)
    try:
        await update(ctx, "Device", version.id, made, if_match=version.version)
    except (FHIRError, VersionConflict) as error:
        _log.info("app changed meanwhile", device=version.id, error=str(error))
        return False
    return True


def listing_element(device: Json) -> Json | None:
    return next((dict(each) for each in extensions(device, listing.CONVENTION)), None)


async def _withdrawal(
    ctx: Context, version: Version, content: Json | None, registrar: Registrar
) -> None:
    """Where nothing authorises the app any longer, its tokens end too."""
    before = await _before(ctx, version)
    for image in (before, content):
        app = consents.app_of(image)
        patient = (image or {}).get("patient", {}).get("reference", "")
        if not app or not patient.startswith("Patient/"):
            continue
        if image is content and image is not None and image.get("status") == "active":
            continue
        device = app.partition("/")[2]
        if not await _authorised(ctx, device, patient.partition("/")[2]):
            await registrar.withdraw(device, patient.partition("/")[2])


async def _authorised(ctx: Context, device: str, patient: str) -> bool:
    where = all_of(
        refers("patient", (("Patient", patient),)),
        refers("actor", (("Device", device),)),
        token("status", "active"),
        token("provision-type", "permit"),
    )
    return await ctx.as_server.store.count(Query(("Consent",), where), 1) > 0


async def _before(ctx: Context, version: Version) -> Json | None:
    if version.version < 2:
        return None
    found = await ctx.as_server.store.vread(version.type, version.id, version.version - 1)
    return None if found is None or found.content is None else decode_stored(found.content)


def _moment(given: str) -> datetime | None:
    found = instant_of(given)
    return None if found is None else datetime.fromtimestamp(found / 1_000_000, UTC)
