"""Tells each citizen who has authorised an app that its convention is to be approved anew.

A notice (`access/notice`): a Communication in the space, and an e-mail where mail is set up. Its id
follows from the app and the version of its convention, so it is given once, whichever process
gives it and however often the app is looked at.

Source: the national application asks again when what an app may do has changed (read in 2026).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, in_force, refers, token
from fhirserver.access.decision.convention import listing_of, needs_approval
from fhirserver.access.every import every
from fhirserver.access.notice.notice import APP_APPROVAL, Notice, notice_id
from fhirserver.catalogue.consent import app_of
from fhirserver.interaction.service import Job, follow
from fhirserver.model.dates import microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fhirserver.access.decision.convention import Listing
    from fhirserver.access.notice.notifier import Notifier
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

    Json = dict[str, Any]

SECONDS = 5.0
_PAGE = 200


def announcing(notifier: Notifier) -> Job:
    async def step(ctx: Context, version: Version) -> None:
        async for notice in notices_of(ctx, version):
            if await _is_alive(ctx, notice.patient):
                await notifier.tell(notice)

    async def run(ctx: Context) -> None:
        await follow(ctx, "catalogue-approval", frozenset({"Device"}), step)
        await notifier.retry()

    return Job("catalogue-approval", SECONDS, run)


async def notices_of(ctx: Context, version: Version) -> AsyncIterator[Notice]:
    """What citizens are to be told because of this version of a Device. `ctx`: the server's own."""
    place = None if version.content is None else listing_of(decode_stored(version.content))
    if place is None or not place.open_at(microseconds(ctx.clock())):
        return
    if not _is_new(place, await _before(ctx, version)):
        return
    app = f"Device/{version.id}"
    async for consent in _consents(ctx, version.id):
        patient = identity(consent.get("patient"), ctx.local_bases, "Patient")
        if patient is None or app_of(consent) != app or not needs_approval(place, consent):
            continue
        reason = (version.id, str(place.version), str(place.limit or ""))
        id = notice_id(patient[1], APP_APPROVAL, *reason)
        yield Notice(id, APP_APPROVAL, patient[1], version.updated, app)


def _is_new(place: Listing, before: Listing | None) -> bool:
    """There is something to tell that there was not: another version, another limit, or an app
    that comes back to the list with what has changed meanwhile."""
    if place.version < 2:
        return False
    if before is None or before.status != place.status:
        return True
    return (place.version, place.limit) != (before.version, before.limit)


async def _before(ctx: Context, version: Version) -> Listing | None:
    if version.version < 2:
        return None
    found = await ctx.store.vread(version.type, version.id, version.version - 1)
    if found is None or found.content is None:
        return None
    return listing_of(decode_stored(found.content))


async def _consents(ctx: Context, device: str) -> AsyncIterator[Json]:
    where = all_of(
        refers("actor", (("Device", device),)),
        token("status", "active"),
        token("provision-type", "permit"),
        in_force("period", microseconds(ctx.clock())),
    )
    async for version in every(ctx.store, Query(("Consent",), where, count=_PAGE)):
        yield decode_stored(version.content or b"{}")


async def _is_alive(ctx: Context, patient: str) -> bool:
    version = await ctx.store.read("Patient", patient)
    if version is None or version.content is None:
        return False
    resource = decode_stored(version.content)
    return resource.get("deceasedBoolean") is not True and "deceasedDateTime" not in resource
