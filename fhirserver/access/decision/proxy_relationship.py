"""Proxies: the RelatedPerson behind the call represents or cares for this citizen today.

The RelatedPerson is active, points to the Patient and its period covers now. Its relationship is

* GUARD without a parent's code: legal representative, for as long as it lasts;
* a parent's code (MTH, FTH, PRN ...), with or without GUARD: until the child comes of age;
* CAREGIVER: carer, who reads and adds, but does not change the person's contacts or choices,
  name other proxies, delete, or see the access log.

Source: Code civil 388 and 414 (majority at 18), CSP L.1111-5; the national application's rules on
delegation (second parent, carers), read in 2026. TRE_R260 and TRE_R216 (2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import NOTHING, all_of, any_of, in_force, negate, token
from fhirserver.access.decision.codes import CARER, LEGAL_REPRESENTATIVE, PARENTS
from fhirserver.access.decision.rule import PatientRule
from fhirserver.model.dates import microseconds
from fhirserver.search.expression import Compare, Has, Identity, Kind, Match

if TYPE_CHECKING:
    from datetime import datetime

    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def years_before(now: datetime, years: int) -> datetime:
    try:
        return now.replace(year=now.year - years)
    except ValueError:  # 29 February
        return now.replace(year=now.year - years, day=28)


def minor(situation: Situation) -> Expression:
    """Patients known to be under age."""
    day = years_before(situation.now, situation.settings.majority)
    return Match("birthdate", Kind.DATE, Compare("low", "gt", microseconds(day)))


def legal(situation: Situation) -> Expression:
    """Patients the caller represents by law."""
    parent = token("relationship", *PARENTS)
    guard = token("relationship", LEGAL_REPRESENTATIVE)
    return any_of(
        all_of(minor(situation), _related(situation, parent)),
        _related(situation, all_of(guard, negate(parent))),
    )


def caring(situation: Situation) -> Expression:
    return _related(situation, token("relationship", CARER))


def expression(situation: Situation) -> Expression:
    return any_of(legal(situation), caring(situation))


def _related(situation: Situation, relationship: Expression) -> Expression:
    id = situation.own("RelatedPerson")
    if id is None:
        return NOTHING
    source = all_of(
        Identity((id,)),
        token("active", "true"),
        in_force("period", situation.moment),
        relationship,
    )
    return Has("RelatedPerson", "patient", source)


def applies(situation: Situation) -> bool:
    return situation.caller.role is Role.PROXY


RULE = PatientRule("proxy-relationship", applies, expression, "proxy-in-force", "no-proxy-in-force")
