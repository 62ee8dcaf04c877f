"""What a result demands: which follow-ups of an item are open after the tests that were done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from fhirserver.diary.immunization.period import Period
    from fhirserver.diary.screening.events import Event

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FollowUp:
    """After `test` with one of `results` (`unknown`: none was told), one of the tests `wants` is to
    be done, the first of choice, `at` that time after; with none wanted a physician decides.
    `closing`: only when the test closes one of these. `later`: not by a test of the same day."""

    id: str
    test: str
    results: frozenset[str]
    closing: frozenset[str]
    wants: tuple[str, ...]
    at: Period
    later: bool
    line: str


@dataclass(frozen=True, slots=True)
class Open:
    """A follow-up that is still to be done. `event`: the test whose result demands it."""

    rule: FollowUp
    event: Event

    @property
    def day(self) -> date:
        return self.rule.at.after(self.event.day)

    def closed_by(self, event: Event) -> bool:
        if event.day <= self.event.day and self.rule.later:
            return False
        if not self.rule.wants:  # a physician decides, until the test says something else
            return event.test == self.event.test
        return event.test in self.rule.wants


def open_follow_ups(rules: Sequence[FollowUp], done: Sequence[Event]) -> list[Open]:
    """Those that no later test has closed, in the order in which they came about."""
    found: list[Open] = []
    for event in sorted(done, key=_order):
        closed = {one.rule.id for one in found if one.closed_by(event)}
        rule = next((rule for rule in rules if _applies(rule, event, closed)), None)
        found = [one for one in found if not one.closed_by(event)]
        if rule is not None:
            found.append(Open(rule, event))
    return found


def _applies(rule: FollowUp, event: Event, closed: set[str]) -> bool:
    return (
        rule.test == event.test
        and (event.result or UNKNOWN) in rule.results
        and (not rule.closing or bool(rule.closing & closed))
    )


def _order(event: Event) -> tuple[date, bool, Event]:
    """Of one day, what was found comes before what was not: a sample is looked at further because
    of the first result."""
    return event.day, event.result in (None, "negative"), event
