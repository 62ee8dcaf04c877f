"""What professionals and backend services may do.

They read the record of patients who permit them, as far as matrix and labels go. They write into
any open space without asking (CSP R.1111-47), change what they have written or may read, and
delete only what they have written. Messages are their parties' alone, Consents those that name
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision import registrar
from fhirserver.access.decision.build import (
    NOTHING,
    all_of,
    any_of,
    negate,
    refers,
    token,
)
from fhirserver.access.decision.consents import names_caller
from fhirserver.access.decision.document_matrix import expression as by_matrix
from fhirserver.access.decision.drafts import expression as drafts
from fhirserver.access.decision.labels import expression as labels
from fhirserver.access.decision.ownership import authored, belongs
from fhirserver.access.decision.tables import resource_types, structured_types
from fhirserver.search.expression import Kind, Nothing, Present

if TYPE_CHECKING:
    from fhirserver.access.decision.rights import Rights
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression

MESSAGES = frozenset({"Communication", "CommunicationRequest"})
#: By which search parameters a message names who has part in it.
_PARTIES = ("sender", "recipient", "requester", "on-behalf-of")


def visible(situation: Situation, rights: Rights, type: str) -> Expression | None:
    if type == "Consent":
        named = all_of(
            belongs(type, rights.reads), token("provision-type", "permit"), names_caller(situation)
        )
        return any_of(named, all_of(belongs(type, rights.administers), belongs(type, rights.reads)))
    if type in MESSAGES:
        parties = any_of(*(refers(code, situation.references) for code in _PARTIES))
        return all_of(belongs(type, rights.feeds), parties, drafts(situation, type))
    if type not in resource_types().record and type != "Device":
        return None
    return all_of(
        belongs(type, rights.reads),
        by_matrix(situation, type) if type != "Device" else by_matrix(situation, "DeviceRequest"),
        labels(situation, type, trusted(situation, rights, type)),
    )


def trusted(situation: Situation, rights: Rights, type: str) -> Expression:
    """What the caller has written, or administers for the citizen."""
    administered: Expression = NOTHING
    if situation.settings.masked_for_administrator and not situation.emergency:
        administered = belongs(type, rights.administers)
    # A stored document shows what was visible to who assembled it, whoever wrote its Composition.
    written = NOTHING if type == "Bundle" else authored(type, situation)
    return any_of(written, administered)


def permission(situation: Situation, rights: Rights, action: str, type: str) -> Expression | None:
    kept = registrar.permission(situation, action, type)
    given = _permission(situation, rights, action, type)
    if isinstance(kept, Nothing):
        return given
    return kept if given is None else any_of(given, kept)


def _permission(situation: Situation, rights: Rights, action: str, type: str) -> Expression | None:
    if action in "rs":
        return visible(situation, rights, type)
    if type in ("Patient", "RelatedPerson"):
        return None
    if type == "Consent":
        collects = action == "c" and situation.settings.professionals_collect_consent
        return belongs(type, rights.feeds) if collects else None
    if type not in resource_types().record:
        return None
    space = belongs(type, rights.feeds)
    written = authored(type, situation)
    if action == "c":
        return all_of(space, _honest_sender(situation, type))
    if action == "d" or type in structured_types().documents:
        return all_of(space, any_of(written, _labelling(situation, rights, action, type)))
    seen = visible(situation, rights, type)
    return all_of(space, any_of(written, NOTHING if seen is None else seen))


def _labelling(situation: Situation, rights: Rights, action: str, type: str) -> Expression:
    """The administrator may label a document that others wrote."""
    if action != "u" or type != "DocumentReference":
        return NOTHING
    seen = visible(situation, rights, type)
    return NOTHING if seen is None else all_of(belongs(type, rights.administers), seen)


def _honest_sender(situation: Situation, type: str) -> Expression:
    if type not in MESSAGES:
        return all_of()
    return any_of(negate(Present("sender", Kind.REFERENCE)), refers("sender", situation.references))
