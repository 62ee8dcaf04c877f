"""The holder of the space sees their own: the Patient of `fhir_user`, no other.

Source: CSP L.1111-13-1 and L.1111-19; EHDS (EU) 2025/327 art. 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import NOTHING
from fhirserver.access.decision.rule import PatientRule
from fhirserver.search.expression import Identity

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def expression(situation: Situation) -> Expression:
    id = situation.own("Patient")
    if id is None or situation.caller.patient not in (None, id):
        return NOTHING
    return Identity((id,))


def applies(situation: Situation) -> bool:
    return situation.caller.role is Role.CITIZEN


RULE = PatientRule("holder", applies, expression, "holder-of-the-space", "not-the-holder")
