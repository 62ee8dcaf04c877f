"""Which items of the programme are done, due, to come or missed for a person on a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from fhirserver.diary.immunization.period import Period
from fhirserver.diary.screening.events import Event
from fhirserver.diary.screening.follow_up import open_follow_ups
from fhirserver.diary.screening.programme import Item, Phase, Programme

#: `missed`: its time is over and it was not done. `follow-up`: a physician follows up instead.
State = Literal["due", "upcoming", "done", "missed", "follow-up"]

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Planned:
    """One item for a person. `start` to `end`: the days on which it is to be done, `end` None
    when open; `closed_by`: the event that closes it; `because`: the one whose result demands it."""

    item: Item
    state: State
    line: str
    name: str
    start: date | None = None
    end: date | None = None
    test: str | None = None
    closed_by: Event | None = None
    certificate: str | None = None
    because: Event | None = None


def plan(
    programme: Programme,
    birth: date,
    sex: str | None,
    pregnancy: date | None,
    conditions: frozenset[tuple[str, str]],
    done: Sequence[Event],
    on: date,
) -> list[Planned]:
    """`pregnancy`: first day of the last period of a present one; `conditions`: (system, code)."""
    found: list[Planned] = []
    for item in programme.items:
        if sex in item.not_sex:
            continue
        if item.instead & conditions and on < _last_age(item, birth):
            found.append(Planned(item, "follow-up", item.line, item.name))
        elif item.phases:
            found += _repeated(item, birth, done, on)
        elif item.windows:
            found += _once_each(item, birth, done, on)
        elif item.pregnancy is not None and pregnancy is not None:
            found.append(_in_pregnancy(item, item.pregnancy, pregnancy, done, on))
    return found


def _last_age(item: Item, birth: date) -> date:
    ends = [p.end for p in item.phases] + [w.end for w in item.windows]
    return max((end.after(birth) for end in ends), default=date.max)


def _repeated(item: Item, birth: date, done: Sequence[Event], on: date) -> list[Planned]:
    """The last test done, and when the next one is wished."""
    found = []
    tests = {phase.test for phase in item.phases}
    demanded: dict[str, Planned] = {}  # one for each test wanted, since it was first
    for one in open_follow_ups(item.follow_ups, done):
        planned = _demanded(item, one.rule.line, one.rule.wants, one.day, one.event, on)
        demanded.setdefault(planned.test or "", planned)
    last = [event for event in done if event.test in tests]
    if last:
        found.append(
            Planned(
                item, "done", item.line, item.name, last[-1].day, last[-1].day, last[-1].test,
                last[-1],
            )
        )  # fmt: skip
    if demanded:
        return found + list(demanded.values())
    counted = [event for event in done if event.result != "unsatisfactory"]
    for phase in item.phases:
        begin, end = phase.start.after(birth), phase.end.after(birth)
        if on >= end:
            continue
        day = max(begin, _wished(phase, begin, counted))
        if day >= end:
            continue
        state: State = "due" if day <= on else "upcoming"
        found.append(Planned(item, state, phase.line, item.name, day, end - _DAY, phase.test))
        break
    return found


def _demanded(
    item: Item, line: str, wants: Sequence[str], day: date, event: Event, on: date
) -> Planned:
    """What a result demands: it stays open until it is done, whatever the age."""
    if not wants:
        return Planned(item, "follow-up", line, item.name, because=event)
    state: State = "due" if day <= on else "upcoming"
    return Planned(item, state, line, item.name, day, test=wants[0], because=event)


def _wished(phase: Phase, begin: date, done: Sequence[Event]) -> date:
    """The day from which a phase wants its next test."""
    own = [event.day for event in done if event.test == phase.test]
    counted = [day for day in own if day >= begin]
    day = date.min
    if own:
        # A test done before the phase begins counts as its first one.
        index = min(max(len(counted), 1), len(phase.intervals)) - 1
        day = phase.intervals[index].after(own[-1])
    for test, interval in phase.after.items():
        others = [event.day for event in done if event.test == test]
        if others:
            day = max(day, interval.after(others[-1]))
    return day


def _once_each(item: Item, birth: date, done: Sequence[Event], on: date) -> list[Planned]:
    """Every window that has begun, each closed by at most one event, and the next one."""
    found: list[Planned] = []
    free = [event for event in done if event.test == item.test]
    for window in item.windows:
        start, end = window.start.after(birth), window.end.after(birth)
        if end <= item.since:
            continue
        closing = next((event for event in free if start <= event.day < end), None)
        if closing is not None:
            free.remove(closing)
        state: State = (
            "done" if closing is not None
            else "missed" if on >= end
            else "due" if on >= start
            else "upcoming"
        )  # fmt: skip
        name = f"{item.name} {window.name}"
        found.append(
            Planned(
                item, state, item.line, name, start, end - _DAY, item.test, closing,
                window.certificate,
            )
        )  # fmt: skip
        if state == "upcoming":
            break
    return found


def _in_pregnancy(
    item: Item, weeks: tuple[Period, Period], began: date, done: Sequence[Event], on: date
) -> Planned:
    start, end = weeks[0].after(began), weeks[1].after(began)
    closing = next((e for e in done if e.test == item.test and start <= e.day < end), None)
    state: State = "done" if closing else "due" if start <= on else "upcoming"
    return Planned(item, state, item.line, item.name, start, end - _DAY, item.test, closing)
