"""The whole assessment of a person on a day: doses judged, forecasts made, series chosen.

Steps as in CDC's logic specification for ACIP recommendations: gather, by antigen, evaluate each
dose, forecast, choose the series that speaks for the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from fhirserver.diary.immunization.calendar import Calendar, Series, Settings, calendar
from fhirserver.diary.immunization.evaluate import Judged, Track, evaluate, within
from fhirserver.diary.immunization.forecast import Forecast, forecast_course, guarded
from fhirserver.diary.immunization.history import History, Resource, Vaccination, history
from fhirserver.diary.immunization.person import Person, person
from fhirserver.diary.immunization.products import Products, products
from fhirserver.diary.immunization.seasonal import forecast_windows

_RANK = {
    "overdue": 0, "due": 1, "offered": 2, "complete": 4, "immune": 4, "future": 5,
    "contraindicated": 6, "aged-out": 6, "not-recommended": 7,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Assessment:
    """`forecasts`: one for each target; `judged`: the doses with the target and the series they
    were judged by; `unknown`: vaccinations of which nothing is known."""

    on: date
    calendar: Calendar
    products: Products
    person: Person
    history: History
    forecasts: tuple[tuple[Forecast, Track], ...]
    judged: tuple[tuple[str, Series, Judged], ...]

    @property
    def unknown(self) -> list[Vaccination]:
        return [dose for dose in self.history.doses if not dose.known]


def assess(
    patient: Resource,
    immunizations: Iterable[Resource],
    others: Iterable[Resource],
    on: date,
    settings: Settings | None = None,
) -> Assessment:
    """Assess a Patient; ValueError when there is no birth date to do it by.

    `others`: Conditions, Observations and AllergyIntolerances; what has no bearing is passed over.
    """
    rules = calendar(settings)
    known = products()
    who = person(patient, others, on, known, rules.settings.territory)
    had = history(immunizations, on, known)
    forecasts: list[tuple[Forecast, Track]] = []
    judged: list[tuple[str, Series, Judged]] = []
    for target, series in _by_target(rules).items():
        tracks = [evaluate(rules, one, target, who, had.doses) for one in series]
        judged += _judged(target, series, tracks)
        immune = target in who.immune or target in had.immune
        extra = _extra(target, had)
        of_age = [
            (one, track)
            for one, track in zip(series, tracks, strict=True)
            if within(who, one.evaluates, on)
        ]
        found = [
            (guarded(_forecast(rules, one, target, who, had, track, on), who, immune, extra), track)
            for one, track in of_age
        ]
        chosen = min(found, key=lambda pair: _rank(*pair))
        if chosen[0].status != "not-recommended" or not all(one.silent for one in series):
            forecasts.append(chosen)
    return Assessment(on, rules, known, who, had, tuple(forecasts), tuple(judged))


def _forecast(
    rules: Calendar,
    series: Series,
    target: str,
    who: Person,
    had: History,
    track: Track,
    on: date,
) -> Forecast:
    by = forecast_course if series.windows is None else forecast_windows
    return by(rules, series, target, who, had.doses, track, on)


def _by_target(rules: Calendar) -> dict[str, list[Series]]:
    found: dict[str, list[Series]] = {}
    for series in rules.series:
        for target in series.targets:
            found.setdefault(target, []).append(series)
    return found


def _rank(forecast: Forecast, track: Track) -> tuple[int, date]:
    rank = _RANK[forecast.status]
    if forecast.reasons == ("not-in-group",):
        rank = 8  # says least
    elif forecast.status == "due" and _in_pregnancy(forecast.series):
        rank = -1  # its weeks pass, and it is asked for in each pregnancy whatever came before
    elif forecast.status == "future" and track.valid:
        rank = 3  # begun: what is next matters more than that another series is done
    return rank, forecast.recommended or date.max


def _in_pregnancy(series: Series) -> bool:
    return series.windows is not None and series.windows.pregnancy is not None


def _extra(target: str, had: History) -> tuple[str, ...]:
    refused = ("refused",) if target in had.refused else ()
    return (*refused, "precaution") if target in had.precaution else refused


def _judged(
    target: str, series: Sequence[Series], tracks: Sequence[Track]
) -> list[tuple[str, Series, Judged]]:
    """Each dose once: as the series sees it for which it counts, else as the first one does."""
    found: dict[int, tuple[str, Series, Judged]] = {}
    for one, track in zip(series, tracks, strict=True):
        for judged in track.judged:
            key = id(judged.vaccination)
            if key not in found or (judged.valid and not found[key][2].valid):
                found[key] = (target, one, judged)
    return list(found.values())
