"""What holders and proxies may do in the space they are in.

The holder reads everything of their own but what waits to be announced, adds to it, and makes
every choice. Documents of professionals they may only label (`guards.py`); they delete only what
they have written. Legal representatives act likewise, less what a minor keeps from them. Carers
read and add; they make no choices.

Source: CSP R.1111-26 to R.1111-53; rules on delegation, see `proxy_relationship.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import EVERYTHING, NOTHING, all_of, any_of, negate, refers
from fhirserver.access.decision.drafts import expression as drafts
from fhirserver.access.decision.labels import expression as labels
from fhirserver.access.decision.ownership import authored, belongs
from fhirserver.access.decision.tables import resource_types
from fhirserver.search.expression import Kind, Present

if TYPE_CHECKING:
    from fhirserver.access.decision.ownership import People
    from fhirserver.access.decision.rights import Rights
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression

#: The choices: who may see, who represents. Not for carers.
CHOICES = frozenset({"Consent", "RelatedPerson"})


def visible(situation: Situation, rights: Rights, type: str) -> Expression | None:
    if type not in resource_types().record and type != "Device":
        return None
    if not rights.app_reaches(type):
        return None
    return all_of(
        belongs(type, rights.reads), labels(situation, type, NOTHING), drafts(situation, type)
    )


def permission(situation: Situation, rights: Rights, action: str, type: str) -> Expression | None:
    """What `action` may be done to; None when it may not be done to any of this type."""
    if action in "rs":
        return visible(situation, rights, type)
    if type not in resource_types().record or not rights.app_reaches(type):
        return None
    if type in CHOICES and (not rights.legal or situation.app):
        return None
    if type == "Patient":
        # Contacts and the like, by the person or their representative; never by an app.
        allowed = action == "u" and rights.legal and not situation.app
        return belongs(type, rights.reads) if allowed else None
    inside = all_of(belongs(type, _people(rights, type)), labels(situation, type, NOTHING))
    if action == "c":
        return all_of(inside, _honest_sender(situation, type))
    inside = all_of(inside, drafts(situation, type))
    if action == "u":
        return inside
    if situation.caller.role is Role.PROXY and not rights.legal:
        return None
    own = EVERYTHING if type in CHOICES else authored(type, situation)
    return all_of(inside, own)


def _people(rights: Rights, type: str) -> People:
    """A closed space takes nothing but the choice to open it again."""
    return rights.reads if type in CHOICES else rights.feeds


def _honest_sender(situation: Situation, type: str) -> Expression:
    if type != "Communication":
        return EVERYTHING
    senders = situation.persons
    if situation.caller.patient:
        senders = (*senders, ("Patient", situation.caller.patient))
    return any_of(negate(Present("sender", Kind.REFERENCE)), refers("sender", senders))
