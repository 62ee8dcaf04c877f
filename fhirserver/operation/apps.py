"""$apps: the apps that a citizen has authorised, and for what.

`GET Patient/[id]/$apps` answers a Parameters resource with one `app` for each app of the catalogue
that a Consent in force permits: its Device, name and status, whether the convention has changed so
that it is to be approved anew, and each purpose of the convention with what is agreed to. It shows
what the caller may read of the Consents. For the holder and legal representatives, no carer or app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, in_force, refers, token
from fhirserver.access.decision.consent_shapes import actors
from fhirserver.access.decision.convention import (
    agreed_version,
    listing_of,
    needs_approval,
    opened_by,
    purposes_of,
)
from fhirserver.access.decision.listing import PURPOSE
from fhirserver.access.scopes import granted
from fhirserver.catalogue.names import name_of
from fhirserver.errors import Invalid
from fhirserver.interaction.read import read
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.operation.parameters import given
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.access.decision.convention import Listing, Purpose
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.operation.call import Call

    Json = dict[str, Any]

_MOST = 1000  # Consents of one patient


async def apps(ctx: Context, call: Call) -> Resource:
    assert call.id is not None
    for name, _ in given(call):
        if name not in ("_format", "_pretty"):
            raise Invalid(f"$apps has no parameter {name[:80]}.")
    await read(ctx, "Patient", call.id)
    ctx.store.demand_holder(call.id)
    by_app: dict[str, list[Json]] = {}
    for consent in await _consents(ctx, call.id):
        for actor in actors(consent):
            if actor.startswith("Device/"):
                by_app.setdefault(actor, []).append(consent)
    parameters = []
    for app in sorted(by_app):
        version = await ctx.as_server.store.read("Device", app.partition("/")[2])
        device = decode_stored((version and version.content) or b"{}")
        place = listing_of(device)
        if place is not None:
            parameters.append(
                {"name": "app", "part": _app(ctx, app, name_of(device), place, by_app[app])}
            )
    return {"resourceType": "Parameters", **({"parameter": parameters} if parameters else {})}


async def _consents(ctx: Context, patient: str) -> list[Json]:
    where = all_of(
        refers("patient", (("Patient", patient),)),
        token("status", "active"),
        token("provision-type", "permit"),
        in_force("period", microseconds(ctx.clock())),
    )
    page = await ctx.store.search(Query(("Consent",), where, count=_MOST))
    return [decode_stored(version.content or b"{}") for version in page.versions]


def _app(
    ctx: Context, app: str, name: str, place: Listing, consents: list[Json]
) -> list[dict[str, Any]]:
    needed = any(needs_approval(place, consent) for consent in consents)
    found: list[dict[str, Any]] = [
        {"name": "device", "valueReference": {"reference": app, "display": name}},
        {"name": "status", "valueCode": place.status},
        {"name": "approvalNeeded", "valueBoolean": needed},
    ]
    if place.version:
        found.append({"name": "conventionVersion", "valuePositiveInt": place.version})
    if needed and place.limit is not None:
        found.append({"name": "approvalLimit", "valueInstant": instant(place.limit)})
    moment = microseconds(ctx.clock())
    for purpose in place.purposes:
        part = _purpose(place, purpose, consents, moment)
        found.append({"name": "purpose", "part": part})
    return found


def _purpose(
    place: Listing, purpose: Purpose, consents: list[Json], moment: int
) -> list[dict[str, Any]]:
    coding = {"system": PURPOSE, "code": purpose.code}
    if purpose.label:
        coding["display"] = purpose.label
    agreed = [c for c in consents if not purposes_of(c) or purpose.code in purposes_of(c)]
    part: list[dict[str, Any]] = [
        {"name": "code", "valueCoding": coding},
        {"name": "authorised", "valueBoolean": bool(agreed)},
    ]
    wanted = granted(tuple(each.scope for each in purpose.scopes))
    opened: dict[str, None] = {}
    for consent in agreed:
        part.append(
            {"name": "consent", "valueReference": {"reference": f"Consent/{consent['id']}"}}
        )
        since = consent.get("dateTime") or consent.get("meta", {}).get("lastUpdated")
        if since:
            part.append({"name": "since", "valueDateTime": since})
        part.append({"name": "agreedVersion", "valuePositiveInt": agreed_version(consent)})
        for scope in opened_by(place, consent, moment):
            if wanted.covers(scope):
                opened[str(scope)] = None
    missing = [g.scope for g in purpose.scopes if agreed and g.scope not in opened]
    part += [{"name": "scope", "valueString": scope} for scope in opened]
    part += [{"name": "notAgreed", "valueString": scope} for scope in missing]
    return part
