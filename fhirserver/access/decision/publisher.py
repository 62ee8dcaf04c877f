"""Publishers of apps: they read and write what is their own in the catalogue, and see no health
data at all. What they may change in which state is the catalogue's rule.

Source: CSP R.1111-37 to R.1111-39 (the publisher applies, the minister decides).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision import listing
from fhirserver.access.decision.build import EVERYTHING, NOTHING, all_of, any_of, refers
from fhirserver.search.expression import Identity

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression

#: The parameter that names the publisher.
_BY = {
    "Device": "organization",
    "DeviceDefinition": "manufacturer-organization",
    "HealthcareService": "organization",
    "Endpoint": "organization",
    "Task": "requester",
}
_DEFINITIONS = frozenset(
    {"CodeSystem", "ValueSet", "StructureDefinition", "SearchParameter", "OperationDefinition"}
)


def permission(situation: Situation, action: str, type: str) -> Expression | None:
    if type in _DEFINITIONS:
        return EVERYTHING if action in "rs" else None
    if type not in _BY and type != "Organization":
        return None
    own = _own(situation, type)
    if action in "rs":
        return any_of(own, listing.listed(type))
    if action == "u" or (action == "c" and type != "Organization"):
        return own
    return None


def _own(situation: Situation, type: str) -> Expression:
    if type == "Organization":
        ids = tuple(id for _, id in situation.organizations)
        return Identity(ids) if ids else NOTHING
    inside = listing.requests() if type == "Task" else listing.belonging(type)
    return all_of(refers(_BY[type], situation.organizations), inside)
