"""Rule 3, emergency modes: the citizen has not opposed them beforehand.

A Consent with provision deny and purpose BTG stops bris_de_glace, one with purpose ETREAT stops
centre_15.

Source: CSP R.1111-48 (prior opposition of the holder to either access).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Mode
from fhirserver.access.decision.build import negate, token
from fhirserver.access.decision.codes import BREAK_THE_GLASS, EMERGENCY_TREATMENT
from fhirserver.access.decision.consents import refusal
from fhirserver.access.decision.rule import PatientRule

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def expression(situation: Situation) -> Expression:
    broken = situation.caller.mode is Mode.BRIS_DE_GLACE
    purpose = BREAK_THE_GLASS if broken else EMERGENCY_TREATMENT
    return negate(refusal(situation, token("purpose", purpose)))


def applies(situation: Situation) -> bool:
    return situation.emergency


RULE = PatientRule(
    "emergency-not-opposed", applies, expression, "no-prior-opposition", "opposed-beforehand"
)
