"""Rule 2: the citizen has not blocked this professional.

A Consent with provision deny that names the professional, one of their roles, their organization
or a care team of theirs refuses, whatever other Consents permit. A deny that names nobody and no
purpose refuses every professional.

Source: CSP R.1111-46; PDSm4DMP 0.1.0 ("a blocked professional never reads", even when authorised
before). Whether it holds in emergency modes is not settled: setting `blocked_in_emergency`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import (
    EVERYTHING,
    absent,
    all_of,
    any_of,
    negate,
    token,
)
from fhirserver.access.decision.codes import ACT_CODE, INFORMATION_ACCESS
from fhirserver.access.decision.consents import names_caller, refusal
from fhirserver.access.decision.rule import PatientRule
from fhirserver.search.expression import Kind

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def expression(situation: Situation) -> Expression:
    if situation.emergency and not situation.settings.blocked_in_emergency:
        return EVERYTHING
    everybody = all_of(
        token("category", INFORMATION_ACCESS, system=ACT_CODE),
        absent("actor", Kind.REFERENCE),
        absent("purpose"),
        absent("security-label"),
    )
    return negate(refusal(situation, any_of(names_caller(situation), everybody)))


def applies(situation: Situation) -> bool:
    return situation.treats


RULE = PatientRule(
    "professional-not-blocked", applies, expression, "not-blocked", "blocked-by-citizen"
)
