"""Apps of the catalogue: the citizen has authorised this app for this class of data.

A Consent with provision permit, category INFA, whose actor is the app's Device. Its
provision.class (http://hl7.org/fhir/resource-types) names the types; without any, all types. The
Patient itself is seen with any of them. Checked at each call, so that a withdrawal acts at once.
After the person came of age only Consents given since then count.

Source: CSP L.1111-13-1 III and R.1111-37 to -39 (express consent, named data); at 18 the app
consents are asked again (the national application's rule, read in 2026).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import NOTHING, absent, any_of, refers, token
from fhirserver.access.decision.codes import RESOURCE_TYPE
from fhirserver.access.decision.consents import permission
from fhirserver.access.decision.rule import PatientRule
from fhirserver.model.dates import microseconds
from fhirserver.search.expression import Compare, Kind, Match

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def expression(
    situation: Situation, type: str | None = None, since: datetime | None = None
) -> Expression:
    """Patients who have authorised the app, for `type` if one is named, since `since`."""
    kind, _, id = (situation.app or "").partition("/")
    if not id:
        return NOTHING
    parts = [refers("actor", ((kind, id),))]
    if type is not None:
        named = token("provision-class", type, system=RESOURCE_TYPE)
        parts.append(any_of(absent("provision-class"), named))
    if since is not None:
        given = Compare("low", "ge", microseconds(since))
        parts.append(Match("date", Kind.DATE, given))
    return permission(situation, *parts)


def applies(situation: Situation) -> bool:
    return situation.app is not None


def rule(type: str | None, since: datetime | None) -> PatientRule:
    made: Callable[[Situation], Expression] = lambda s: expression(s, type, since)  # noqa: E731
    return PatientRule("app-authorised", applies, made, "app-authorised", "app-not-authorised")
