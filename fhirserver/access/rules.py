"""What a judged store asks: which resources an action may be done to.

`Uniform` is one predicate for everything; `decision/policy.py` makes the real ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from fhirserver.access.decision.build import EVERYTHING
from fhirserver.errors import Forbidden
from fhirserver.search.expression import Expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.access.decision.situation import Situation


class Rules(Protocol):
    """Actions are SMART's letters: c r u d s."""

    def predicate(self, action: str, type: str) -> Expression | None:
        """What of `type` the action may be done to; None when it is Forbidden."""

    def known(self, type: str) -> Expression:
        """What of `type` the caller may know of by any action."""

    def by_identifier(self) -> Expression | None:
        """What tells, of a Patient found by its exact national identifier, that the space is open;
        None: nobody is found by it alone."""

    def may_label(self, type: str) -> Expression:
        """Resources whose labels the caller may lower."""

    def explains(self, patient: str) -> Situation:
        """Who asks why others see this patient's data. Raises Forbidden."""

    def gives_all(self, action: str) -> bool:
        """Whether the scopes give the action over every type of a record, without constraint."""

    def check(
        self, type: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> None:
        """Refuse a write for what it changes. Raises Forbidden or Unprocessable."""


class Uniform:
    """The same predicate for every action and type."""

    def __init__(self, predicate: Expression) -> None:
        self._predicate = predicate

    def predicate(self, action: str, type: str) -> Expression | None:
        return self._predicate

    def known(self, type: str) -> Expression:
        return self._predicate

    def by_identifier(self) -> Expression | None:
        return None

    def may_label(self, type: str) -> Expression:
        return EVERYTHING

    def explains(self, patient: str) -> Situation:
        raise Forbidden("Only the citizen and who represents them may ask this.")

    def gives_all(self, action: str) -> bool:
        return True

    def check(
        self, type: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> None:
        pass
