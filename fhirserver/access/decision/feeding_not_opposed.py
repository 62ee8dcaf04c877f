"""Feeding: the citizen has not opposed, for a legitimate reason, that this author writes.

Writing never needs a consent; a Consent of category ICOL with provision deny that names the
author, their organization or nobody refuses it.

Source: CSP R.1111-47 (information and opposition for a legitimate reason).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import absent, all_of, any_of, negate, token
from fhirserver.access.decision.codes import ACT_CODE, INFORMATION_COLLECTION
from fhirserver.access.decision.consents import names_caller, refusal
from fhirserver.access.decision.rule import PatientRule
from fhirserver.search.expression import Kind

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def expression(situation: Situation) -> Expression:
    whose = any_of(absent("actor", Kind.REFERENCE), names_caller(situation))
    category = token("category", INFORMATION_COLLECTION, system=ACT_CODE)
    return negate(refusal(situation, all_of(category, whose)))


def applies(situation: Situation) -> bool:
    return situation.treats


RULE = PatientRule(
    "feeding-not-opposed", applies, expression, "feeding-not-opposed", "feeding-opposed"
)
