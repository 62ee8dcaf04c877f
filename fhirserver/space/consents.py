"""The citizen's Consents that open and close a space (docs/access.md has their shapes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import all_of, in_force, refers, token
from fhirserver.access.decision.codes import (
    ACT_CODE,
    CONSENT_SCOPE,
    OPT_IN,
    OPT_OUT,
    PATIENT_PRIVACY,
)
from fhirserver.access.decision.consent_shapes import codes, is_choice
from fhirserver.access.store import Selects
from fhirserver.model.dates import microseconds
from fhirserver.model.references import identity
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from datetime import datetime

    from fhirserver.interaction.context import Context, Resource

_PAGE = 100


def in_force_of(patient: str, category: str, now: datetime) -> Query:
    """Consents of that category in force for the Patient of that id."""
    where = all_of(
        refers("patient", (("Patient", patient),)),
        token("status", "active"),
        token("scope", PATIENT_PRIVACY, system=CONSENT_SCOPE),
        token("category", category, system=ACT_CODE),
        in_force("period", microseconds(now)),
    )
    return Query(("Consent",), where, count=_PAGE)


async def is_closed(ctx: Context, patient: str) -> bool:
    """A closing or an opposition of the citizen is in force."""
    query = in_force_of(patient, OPT_OUT, ctx.clock())
    return await ctx.as_server.store.count(query, 1) > 0


async def asks_for_it(ctx: Context, patient: str) -> bool:
    """The citizen has asked for the space."""
    query = in_force_of(patient, OPT_IN, ctx.clock())
    return await ctx.as_server.store.count(query, 1) > 0


def unopposed(patient: str, now: datetime) -> Selects:
    """At the moment of commit no closing or opposition is in force."""
    return Selects(in_force_of(patient, OPT_OUT, now), frozenset(), server=True)


def choice_of(ctx: Context, consent: Resource) -> tuple[str, str]:
    """The category (OPTIN, OPTOUT or empty) of an active choice, and the id of its Patient."""
    if consent.get("status") != "active" or not is_choice(consent):
        return "", ""
    category = codes(consent.get("category", [])) & {OPT_IN, OPT_OUT}
    patient = identity(consent.get("patient"), ctx.local_bases, "Patient")
    if len(category) != 1 or patient is None:
        return "", ""
    return next(iter(category)), patient[1]
