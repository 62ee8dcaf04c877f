"""The catalogue of apps: what of it everybody sees, and what only its publisher and the operator.

Where an app stands is one fact in one place, the `referencing` extension of its Device; what
describes the app (DeviceDefinition, HealthcareService, Endpoint, publisher) is seen by the Device
it belongs to. So listing and suspending are one write, on every engine. docs/catalogue.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import EVERYTHING, NOTHING, any_of, negate, token
from fhirserver.search.expression import Chain, Compare, Has, Kind, Match, Present

if TYPE_CHECKING:
    from fhirserver.search.expression import Expression

BASE = "http://fhirserver.example"
#: On a Device: its place in the catalogue, and the convention of an app that exchanges data.
REFERENCING = f"{BASE}/StructureDefinition/catalogue-referencing"
CONVENTION = f"{BASE}/StructureDefinition/catalogue-convention"
#: On a HealthcareService: the Device it describes.
ENTRY = f"{BASE}/StructureDefinition/catalogue-entry"
#: On a Consent: the version of the convention that the citizen has agreed to.
AGREED = f"{BASE}/StructureDefinition/catalogue-agreed-version"
#: Identifiers of what belongs to the catalogue.
IDENTIFIER = f"{BASE}/catalogue"
PURPOSE = f"{BASE}/CodeSystem/catalogue-purpose"
TASK = f"{BASE}/CodeSystem/catalogue-task"

LISTED = "EN_LIGNE"
#: Types whose listed resources anybody may read, without a token too.
PUBLIC = frozenset({"Device", "DeviceDefinition", "HealthcareService", "Endpoint", "Organization"})

_LISTED = token("referencing-status", LISTED)
_DESCRIBES = Chain("catalogue-entry", ("Device",), _LISTED)
_IDENTIFIED = Match("identifier", Kind.TOKEN, Compare("system", "eq", IDENTIFIER))
_SHOWN: dict[str, Expression] = {
    "Device": _LISTED,
    "HealthcareService": _DESCRIBES,
    "DeviceDefinition": Has("Device", "definition", _LISTED),
    "Endpoint": Has("HealthcareService", "endpoint", _DESCRIBES),
    "Organization": Has("Device", "organization", _LISTED),
}
_BELONGING: dict[str, Expression] = {
    "Device": Present("referencing-status", Kind.TOKEN),
    "HealthcareService": Present("catalogue-entry", Kind.REFERENCE),
    "DeviceDefinition": _IDENTIFIED,
    "Endpoint": _IDENTIFIED,
}


def listed(type: str) -> Expression:
    """What of `type` is on the public list."""
    return _SHOWN.get(type, NOTHING)


def belonging(type: str) -> Expression:
    """What of `type` is part of the catalogue, listed or not."""
    return _BELONGING.get(type, NOTHING)


def visible(type: str) -> Expression:
    """What of `type` is shown to whoever is neither operator nor publisher: all but entries of
    the catalogue that are not listed."""
    inside = _BELONGING.get(type)
    return EVERYTHING if inside is None else any_of(negate(inside), _SHOWN[type])


def requests() -> Expression:
    """Tasks by which publishers ask for something."""
    return Match("code", Kind.TOKEN, Compare("system", "eq", TASK))
