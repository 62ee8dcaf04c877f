"""Rule 5: the labels of a resource let this caller see it.

* MASQUE_PS: hidden from professionals, in emergency modes too (setting `masked_in_emergency`), but
  for its author and the citizen's general practitioner (setting `masked_for_administrator`).
* INVISIBLE_PATIENT: hidden from the citizen and proxies until a professional has told them, at
  most one month from the document's date (setting `invisible_months`).
* INVISIBLE_REPRESENTANTS_LEGAUX, CONNEXION_SECRETE: hidden from proxies.
* V, very restricted: as MASQUE_PS. R, restricted: hidden from professions outside health care.

Labels stand in meta.security of any resource, and in DocumentReference.securityLabel; a code
hides whatever its system, since a mistaken system must not lay a document open. A List that names
a hidden document (a SubmissionSet, a folder) is hidden like it, but from who made the List.

Source: TRE_A07 (visibility), v3-Confidentiality; CSP R.1111-53 (announcement: two weeks, then one
month), L.1111-5, L.1111-5-1, L.2212-4, L.2212-7, L.6211-3-1 (a minor's secret care).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import all_of, any_of, negate, token
from fhirserver.access.decision.codes import (
    INVISIBLE_TO_PATIENT,
    INVISIBLE_TO_REPRESENTATIVES,
    MASKED,
    RESTRICTED,
    SECRET_CONNECTION,
    VERY_RESTRICTED,
)
from fhirserver.access.decision.ownership import authored
from fhirserver.model.dates import microseconds
from fhirserver.search.expression import Chain, Compare, Kind, Match, Updated

if TYPE_CHECKING:
    from datetime import datetime

    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression

NAME = "labels"
PASSED, REFUSED = "labels-permit", "hidden-by-label"


def labelled(type: str, *codes: str) -> Expression:
    everywhere = token("_security", *codes)
    if type != "DocumentReference":
        return everywhere
    return any_of(everywhere, token("security-label", *codes))


def expression(situation: Situation, type: str, trusted: Expression) -> Expression:
    """What the labels let through. `trusted` selects what the caller has written, or may see as
    the citizen's administrator."""
    if type == "List":
        documents = expression(
            situation, "DocumentReference", authored("DocumentReference", situation)
        )
        naming = Chain("item", ("DocumentReference",), negate(documents))
        return all_of(_of_itself(situation, type, trusted), negate(all_of(naming, negate(trusted))))
    return _of_itself(situation, type, trusted)


def _of_itself(situation: Situation, type: str, trusted: Expression) -> Expression:
    role = situation.caller.role
    if role in (Role.CITIZEN, Role.PROXY):
        hidden = all_of(labelled(type, INVISIBLE_TO_PATIENT), negate(_announced(situation, type)))
        if role is Role.PROXY:
            secret = labelled(type, INVISIBLE_TO_REPRESENTATIVES, SECRET_CONNECTION)
            hidden = any_of(hidden, secret)
        return negate(hidden)
    opened = situation.emergency and not situation.settings.masked_in_emergency
    masking = (VERY_RESTRICTED,) if opened else (MASKED, VERY_RESTRICTED)
    hidden = all_of(labelled(type, *masking), negate(trusted))
    profession = situation.profession
    if profession is None or not profession.health:
        hidden = any_of(hidden, labelled(type, RESTRICTED))
    return negate(hidden)


def _announced(situation: Situation, type: str) -> Expression:
    """The time to announce is over: since the date, and, where that is missing or yet to come,
    since the last change."""
    day = microseconds(months_before(situation.now, situation.settings.invisible_months))
    if type in ("DocumentReference", "Composition", "DiagnosticReport", "Observation"):
        dated = Match("date", Kind.DATE, Compare("high", "le", day))
        return any_of(dated, Updated(Compare("high", "le", day)))
    return Updated(Compare("high", "le", day))


def months_before(now: datetime, months: int) -> datetime:
    number = now.year * 12 + now.month - 1 - months
    year, month = divmod(number, 12)
    for day in (now.day, 30, 29, 28):
        try:
            return now.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")
