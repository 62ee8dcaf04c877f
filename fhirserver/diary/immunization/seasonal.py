"""What comes in windows of time: yearly campaigns, weeks of a pregnancy, the first season of life.

A window wants one dose. Campaign dates are published each year; where this server holds none for a
year, those of the nearest year it holds are taken, and the forecast says that they are estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from fhirserver.diary.immunization.calendar import Calendar, Clause, Series, Windows
from fhirserver.diary.immunization.evaluate import Track, waiting_ends
from fhirserver.diary.immunization.forecast import Forecast, Status, holds
from fhirserver.diary.immunization.history import Vaccination
from fhirserver.diary.immunization.person import Person

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to the day before `end`; a dose from `counts_from` on serves it."""

    start: date
    end: date
    counts_from: date
    name: str = ""
    estimated: bool = False


def forecast_windows(
    calendar: Calendar,
    series: Series,
    target: str,
    person: Person,
    doses: Sequence[Vaccination],
    track: Track,
    on: date,
) -> Forecast:
    """The window that is open if it was not served, else the next one."""
    if series.unless is not None and _protected(person, series.unless):
        return Forecast(target, series, "not-recommended", ("mother-vaccinated",), series.line)
    kind = series.windows
    assert kind is not None
    windows = _windows(calendar, kind, person, on)
    passed = False
    for window in windows:
        if window.end <= on:
            if _clause(series, person, window, window.start) is not None:
                passed = not _served(window, track)
            continue
        clause = _clause(series, person, window, on)
        if clause is None:
            continue
        if _served(window, track):
            second = _second_dose(series, target, person, track, window, clause, on)
            if second is not None:
                return second
            done = "complete" if kind.pregnancy is not None else "season-complete"
            return Forecast(target, series, "complete", (clause.reason, done), series.line)
        found = _open(series, target, person, doses, track, window, clause, on, passed)
        if found is not None:
            return found
    if not windows and _unknown_weeks(series, person):
        reasons = ("pregnancy", "weeks-unknown")
        return Forecast(target, series, "offered", reasons, series.line)
    return Forecast(target, series, "not-recommended", ("not-in-group",), series.line)


def _open(
    series: Series,
    target: str,
    person: Person,
    doses: Sequence[Vaccination],
    track: Track,
    window: Window,
    clause: Clause,
    on: date,
    passed: bool,
) -> Forecast | None:
    last = window.end - _DAY
    earliest = max(window.start, person.at(series.minimum_age), waiting_ends(series, target, doses))
    if clause.ages.start is not None:
        earliest = max(earliest, person.at(clause.ages.start))
    if track.valid:
        earliest = max(earliest, (clause.interval or series.interval).after(track.valid[-1]))
    if clause.ages.end is not None:
        last = min(last, person.at(clause.ages.end) - _DAY)
    if last < max(earliest, on):
        return None
    status: Status = "future" if on < earliest else "offered" if clause.proposed else "due"
    reasons = [clause.reason]
    if series.windows is not None and (series.windows.campaign or series.windows.season):
        reasons.append("seasonal")
    if window.estimated:
        reasons.append("season-estimated")
    if passed and status == "future":
        reasons.append("season-past")
    return Forecast(
        target, series, status, tuple(reasons), clause.line, earliest, earliest, None, last,
        1, None, window.name or None, clause.prefer,
    )  # fmt: skip


def _second_dose(
    series: Series,
    target: str,
    person: Person,
    track: Track,
    window: Window,
    clause: Clause,
    on: date,
) -> Forecast | None:
    """The second dose of a small child's first season."""
    if series.priming is None or len(track.valid) != 1:
        return None
    age, interval = series.priming
    first = track.valid[0]
    if first >= person.at(age):
        return None
    earliest, last = interval.after(first), window.end - _DAY
    if last < max(earliest, on):
        return None
    status: Status = "future" if on < earliest else "offered" if clause.proposed else "due"
    reasons = (clause.reason, "seasonal", "next-dose")
    return Forecast(
        target, series, status, reasons, series.line, earliest, earliest, None, last, 2, 2,
        window.name or None,
    )  # fmt: skip


def _served(window: Window, track: Track) -> bool:
    return any(window.counts_from <= day < window.end for day in track.valid)


def _clause(series: Series, person: Person, window: Window, on: date) -> Clause | None:
    """The first clause the person meets within what is left of the window."""
    first, last = max(window.start, on), window.end - _DAY
    for clause in series.clauses:
        if clause.campaigns and window.name not in clause.campaigns:
            continue
        if not holds(clause, person):
            continue
        if clause.ages.start is not None and person.at(clause.ages.start) > last:
            continue
        if clause.ages.end is not None and person.at(clause.ages.end) <= first:
            continue
        return clause
    return None


def _protected(person: Person, key: str) -> bool:
    """Whether the mother was vaccinated more than 14 days before the birth; a statement without
    a date is taken as saying so."""
    if key not in person.risks:
        return False
    day = person.risks[key]
    return day is None or day + timedelta(days=14) < person.birth


def _unknown_weeks(series: Series, person: Person) -> bool:
    return (
        series.windows is not None
        and series.windows.pregnancy is not None
        and person.pregnancy is not None
        and person.pregnancy.start is None
    )


def _windows(calendar: Calendar, kind: Windows, person: Person, on: date) -> list[Window]:
    """The windows around `on`, in order of time."""
    if kind.campaign is not None:
        return _campaigns(calendar, kind.campaign, person, on)
    if kind.pregnancy is not None:
        if person.pregnancy is None or person.pregnancy.start is None:
            return []
        assert kind.pregnancy.start is not None
        assert kind.pregnancy.end is not None
        began = person.pregnancy.start
        window = Window(kind.pregnancy.start.after(began), kind.pregnancy.end.after(began), began)
        if kind.season is None:
            return [window]
        return [
            Window(max(s.start, window.start), min(s.end, window.end), began)
            for s in _seasons(kind.season, window.start.year)
            if s.start < window.end and window.start < s.end
        ]
    assert kind.season is not None
    for season in _seasons(kind.season, person.birth.year):
        if person.birth < season.end:
            return [Window(max(season.start, person.birth), season.end, person.birth)]
    return []


def _seasons(season: tuple[str, str], year: int) -> list[Window]:
    """The season of the years around `year`, each from a month and day to another."""
    found = []
    for start_year in range(max(year - 1, date.min.year), min(year + 2, date.max.year)):
        start = date.fromisoformat(f"{start_year:04}-{season[0]}")
        end = date.fromisoformat(f"{start_year + (season[1] <= season[0]):04}-{season[1]}")
        found.append(Window(start, end, start))
    return found


def _campaigns(calendar: Calendar, name: str, person: Person, on: date) -> list[Window]:
    found: list[Window] = []
    by_name: dict[str, list[Window]] = {}
    for campaign in calendar.campaigns[name]:
        pair = campaign.windows.get(person.territory, campaign.windows.get("*"))
        if pair is not None:
            held = Window(pair[0], pair[1], campaign.counts_from, campaign.name)
            by_name.setdefault(campaign.name, []).append(held)
    for windows in by_name.values():
        windows.sort(key=lambda w: w.start)
        for year in range(max(on.year - 2, 1901), min(on.year + 3, 9990)):
            near = min(windows, key=lambda w: (abs(w.start.year - year), w.start))
            shift = year - near.start.year
            found.append(near if shift == 0 else _shifted(near, shift))
    return sorted(found, key=lambda w: (w.start, w.name))


def _shifted(window: Window, years: int) -> Window:
    return replace(
        window,
        start=_same_day(window.start, years),
        end=_same_day(window.end, years),
        counts_from=_same_day(window.counts_from, years),
        estimated=True,
    )


def _same_day(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return date(day.year + years, 3, 1)
