"""What is due next in one series, for one target, with its dates and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from fhirserver.diary.immunization.calendar import (
    Calendar,
    Clause,
    Course,
    Dose,
    Milestone,
    Series,
)
from fhirserver.diary.immunization.evaluate import (
    Track,
    course_for,
    last_day,
    live_conflict_ends,
    waiting_ends,
)
from fhirserver.diary.immunization.history import Vaccination
from fhirserver.diary.immunization.period import Period
from fhirserver.diary.immunization.person import Person
from fhirserver.diary.immunization.products import NO_TAGS

#: `future`: due later. `offered`: may be had, is not urged.
Status = Literal[
    "due", "overdue", "future", "offered", "complete", "immune", "contraindicated",
    "not-recommended", "aged-out",
]  # fmt: skip

_MONTH = Period(months=1)
_DAY = timedelta(days=1)
_MAJORITY = Period(months=18 * 12)
_LIVE_TARGETS = frozenset({"measles", "mumps", "rubella", "varicella", "yellow-fever"})


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be done about one target. `latest`: the last day on which it may be given."""

    target: str
    series: Series
    status: Status
    reasons: tuple[str, ...]
    line: str
    earliest: date | None = None
    recommended: date | None = None
    overdue: date | None = None
    latest: date | None = None
    number: int | None = None
    total: int | None = None
    course: str | None = None
    prefer: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return self.status in ("due", "overdue", "offered", "future")


def forecast_course(
    calendar: Calendar,
    series: Series,
    target: str,
    person: Person,
    doses: Sequence[Vaccination],
    track: Track,
    on: date,
) -> Forecast:
    """The next dose of the course, else the next booster, else why there is none."""
    floor = _floor(calendar, series, target, doses, on)
    meant = [clause for clause in series.clauses if holds(clause, person)]
    if not meant:
        return Forecast(target, series, "not-recommended", ("not-in-group",), series.line)
    if not track.complete:
        for clause in meant:
            found = _next_dose(series, target, person, track, on, clause, floor)
            if found is not None:
                return found
    line = track.course.line if track.course else meant[0].line
    booster = _next_booster(series, target, person, track, on, floor)
    if booster is not None:
        return booster
    if track.complete or _boosted(series, person, track):
        number = len(track.valid)
        return Forecast(target, series, "complete", ("complete",), line, total=number or None)
    return Forecast(target, series, "aged-out", ("maximum-age",), line)


def holds(clause: Clause, person: Person) -> bool:
    """Whether the person is of those meant, apart from age."""
    if clause.risk and not clause.risk & person.risks.keys():
        return False
    if clause.territory and person.territory not in clause.territory:
        return False
    if clause.pregnant and person.pregnancy is None:
        return False
    return clause.born[0] <= person.birth < clause.born[1]


def _floor(
    calendar: Calendar, series: Series, target: str, doses: Sequence[Vaccination], on: date
) -> date:
    """The day before which nothing can be given, for what was given before."""
    floor = waiting_ends(series, target, doses)
    if target in _LIVE_TARGETS:
        floor = max(floor, live_conflict_ends(calendar, target, doses, on + _DAY))
    return floor


def _next_dose(
    series: Series,
    target: str,
    person: Person,
    track: Track,
    on: date,
    clause: Clause,
    floor: date,
) -> Forecast | None:
    """The next dose of the course under a clause; None when it is too late for it."""
    valid = track.valid
    limit = clause.finish if valid else clause.ceiling
    last = person.at(limit) - _DAY if limit is not None else None
    course = track.course or _course_to_begin(series, person, on)
    if course is None:
        return None
    rule = course.doses[len(valid)]
    end = last_day(rule, person)
    if end is not None:
        last = end if last is None else min(last, end)
    youngest = rule.minimum_age if valid else series.courses[0].doses[0].minimum_age
    earliest = max(person.at(youngest), floor)
    if valid:
        earliest = max(earliest, rule.interval.after(valid[-1]))
    elif clause.due.start is not None and clause.due.end is None:
        earliest = max(earliest, person.at(clause.due.start))
    due, overdue = _due(person, clause, rule, valid)
    recommended = max(due, earliest)
    if last is not None:
        if last < max(earliest, on):
            return None
        recommended = min(recommended, last)
    if overdue is not None:
        overdue = max(overdue, recommended)
        if last is not None:
            overdue = min(overdue, last + _DAY)
    status: Status
    if on < recommended:
        status = "future"
    elif clause.proposed and not _begun(person, clause, valid):
        status = "offered"
    elif overdue is not None and on >= overdue:
        status = "overdue"
    else:
        status = "due"
    reasons = [clause.reason, "next-dose" if valid else "first-dose"]
    if status == "overdue" or course.line.endswith("catch-up"):
        reasons.append("catch-up")
    if any(not judged.valid for judged in track.judged):
        reasons.append("dose-not-counted")
    if floor > max(due, person.at(youngest), on):
        reasons.append("interval-after-other-vaccine")
    if _mandatory(series, person, on):
        reasons.append("mandatory")
    return Forecast(
        target, series, status, tuple(reasons), clause.line if clause.proposed else course.line,
        earliest, recommended, overdue, last, len(valid) + 1, len(course.doses), course.id,
    )  # fmt: skip


def _begun(person: Person, clause: Clause, valid: Sequence[date]) -> bool:
    """Whether the course was begun at the ages of the clause: who began goes on."""
    return bool(valid) and (clause.due.start is None or valid[-1] >= person.at(clause.due.start))


def _mandatory(series: Series, person: Person, on: date) -> bool:
    """Whether the law asks for it: of those with parental authority, so of minors only."""
    if on >= _MAJORITY.after(person.birth):
        return False
    return any(o.born[0] <= person.birth < o.born[1] for o in series.obligations)


def _course_to_begin(series: Series, person: Person, on: date) -> Course | None:
    return course_for(series, person, max(on, person.birth), NO_TAGS)


def _due(
    person: Person, clause: Clause, rule: Dose, valid: Sequence[date]
) -> tuple[date, date | None]:
    """When the dose is wished, and from when on it is late."""
    start = person.at(clause.due.start) if clause.due.start else person.birth
    since = [person.risks[key] for key in clause.risk if key in person.risks]
    known = [day for day in since if day is not None]
    if known and len(known) == len(since):
        start = max(start, min(known))
    if not valid:
        return start, person.at(clause.due.end) if clause.due.end else None
    before = valid[-1]
    wished = (rule.after.start or rule.interval).after(before)
    late = rule.after.end.after(before) if rule.after.end else _MONTH.after(wished)
    if rule.age.start is not None:
        wished = max(wished, person.at(rule.age.start))
    if rule.age.end is not None:
        late = max(late, person.at(rule.age.end))
    return max(wished, start), late


def _boosted(series: Series, person: Person, track: Track) -> bool:
    """Whether one who never did the course has had what its boosters stand for."""
    return any(
        day >= person.at(milestone.counts_from)
        for milestone in series.milestones
        for day in track.valid
    )


def _next_booster(
    series: Series, target: str, person: Person, track: Track, on: date, floor: date
) -> Forecast | None:
    """The booster of the present age if it was not had, else the next one to come.

    One that was missed and whose successor's age has come is not made up for.
    """
    valid = track.valid
    reached = [m for m in series.milestones if m.age.start and person.at(m.age.start) <= on]
    start = len(reached) - 1 if reached else 0
    for milestone in series.milestones[max(start, 0) :]:
        if any(day >= person.at(milestone.counts_from) for day in valid):
            continue
        last = person.at(milestone.before) - _DAY if milestone.before else None
        if last is not None and on > last:
            continue
        return _booster(series, target, person, track, on, milestone, floor, last)
    return None


def _booster(
    series: Series,
    target: str,
    person: Person,
    track: Track,
    on: date,
    milestone: Milestone,
    floor: date,
    last: date | None,
) -> Forecast | None:
    assert milestone.age.start is not None
    valid = track.valid
    earliest = max(person.at(milestone.counts_from), floor)
    if valid:
        earliest = max(earliest, milestone.interval.after(valid[-1]))
    recommended = max(person.at(milestone.age.start), earliest)
    end = person.at(milestone.age.end) if milestone.age.end else None
    overdue = max(end, recommended) if end is not None else None
    status: Status = "future" if on < recommended else "due"
    if overdue is not None and on >= overdue:
        status = "overdue"
    reasons = ["booster", *(["catch-up"] if status == "overdue" else [])]
    return Forecast(
        target, series, status, tuple(reasons), milestone.line,
        earliest, recommended, overdue, last, len(valid) + 1, None, milestone.id,
    )  # fmt: skip


def guarded(forecast: Forecast, person: Person, immune: bool, extra: tuple[str, ...]) -> Forecast:
    """The forecast with what stands against it: immunity, a contraindication, death."""
    if person.deceased:
        return _closed(forecast, "not-recommended", "deceased")
    if not forecast.open:
        return forecast
    if immune:
        return _closed(forecast, "immune", "immunity")
    if forecast.target in person.contraindicated:
        return _closed(forecast, "contraindicated", person.contraindicated[forecast.target])
    if extra:
        return replace(forecast, reasons=(*forecast.reasons, *extra))
    return forecast


def _closed(forecast: Forecast, status: Status, reason: str) -> Forecast:
    return replace(
        forecast, status=status, reasons=(reason,), earliest=None, recommended=None, overdue=None,
        latest=None, number=None, total=None, course=None,
    )  # fmt: skip


__all__ = ["Forecast", "Status", "forecast_course", "guarded", "holds"]
