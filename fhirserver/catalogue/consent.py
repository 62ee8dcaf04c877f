"""Rules on the Consents by which citizens authorise an app: what can be agreed to, when it was,
and which version of the convention was.

Source: CSP L.1111-13-1 III (express consent, purposes).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.access.decision import listing
from fhirserver.access.decision.codes import (
    ACT_CODE,
    CONSENT_SCOPE,
    INFORMATION_ACCESS,
    PATIENT_PRIVACY,
)
from fhirserver.access.decision.consent_shapes import actors, is_choice
from fhirserver.access.decision.convention import (
    agreed_version,
    listing_of,
    purposes_of,
)
from fhirserver.access.scopes import granted
from fhirserver.catalogue.rules import refused
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.extensions import extensions

if TYPE_CHECKING:
    from fhirserver.access.decision.convention import Listing
    from fhirserver.catalogue.look import Look
    from fhirserver.interaction.context import Draft

    Json = dict[str, Any]

_VERSION = f"Consent.extension.where(url='{listing.AGREED}')"
_ALONG = frozenset({"Patient", "Binary"})
_AFTER_TIME = frozenset(
    {"performer", "organization", "sourceAttachment", "sourceReference", "policy", "policyRule",
     "verification", "provision"}
)  # fmt: skip


def app_of(consent: Json | None) -> str:
    """The Device that a permission names; empty for any other Consent."""
    if consent is None or not is_choice(consent):
        return ""
    if consent.get("provision", {}).get("type") != "permit":
        return ""
    return next((actor for actor in actors(consent) if actor.startswith("Device/")), "")


async def ruled(look: Look, draft: Draft) -> Draft:
    """The draft, with the version of the convention it is for. Raises Unprocessable."""
    after = draft.resource
    app = app_of(after)
    if after is None or not app or after.get("status") != "active":
        return draft
    device = await look.at(app, "Device")
    place = None if device is None else listing_of(device)
    before = await look.stored("Consent", draft.id)
    if place is not None:
        after = _agreed(after, before, app, place)
    if look.ctx.server is not None and look.ctx.caller.role is not Role.OPEN:
        _check(look, after, place)
        after = _dated(after, instant(microseconds(look.ctx.clock())))
    return replace(draft, resource=after)


def _dated(consent: Json, now: str) -> Json:
    """Who writes an authorisation without a time gives it now. It cannot stay without one: at 18
    only those given since then count."""
    if "dateTime" in consent:
        return consent
    made: Json = {}
    for name, value in consent.items():
        if name in _AFTER_TIME and "dateTime" not in made:
            made["dateTime"] = now
        made[name] = value
    return {**made, "dateTime": now}


def _check(look: Look, consent: Json, place: Listing | None) -> None:
    if not _has(consent.get("category"), ACT_CODE, INFORMATION_ACCESS):
        raise refused(
            f"An app is authorised by a Consent of category {INFORMATION_ACCESS} of {ACT_CODE}.",
            "Consent.category",
        )
    if not _has([consent.get("scope")], CONSENT_SCOPE, PATIENT_PRIVACY):
        raise refused(
            f"An app is authorised by a Consent of scope {PATIENT_PRIVACY} of {CONSENT_SCOPE}.",
            "Consent.scope",
        )
    if place is None:
        return  # a Device of another kind
    if len(actors(consent)) != 1:
        raise refused("One Consent is for one app.", "Consent.provision.actor")
    if not place.open_at(microseconds(look.ctx.clock())):
        raise refused(
            "The app is not in the catalogue now, so it cannot be authorised.",
            "Consent.provision.actor",
        )
    if not place.purposes:
        raise refused("The app exchanges no data.", "Consent.provision.actor")
    named = purposes_of(consent)
    unknown = named - {purpose.code for purpose in place.purposes}
    if unknown:
        raise refused(
            f"The convention of the app has no purpose {', '.join(sorted(unknown))[:100]}.",
            "Consent.provision.purpose",
        )
    reached = {
        scope.type
        for purpose in place.purposes
        if not named or purpose.code in named
        for scope in granted(tuple(given.scope for given in purpose.scopes)).resources
    }
    classes = {c.get("code") for c in consent.get("provision", {}).get("class", [])}
    beyond = classes - reached - _ALONG
    if beyond:
        raise refused(
            f"The convention of the app gives no {', '.join(sorted(map(str, beyond)))[:100]}.",
            "Consent.provision.class",
        )


def _has(concepts: Any, system: str, code: str) -> bool:
    listed = concepts if isinstance(concepts, list) else []
    return any(
        coding.get("system") == system and coding.get("code") == code
        for concept in listed
        for coding in (concept or {}).get("coding", [])
    )


def _agreed(after: Json, before: Json | None, app: str, place: Listing) -> Json:
    """The version said, or the one agreed to before, or the current one for a new Consent."""
    said = extensions(after, listing.AGREED)
    if said:
        version = agreed_version(after)
        if not 0 < version <= max(place.version, 1):
            raise refused(f"The convention is at version {place.version}.", _VERSION)
        return after
    version = max(place.version, 1)
    if before is not None and before.get("status") == "active" and app_of(before) == app:
        version = min(agreed_version(before), version)
    agreed = {"url": listing.AGREED, "valuePositiveInt": version}
    return {**after, "extension": [*after.get("extension", []), agreed]}
