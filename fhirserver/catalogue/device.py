"""Rules on the Device of an app: which status may follow, who sets it, what has to be there.

Source: CSP R.1111-37 to R.1111-39 (referencing for a year, convention); arrêté of 23 June 2022
(criteria; CE marking of medical devices alone). The transitions are data: `rules.json`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision import listing
from fhirserver.access.decision.convention import listing_of
from fhirserver.catalogue import convention, names
from fhirserver.catalogue.referencing import (
    Referencing,
    first_period,
    placed,
    referencing_of,
    text,
)
from fhirserver.catalogue.registration import registration_of
from fhirserver.catalogue.rules import check_transition, party, refused, rules
from fhirserver.errors import FHIRError
from fhirserver.model.extensions import extensions
from fhirserver.model.version import ANY

if TYPE_CHECKING:
    from fhirserver.access.decision.convention import Listing
    from fhirserver.catalogue.look import Look
    from fhirserver.catalogue.registration import Registrar
    from fhirserver.catalogue.request import Request
    from fhirserver.catalogue.rules import Party
    from fhirserver.interaction.context import Draft

    Json = dict[str, Any]

STATUS = f"Device.extension.where(url='{listing.REFERENCING}').extension('status')"
REASON = f"Device.extension.where(url='{listing.REFERENCING}').extension('reason')"
#: What a publisher leaves as it was reviewed, once the app has been listed.
_REVIEWED = ("identifier", "definition", "deviceName", "type", "owner")


async def ruled(look: Look, draft: Draft, registrar: Registrar) -> Draft:
    """The draft as it may be written. Raises Unprocessable, Forbidden."""
    if look.ctx.server is None:
        return draft  # the server's own: expiry, renewal
    version = await look.version("Device", draft.id)
    before = await look.stored("Device", draft.id) if version else None
    after = draft.resource
    was = None if before is None else listing_of(before)
    will = None if after is None else listing_of(after)
    if was is None and will is None:
        return draft
    who = party(look.ctx)
    if after is None or will is None:
        if who == "anybody":
            return draft
        raise refused("An app leaves the catalogue by the status DEREFERENCEE.", STATUS)
    old = None if before is None or was is None else referencing_of(before)
    new = referencing_of(after)
    check_transition("device", old.status if old else "", new.status, who, STATUS)
    if new.status in rules().needs_reason["device"] and not new.reason:
        raise refused(f"{new.status} needs a reason.", REASON)
    if who == "publisher":
        _check_reviewed(before, after, old)
    convention.check(will, _knows(look))
    if len(extensions(after, listing.REFERENCING)) > 1:
        raise refused("An app has one place in the catalogue.", STATUS)
    if after.get("patient"):
        raise refused("An app of the catalogue is nobody's Device.", "Device.patient")
    if who == "anybody" and old is None:
        return draft  # taken over as it comes
    will = convention.versioned(was, will)
    if who == "publisher" and old is not None and was is not None:
        closed = old.status not in rules().publisher_edits["device"]
        if closed and (will.purposes != was.purposes or will.limit != was.limit):
            raise refused(
                "The convention of a listed app is changed by the operator, after a request of "
                "kind amendment.",
                f"Device.extension.where(url='{listing.CONVENTION}')",
            )
    place = _dated(look, old, new, who)
    if who != "anybody":
        await _check_model(look, after)
    if place.status == listing.LISTED:
        place = await _listed(look, {**after, "id": draft.id}, old, place, will, registrar)
    given = dict(next(iter(extensions(after, listing.CONVENTION)), {}))
    made = placed(after, place, convention.element(will, given) if will.purposes else None)
    expect = draft.expect
    if expect == ANY and version is not None:
        expect = version.version
    return replace(draft, resource=made, expect=expect)


def _dated(look: Look, old: Referencing | None, new: Referencing, who: Party) -> Referencing:
    """With the dates that are the server's to set."""
    now = text(look.ctx.clock())
    changed = old is None or old.status != new.status
    if who != "anybody":
        kept = old or Referencing("")
        new = replace(new, start=kept.start, end=kept.end, due=kept.due)
    if old is not None and old.status == "DEREFERENCEE" and new.status == "PRESERIE":
        new = replace(new, start="", end="", due=False)
    if changed and new.status not in rules().needs_reason["device"] and old is not None:
        new = replace(new, reason="" if new.reason == old.reason else new.reason)
    return replace(new, since=now if changed else (old.since if old else now))


def _check_reviewed(before: Json | None, after: Json, old: Referencing | None) -> None:
    if before is None or old is None or old.status in rules().publisher_edits["device"]:
        return
    changed = [name for name in _REVIEWED if before.get(name) != after.get(name)]
    if changed:
        raise refused(
            f"{changed[0]} is as it was reviewed; ask for a change by a request of kind amendment.",
            f"Device.{changed[0]}",
        )


async def _check_model(look: Look, device: Json) -> None:
    owner = names.reference_of(device.get("owner"))
    if not owner.startswith("Organization/"):
        raise refused("An app has its publisher, an Organization, as owner.", "Device.owner")
    definition = names.reference_of(device.get("definition"))
    if not definition:
        return
    model = await look.at(definition, "DeviceDefinition")
    if model is None or names.reference_of(model.get("manufacturerReference")) != owner:
        raise refused("The model is no DeviceDefinition of this publisher.", "Device.definition")


async def _listed(
    look: Look,
    device: Json,
    old: Referencing | None,
    place: Referencing,
    will: Listing,
    registrar: Registrar,
) -> Referencing:
    """What has to be true of an app that is on the list."""
    request = await last_with_address(look, device["id"])
    if old is not None and old.status == "PRESERIE":
        done = [
            r for r in await look.requests(device["id"], "completed") if r.kind == "application"
        ]
        if not done or done[-1].modified <= old.since:
            raise refused("No application for this app has been accepted.", STATUS)
        if not place.start:
            start, end = first_period(look.ctx.clock())
            place = replace(place, start=start, end=end)
    elif place.end and not place.covers(look.ctx.clock()):
        raise refused(f"Its referencing ended on {place.end[:10]}; it needs a renewal.", STATUS)
    await check_complete(look, device, will, request, registrar)
    return place


async def last_with_address(look: Look, device: str) -> Request | None:
    """The newest accepted request that says where the app is sent back to."""
    found = [r for r in await look.requests(device, "completed") if r.texts("redirect-uri")]
    return found[-1] if found else None


async def check_complete(
    look: Look, device: Json, place: Listing, request: Request | None, registrar: Registrar
) -> bool:
    """Whether it is a medical device. Raises Unprocessable when something is missing."""
    described = await look.described_by(device["id"])
    if len(described) != 1:
        raise refused("An app is described by one HealthcareService.", "Device")
    (service,) = described
    traits = names.codes_in(service.get("characteristic", []), names.CHARACTERISTIC)
    stated = names.codes_in(service.get("characteristic", []), names.CATEGORY)
    exchanges = names.EXCHANGE in traits
    if exchanges != bool(place.purposes):
        raise refused(
            "An app that exchanges data has a convention and the characteristic exchange; any "
            "other has neither.",
            "HealthcareService.characteristic",
        )
    missing = convention.categories(place) - stated
    if missing:
        raise refused(
            f"The description does not tell of the data {', '.join(sorted(missing))}.",
            "HealthcareService.characteristic",
        )
    medical = names.MEDICAL_DEVICE in traits
    model = await look.at(names.reference_of(device.get("definition")), "DeviceDefinition")
    if model is None:
        raise refused("An app is made after a DeviceDefinition.", "Device.definition")
    if medical and not model.get("udiDeviceIdentifier"):
        raise refused(
            "A medical device has its UDI in the DeviceDefinition.",
            "DeviceDefinition.udiDeviceIdentifier",
        )
    if exchanges:
        if request is None:
            raise refused("A request with a redirect-uri is needed.", "Task.input")
        try:
            await registrar.check(registration_of(device, place, request))
        except FHIRError as error:
            raise refused(f"The app could not be registered: {error}", "Task.input") from None
    return medical


def _knows(look: Look) -> Any:
    registry = look.ctx.registry
    return lambda type, code: registry.parameter(type, code) is not None
