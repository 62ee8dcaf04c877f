"""The vaccination calendar as data: series, courses, doses, boosters, who they are for.

`terminology/immunization/calendar-fr-2026.json` holds the rules, each with the line of the
calendar that it cites; this module only gives them a shape. A value `{"setting": name}` there is
taken from the settings, for the points on which the sources differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from typing import Any

import msgspec

from fhirserver.diary.immunization.period import Period, period
from fhirserver.model import shipped


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices the calendar leaves open; each is explained in the calendar's own file."""

    grace_days: int = 0
    pertussis_at_45_and_65: bool = True
    menacwy_catch_up_before: str = "5y"
    meningococcal_mandatory_from: str = "2023-01-01"
    territory: str = "FR"


@dataclass(frozen=True, slots=True)
class Span:
    """From an age or interval (counted in) to another one (not counted in); None: open."""

    start: Period | None = None
    end: Period | None = None


@dataclass(frozen=True, slots=True)
class Dose:
    """One dose of a course. `age` and `after` say when it is due (by age, and after the dose
    before); `minimum_age` and `interval` what makes it count; it may be given up to and with the
    day of age `until`, before age `before`."""

    minimum_age: Period
    interval: Period
    age: Span
    after: Span
    until: Period | None
    before: Period | None


@dataclass(frozen=True, slots=True)
class Course:
    """Doses for those who begin within `start`, with a vaccine tagged `tag`, having `risk`."""

    id: str
    line: str
    doses: tuple[Dose, ...]
    start: Span
    tag: str | None
    risk: str | None


@dataclass(frozen=True, slots=True)
class Milestone:
    """A booster at a fixed age: any dose from age `counts_from` on stands for it."""

    id: str
    line: str
    age: Span
    counts_from: Period
    before: Period | None
    interval: Period


@dataclass(frozen=True, slots=True)
class Clause:
    """Whom a series is for. All that is given must hold; a series has clauses in order of
    preference. `due`: age of the first dose; begun before age `ceiling`, gone on with before
    `finish`. `ages`: when it holds at all, for what comes in seasons."""

    reason: str
    line: str
    due: Span
    ages: Span
    ceiling: Period | None
    finish: Period | None
    risk: frozenset[str]
    born: tuple[date, date]
    territory: frozenset[str]
    pregnant: bool
    proposed: bool
    campaigns: frozenset[str]
    interval: Period | None
    prefer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProductRule:
    """What a vaccine must not be, or one of what it must be, within the ages given."""

    none_of: frozenset[str]
    one_of: frozenset[str]
    ages: Span


@dataclass(frozen=True, slots=True)
class Waiting:
    """Time to leave after earlier vaccines of some kinds."""

    any_of: frozenset[str]
    all_of: frozenset[str]
    interval: Period


@dataclass(frozen=True, slots=True)
class Obligation:
    born: tuple[date, date]
    line: str


@dataclass(frozen=True, slots=True)
class Campaign:
    """A season: `windows` by territory ("*": elsewhere); a dose from `counts_from` on counts."""

    id: str
    name: str
    counts_from: date
    windows: Mapping[str, tuple[date, date]]


@dataclass(frozen=True, slots=True)
class Windows:
    """How the times of a seasonal series are found: a campaign, weeks of pregnancy, a yearly
    season (month and day), or the first season of life."""

    campaign: str | None
    pregnancy: Span | None
    season: tuple[str, str] | None
    first_season: bool


@dataclass(frozen=True, slots=True)
class Series:
    """The rules for some targets. `evaluates`: ages at which its doses are its own; `silent`:
    not spoken of to those it is not for."""

    id: str
    name: str
    line: str
    targets: tuple[str, ...]
    evaluates: Span
    silent: bool
    clauses: tuple[Clause, ...]
    courses: tuple[Course, ...]
    milestones: tuple[Milestone, ...]
    windows: Windows | None
    products: tuple[ProductRule, ...]
    waiting: tuple[Waiting, ...]
    obligations: tuple[Obligation, ...]
    vaccines: tuple[tuple[Period | None, tuple[str, ...]], ...]
    minimum_age: Period
    interval: Period
    priming: tuple[Period, Period] | None
    unless: str | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """A version of the calendar, under some settings."""

    url: str
    version: str
    settings: Settings
    lines: Mapping[str, Mapping[str, str]]
    vaccines: Mapping[str, Any]
    campaigns: Mapping[str, tuple[Campaign, ...]]
    series: tuple[Series, ...]
    live_tag: str
    live_interval: Period

    @property
    def ruleset(self) -> str:
        return f"{self.url}|{self.version}"


@cache
def calendar(settings: Settings | None = None) -> Calendar:
    """The calendar that travels with the server."""
    settings = settings or Settings()
    body = shipped.read("terminology", "immunization", "calendar-fr-2026.json")
    table = _settled(msgspec.json.decode(body), settings)
    return Calendar(
        table["url"],
        table["version"],
        settings,
        table["lines"],
        table["vaccines"],
        {name: tuple(map(_campaign, listed)) for name, listed in table["campaigns"].items()},
        tuple(map(_series, table["series"])),
        table["live_interval"]["tag"],
        period(table["live_interval"]["interval"]),
    )


def _settled(value: Any, settings: Settings) -> Any:
    if isinstance(value, list):
        return [_settled(item, settings) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"setting"}:
        known = {field.name for field in fields(settings)}
        if value["setting"] not in known:
            raise ValueError(f"The calendar asks for an unknown setting {value['setting']!r}.")
        return getattr(settings, value["setting"])
    return {name: _settled(item, settings) for name, item in value.items()}


def _period(text: str | None) -> Period | None:
    return None if text is None else period(text)


def _span(pair: Any) -> Span:
    return Span() if pair is None else Span(_period(pair[0]), _period(pair[1]))


def _ages(given: Mapping[str, Any]) -> Span:
    return Span(_period(given.get("from")), _period(given.get("before")))


def _born(pair: Any) -> tuple[date, date]:
    low, high = pair or (None, None)
    return (
        date.min if low is None else date.fromisoformat(low),
        date.max if high is None else date.fromisoformat(high),
    )


def _dose(given: Mapping[str, Any]) -> Dose:
    return Dose(
        period(given.get("minimum_age", "0d")),
        period(given.get("interval", "0d")),
        _span(given.get("age")),
        _span(given.get("after")),
        _period(given.get("until")),
        _period(given.get("before")),
    )


def _course(given: Mapping[str, Any]) -> Course:
    start = given.get("start", {})
    doses = tuple(map(_dose, given["doses"]))
    return Course(
        given["id"], given["line"], doses, _ages(start), start.get("tag"), start.get("risk")
    )


def _milestone(given: Mapping[str, Any]) -> Milestone:
    return Milestone(
        given["id"],
        given["line"],
        _span(given["age"]),
        period(given["counts_from"]),
        _period(given.get("before")),
        period(given["interval"]),
    )


def _clause(given: Mapping[str, Any], line: str) -> Clause:
    ceiling = _period(given.get("ceiling"))
    return Clause(
        given["reason"],
        given.get("line", line),
        _span(given.get("due")),
        _ages(given),
        ceiling,
        _period(given["finish"]) if "finish" in given else ceiling,
        frozenset(given.get("risk", ())),
        _born(given.get("born")),
        frozenset(given.get("territory", ())),
        given.get("pregnant", False),
        given.get("proposed", False),
        frozenset(given.get("campaigns", ())),
        _period(given.get("interval")),
        tuple(given.get("prefer", ())),
    )


def _windows(given: Mapping[str, Any] | None) -> Windows | None:
    if given is None:
        return None
    season = given.get("season") or given.get("first_season")
    return Windows(
        given.get("campaign"),
        _span(given["pregnancy"]) if "pregnancy" in given else None,
        tuple(season) if season else None,
        "first_season" in given,
    )


def _product_rule(given: Mapping[str, Any]) -> ProductRule:
    return ProductRule(
        frozenset(given.get("not", ())), frozenset(given.get("only", ())), _ages(given)
    )


def _series(given: Mapping[str, Any]) -> Series:
    courses = tuple(map(_course, given.get("courses", ())))
    line = given.get("line") or courses[0].line
    priming = given.get("priming")
    return Series(
        given["id"],
        given["name"],
        line,
        tuple(given["targets"]),
        _span(given.get("evaluates")),
        given.get("silent", False),
        tuple(_clause(clause, line) for clause in given["clauses"]),
        courses,
        tuple(_milestone(m) for m in given.get("milestones", ()) if m.get("if", True)),
        _windows(given.get("windows")),
        tuple(map(_product_rule, given.get("products", ()))),
        tuple(
            Waiting(
                frozenset(wait.get("any_of", ())),
                frozenset(wait.get("all_of", ())),
                period(wait["interval"]),
            )
            for wait in given.get("after", ())
        ),
        tuple(Obligation(_born(o["born"]), o["line"]) for o in given.get("mandatory", ())),
        tuple((_period(v.get("before")), tuple(v["use"])) for v in given["vaccines"]),
        period(given.get("minimum_age", "0d")),
        period(given.get("interval", "0d")),
        (period(priming["before"]), period(priming["interval"])) if priming else None,
        given.get("unless"),
    )


def _campaign(given: Mapping[str, Any]) -> Campaign:
    return Campaign(
        given["id"],
        given["name"],
        date.fromisoformat(given["counts_from"]),
        {
            territory: (date.fromisoformat(low), date.fromisoformat(high))
            for territory, (low, high) in given["territories"].items()
        },
    )
