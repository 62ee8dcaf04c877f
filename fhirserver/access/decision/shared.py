"""What is nobody's health data: directory, agenda, catalogue, definitions, terminology.

Everybody with the scope reads it. Operators write it, and clients the settings name as
registrars; professionals and services write their agendas (Schedule, Slot). A Device that has a
patient is that patient's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import EVERYTHING
from fhirserver.access.decision.tables import resource_types

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def permission(situation: Situation, action: str, type: str) -> Expression | None:
    if action in "rs":
        return EVERYTHING
    role = situation.caller.role
    if role is Role.OPERATOR or situation.caller.client in situation.settings.registrars:
        return EVERYTHING
    if type in resource_types().agenda and role in (Role.PROFESSIONAL, Role.SYSTEM):
        return EVERYTHING
    return None
