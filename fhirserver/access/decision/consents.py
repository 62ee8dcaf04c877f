"""What a citizen's Consents say, as expressions on their Patient
(https://hl7.org/fhir/R4/consent.html).

A Consent counts while it is active, of scope patient-privacy, and its provision's period covers
now. A permission counts only when all of it is understood: nested provisions, codes, data and
their periods would narrow it, so a permission with any of these permits nothing. A refusal counts
whatever else it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import absent, all_of, any_of, in_force, refers, token
from fhirserver.access.decision.codes import (
    ACT_CODE,
    CONSENT_SCOPE,
    INFORMATION_ACCESS,
    PATIENT_PRIVACY,
)
from fhirserver.search.expression import Chain, Has, Kind

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression

_NARROWING = (
    absent("nested-provision"),
    absent("provision-code"),
    absent("provision-data-period", Kind.DATE),
    absent("data", Kind.REFERENCE),
    absent("security-label"),
)


def consent(situation: Situation, *parts: Expression) -> Expression:
    """Patients with a Consent in force that `parts` select."""
    source = all_of(
        token("status", "active"),
        token("scope", PATIENT_PRIVACY, system=CONSENT_SCOPE),
        in_force("period", situation.moment),
        *parts,
    )
    return Has("Consent", "patient", source)


def permission(situation: Situation, *parts: Expression) -> Expression:
    return consent(
        situation,
        token("provision-type", "permit"),
        token("category", INFORMATION_ACCESS, system=ACT_CODE),
        *_NARROWING,
        *parts,
    )


def refusal(situation: Situation, *parts: Expression) -> Expression:
    return consent(situation, token("provision-type", "deny"), *parts)


def names_caller(situation: Situation) -> Expression:
    """A Consent whose actor is the caller, their organization, or a care team of either."""
    if not situation.references:
        return any_of()
    team = Chain(
        "actor",
        ("CareTeam",),
        all_of(
            any_of(token("status", "active"), absent("status")),
            refers("participant", situation.references),
        ),
    )
    return any_of(refers("actor", situation.references), team)
