"""A rule: who passes, and what it is called when it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


@dataclass(frozen=True, slots=True)
class PatientRule:
    """`expression` selects the Patients whose data pass. `applies` tells for which callers the
    rule exists at all. `passed` and `refused` are the reason codes."""

    name: str
    applies: Callable[[Situation], bool]
    expression: Callable[[Situation], Expression]
    passed: str
    refused: str


Verdict = Literal["permit", "deny", "not-applicable"]


@dataclass(frozen=True, slots=True)
class Step:
    """One rule's part in a decision."""

    rule: str
    verdict: Verdict
    reason: str
