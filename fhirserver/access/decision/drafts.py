"""Drafts of messages (Communication.status preparation) are their author's alone.

Source: the national application's messaging, read in 2026: drafts stay with who writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import EVERYTHING, any_of, negate, refers, token

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def expression(situation: Situation, type: str) -> Expression:
    if type != "Communication":
        return EVERYTHING
    sent = negate(token("status", "preparation"))
    return any_of(sent, refers("sender", situation.references))
