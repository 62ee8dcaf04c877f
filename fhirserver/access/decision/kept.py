"""What is neither a patient's record nor for everybody: kept by the server's operator, by those who
keep identities, or by the organization it belongs to (terminology/access/resource-types.json).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import EVERYTHING, NOTHING, any_of, refers
from fhirserver.access.decision.tables import resource_types

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def permission(situation: Situation, action: str, type: str) -> Expression | None:
    """None where it is for nobody of the caller's kind."""
    kept = resource_types().kept[type]
    caller = situation.caller
    if caller.role is Role.OPERATOR and "operator" in kept.by:
        return EVERYTHING
    if caller.role is not Role.SYSTEM:
        return None
    if "registrar" in kept.by and caller.client in situation.settings.registrars:
        return EVERYTHING
    if not kept.owner:
        return None
    owned = (refers(code, situation.organizations) for code in kept.owner)
    return any_of(*owned) if situation.organizations else NOTHING
