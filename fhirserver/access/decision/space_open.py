"""Rule 1: the health space is open.

The Patient is active and no Consent of category OPTOUT is in force. A closed space is refused to
all but its holder and who represents them by law, who may read it to take the data along and may
open it again. (A proxy's right to act is looked at in `permit.py`: a carer needs an open space.)

Source: CSP R.1111-28 and R.1111-36 (decrees 2021-1047 and 2021-1048 of 4 August 2021): opened
unless the citizen objects, closed at any time, kept ten years. PDSm4DMP 0.1.0: the existence of
the record is Patient.active.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import all_of, negate, token
from fhirserver.access.decision.codes import ACT_CODE, OPT_OUT
from fhirserver.access.decision.consents import consent
from fhirserver.access.decision.rule import PatientRule

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def expression(situation: Situation) -> Expression:
    active = (
        token("active", "true")
        if situation.settings.active_needed
        else negate(token("active", "false"))
    )
    return all_of(active, negate(consent(situation, token("category", OPT_OUT, system=ACT_CODE))))


def applies(situation: Situation) -> bool:
    return situation.caller.role is not Role.CITIZEN


RULE = PatientRule("space-open", applies, expression, "space-is-open", "space-is-closed")
