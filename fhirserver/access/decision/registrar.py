"""Registrars: who keeps the identities (the health insurance) and opens spaces for them.

They read and write Patients, RelatedPersons and the Tasks of openings, of whichever space, and see
no health data by this. The settings name their clients.

Source: CSP R.1111-28 (the health insurance informs, and opens the spaces).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import EVERYTHING, NOTHING, token

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression

#: Code system of Tasks that are about a space as such.
TASK = "http://fhirserver.example/CodeSystem/space-task"
_IDENTITIES = frozenset({"Patient", "RelatedPerson"})


def permission(situation: Situation, action: str, type: str) -> Expression:
    """What a registrar may do beyond what its role gives."""
    caller = situation.caller
    if caller.role is not Role.SYSTEM or caller.client not in situation.settings.registrars:
        return NOTHING
    if action == "d":
        return NOTHING
    if type in _IDENTITIES:
        return EVERYTHING
    return token("code", "opening", system=TASK) if type == "Task" else NOTHING
