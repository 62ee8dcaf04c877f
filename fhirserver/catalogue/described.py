"""Rules on what describes an app: HealthcareService, DeviceDefinition, Endpoint.

They show with the Device they belong to, so they are of the same publisher, and what was reviewed
stays as it is once the app has been listed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.convention import listing_of
from fhirserver.catalogue import names
from fhirserver.catalogue.look import entry_of
from fhirserver.catalogue.rules import party, refused, rules
from fhirserver.model.version import ANY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhirserver.catalogue.look import Look
    from fhirserver.interaction.context import Draft

    Json = dict[str, Any]

_REVIEWED = {
    "HealthcareService": ("name", "characteristic", "providedBy", "extension"),
    "DeviceDefinition": ("udiDeviceIdentifier", "manufacturerReference", "identifier"),
}
_CODED = {
    "category": ("theme", names.THEME),
    "characteristic": ("characteristic", names.CHARACTERISTIC),
}


async def ruled(look: Look, draft: Draft) -> Draft:
    before = await look.stored(draft.type, draft.id)
    after = draft.resource
    if not _ours(draft.type, before) and not _ours(draft.type, after):
        return draft
    who = party(look.ctx)
    if who == "anybody":
        return draft
    if after is None or not _ours(draft.type, after):
        raise refused("What describes an app stays with it.", draft.type)
    apps: list[Json] = []
    if draft.type == "HealthcareService":
        draft = await _service(look, draft, after, before)
        device = await look.at(entry_of(after), "Device")
        apps = [] if device is None else [device]
    elif draft.type == "DeviceDefinition":
        _check_medical(after)
        apps = [] if before is None else await look.devices_of(draft.id)
    if who == "publisher" and before is not None:
        _check_reviewed(draft.type, before, after, apps)
    return draft


def _ours(type: str, resource: Json | None) -> bool:
    if resource is None:
        return False
    if type == "HealthcareService":
        return bool(entry_of(resource))
    identifiers = resource.get("identifier", [])
    return any(identifier.get("system") == names.IDENTIFIER for identifier in identifiers)


async def _service(look: Look, draft: Draft, after: Json, before: Json | None) -> Draft:
    entry = entry_of(after)
    device = await look.at(entry, "Device")
    if device is None or listing_of(device) is None:
        raise refused("It describes no app of the catalogue.", "HealthcareService.extension")
    if before is not None and entry_of(before) not in ("", entry):
        raise refused("It describes another app.", "HealthcareService.extension")
    owner = names.reference_of(after.get("providedBy"))
    if names.reference_of(device.get("owner")) != owner:
        raise refused("The app is another publisher's.", "HealthcareService.providedBy")
    for element, (system, url) in _CODED.items():
        _check_codes(after, element, url, names.codes(system))
    _check_codes(after, "characteristic", names.CATEGORY, names.categories())
    if not names.codes_in(after.get("category", []), names.THEME):
        raise refused("An app has a theme.", "HealthcareService.category")
    for place, area in enumerate(after.get("coverageArea", [])):
        identifier = area.get("identifier", {})
        region = identifier.get("value")
        if identifier.get("system") == names.REGION and region not in names.codes("region"):
            raise refused(
                f"“{str(region)[:20]}” is no region.", f"HealthcareService.coverageArea[{place}]"
            )
    for place, endpoint in enumerate(after.get("endpoint", [])):
        found = await look.at(names.reference_of(endpoint), "Endpoint")
        if found is None or names.reference_of(found.get("managingOrganization")) != owner:
            raise refused(
                "The endpoint is not this publisher's.", f"HealthcareService.endpoint[{place}]"
            )
    device_id = entry.partition("/")[2]
    others = [s for s in await look.described_by(device_id) if s.get("id") != draft.id]
    if others:
        raise refused(
            f"HealthcareService/{others[0]['id']} describes this app already.",
            "HealthcareService.extension",
        )
    expect = draft.expect
    version = await look.version("HealthcareService", draft.id)
    if expect == ANY and version is not None:
        expect = version.version
    unchanged = await look.no_other_description(device_id)
    return replace(draft, selects=(*draft.selects, unchanged), expect=expect)


def _check_codes(resource: Json, element: str, system: str, known: Iterable[str]) -> None:
    unknown = names.codes_in(resource.get(element, []), system) - set(known)
    if unknown:
        raise refused(
            f"“{sorted(unknown)[0][:60]}” is no code of {system}.", f"HealthcareService.{element}"
        )


def _check_medical(model: Json) -> None:
    for place, udi in enumerate(model.get("udiDeviceIdentifier", [])):
        if not str(udi.get("deviceIdentifier", "")).strip():
            raise refused(
                "A UDI has a device identifier.", f"DeviceDefinition.udiDeviceIdentifier[{place}]"
            )


def _check_reviewed(type: str, before: Json, after: Json, apps: Iterable[Json]) -> None:
    places = [listing_of(app) for app in apps]
    editable = rules().publisher_edits["device"]
    if all(place is None or place.status in editable for place in places):
        return
    for name in _REVIEWED.get(type, ()):
        if before.get(name) != after.get(name):
            raise refused(
                f"{name} is as it was reviewed; ask for a change by a request of kind amendment.",
                f"{type}.{name}",
            )
