"""Whether each dose counts: age, interval, vaccine, live vaccines
(https://hl7.org/fhir/R4/immunizationevaluation.html).

Doses are taken one after the other in order of time. The course is the one for the age at the
first dose that counts; an interval runs from the last dose that counts. A dose that does not count
is passed over and the course goes on: it is never begun anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from fhirserver.diary.immunization.calendar import Calendar, Course, Dose, ProductRule, Series, Span
from fhirserver.diary.immunization.history import Vaccination
from fhirserver.diary.immunization.person import Person
from fhirserver.diary.immunization.products import Tags

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Judged:
    """One dose for one target. `number`: which dose of the series it is, of `total` (None: open)
    when it counts."""

    vaccination: Vaccination
    valid: bool
    reasons: tuple[str, ...]
    number: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """How far a person has come in a series, for one target."""

    judged: tuple[Judged, ...]
    course: Course | None

    @property
    def valid(self) -> list[date]:
        """The days of the doses that count."""
        return [j.vaccination.day for j in self.judged if j.valid and j.vaccination.day]

    @property
    def complete(self) -> bool:
        """Whether the course is done; what may follow are boosters."""
        return self.course is not None and len(self.valid) >= len(self.course.doses)


def within(person: Person, span: Span, day: date) -> bool:
    """Whether the person's age on `day` lies in the span."""
    if span.start is not None and day < person.at(span.start):
        return False
    return span.end is None or day < person.at(span.end)


def course_for(series: Series, person: Person, day: date, tags: Tags) -> Course | None:
    """The course for who begins on `day` with such a vaccine."""
    for course in series.courses:
        if course.tag is not None and course.tag not in tags:
            continue
        if course.risk is not None and course.risk not in person.risks:
            continue
        if within(person, course.start, day):
            return course
    return None


def evaluate(
    calendar: Calendar,
    series: Series,
    target: str,
    person: Person,
    doses: Sequence[Vaccination],
) -> Track:
    """Judge the doses of one target; `doses` are all of the person's, in order of time."""
    grace = timedelta(days=calendar.settings.grace_days)
    judged: list[Judged] = []
    valid: list[date] = []
    course: Course | None = None
    for dose in doses:
        if target not in dose.contains:
            continue
        day, tags = dose.day, dose.contains[target]
        if day is not None and not within(person, series.evaluates, day):
            continue
        reasons = list(dose.faults)
        if day is not None:
            reasons += _unfit(calendar, series, target, person, doses, dose, day)
            if day in valid:
                reasons.append("duplicate")
        total = None
        if day is not None and not reasons:
            wanted = course or course_for(series, person, day, tags)
            if wanted is not None and len(valid) < len(wanted.doses):
                reasons += _mistimed(wanted, person, day, valid, grace)
                total = len(wanted.doses)
                if not reasons:
                    course = wanted
            else:
                reasons += _booster_mistimed(series, day, valid, grace)
        if reasons or day is None:
            judged.append(Judged(dose, False, tuple(dict.fromkeys(reasons))))
            continue
        beyond = () if total or series.milestones or series.windows else ("beyond-course",)
        valid.append(day)
        judged.append(Judged(dose, True, beyond, len(valid), total))
    return Track(tuple(judged), course)


def _mistimed(
    course: Course, person: Person, day: date, valid: Sequence[date], grace: timedelta
) -> list[str]:
    rule = course.doses[len(valid)]
    reasons = []
    if day + grace < person.at(rule.minimum_age):
        reasons.append("tooyoung")
    if valid and day + grace < rule.interval.after(valid[-1]):
        reasons.append("toosoon")
    last = last_day(rule, person)
    if last is not None and day > last:
        reasons.append("tooold")
    return reasons


def last_day(rule: Dose, person: Person) -> date | None:
    """The last day on which a dose may be given, if there is one."""
    if rule.until is not None:
        return person.at(rule.until)
    return person.at(rule.before) - _DAY if rule.before is not None else None


def _booster_mistimed(
    series: Series, day: date, valid: Sequence[date], grace: timedelta
) -> list[str]:
    interval = series.milestones[0].interval if series.milestones else None
    if valid and interval is not None and day + grace < interval.after(valid[-1]):
        return ["toosoon"]
    return []


def _unfit(
    calendar: Calendar,
    series: Series,
    target: str,
    person: Person,
    doses: Sequence[Vaccination],
    dose: Vaccination,
    day: date,
) -> list[str]:
    """What is wrong with the vaccine itself, at that age and after those before it."""
    if day < person.birth:
        return ["before-birth"]
    tags = dose.contains[target]
    reasons = []
    if day < person.at(series.minimum_age):
        reasons.append("tooyoung")
    if any(_is_wrong(rule, tags) and within(person, rule.ages, day) for rule in series.products):
        reasons.append("inappropriate")
    earlier = [other for other in doses if other.day is not None and other.day < day]
    if not reasons and day < waiting_ends(series, target, earlier):
        reasons.append("toosoon")
    if is_live(calendar, dose) and day < live_conflict_ends(calendar, target, doses, day):
        reasons.append("productconflict")
    return reasons


def _is_wrong(rule: ProductRule, tags: Tags) -> bool:
    return bool(rule.none_of & tags) or (bool(rule.one_of) and not rule.one_of & tags)


def waiting_ends(series: Series, target: str, doses: Sequence[Vaccination]) -> date:
    """The day from which a vaccine may follow the earlier ones of other kinds."""
    ends = date.min
    held = [
        (dose.day, dose.contains[target])
        for dose in doses
        if dose.day and target in dose.contains
        if any(_is_wrong(rule, dose.contains[target]) for rule in series.products)
    ]
    every = frozenset[str]().union(*(tags for _, tags in held))
    for wait in series.waiting:
        if not wait.all_of <= every:
            continue
        for day, tags in held:
            if tags & (wait.any_of or wait.all_of):
                ends = max(ends, wait.interval.after(day))
    return ends


def is_live(calendar: Calendar, dose: Vaccination) -> bool:
    return any(calendar.live_tag in tags for tags in dose.contains.values())


def live_conflict_ends(
    calendar: Calendar, target: str, doses: Sequence[Vaccination], day: date
) -> date:
    """The day from which a live vaccine may follow those given before `day` against other
    diseases; between doses against the same one, the series has its own interval."""
    return max(
        (
            calendar.live_interval.after(other.day)
            for other in doses
            if other.day is not None
            and other.day < day
            and target not in other.contains
            and is_live(calendar, other)
        ),
        default=date.min,
    )
