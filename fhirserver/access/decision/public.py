"""Whoever shows no token reads the public list of the catalogue, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision import listing
from fhirserver.access.decision.build import NOTHING, any_of
from fhirserver.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


class PublicRules:
    """The rules of nobody in particular (`access/rules.py`)."""

    def predicate(self, action: str, type: str) -> Expression | None:
        return listing.listed(type) if action in "rs" and type in listing.PUBLIC else None

    def known(self, type: str) -> Expression:
        return any_of(self.predicate("r", type) or NOTHING)

    def by_identifier(self) -> Expression | None:
        return None

    def may_label(self, type: str) -> Expression:
        return NOTHING

    def explains(self, patient: str) -> Situation:
        raise Forbidden("Only the citizen and who represents them may ask this.")

    def gives_all(self, action: str) -> bool:
        return False

    def check(
        self, type: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> None:
        raise Forbidden("Without an access token nothing is written.")
