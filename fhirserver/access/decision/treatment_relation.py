"""Rule 3, normal mode: the citizen has permitted this professional or their team.

A Consent with provision permit, category INFA, that names the professional, their organization
or a care team they are in (CareTeam.participant). Recorded once it covers the whole team. To
somebody outside the team the citizen consents at each consultation: the same Consent with a
period. A Consent for some classes of data only, or for another purpose than treatment, does not
count here.

Source: CSP L.1110-12 and L.1111-17; Conseil d'État, 15 October 2025 (an initial consent of the
patient must be recorded before the team has access).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import absent, any_of, token
from fhirserver.access.decision.codes import ACT_REASON, TREATMENT
from fhirserver.access.decision.consents import names_caller, permission
from fhirserver.access.decision.rule import PatientRule

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def expression(situation: Situation) -> Expression:
    return permission(
        situation,
        absent("provision-class"),
        any_of(absent("purpose"), token("purpose", TREATMENT, system=ACT_REASON)),
        names_caller(situation),
    )


def applies(situation: Situation) -> bool:
    return situation.treats and not situation.emergency


RULE = PatientRule(
    "treatment-relation", applies, expression, "consent-recorded", "no-consent-recorded"
)
