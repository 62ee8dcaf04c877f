"""What the calendar says for a person on a day: the cases of tests/data/vaccination-cases.csv,
derived by hand from the lines of the calendar that they cite."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest
from vaccination_people import circumstances, day, immunizations, parts, patient

from fhirserver.diary.immunization.assess import assess
from fhirserver.diary.immunization.calendar import Settings, calendar

FILE = Path(__file__).parents[2] / "data" / "vaccination-cases.csv"
LINES = [
    (number, line.rstrip("\n"))
    for number, line in enumerate(FILE.read_text().splitlines(), 1)
    if line and not line.startswith("#")
]
HEADER = LINES[0][1].split("|")
CASES = [
    pytest.param(
        dict(zip(HEADER, line.split("|"), strict=True)), id=f"line{number}-{line.partition('|')[0]}"
    )
    for number, line in LINES[1:]
]


def settings_of(words: str) -> Settings:
    found = {}
    for word in parts(words):
        if word.startswith("setting "):
            name, _, value = word.removeprefix("setting ").partition("=")
            found[name] = {"yes": True, "no": False}.get(
                value, int(value) if value.isdigit() else value
            )
    return Settings(**found)


def forecasts(case):
    found = assess(
        patient(case["birth"], case["with"]),
        immunizations(case["history"]),
        circumstances(case["with"]),
        date.fromisoformat(case["on"]),
        settings_of(case["with"]),
    )
    return {forecast.target: forecast for forecast, _ in found.forecasts}


def number_of(forecast):
    if forecast.number is None and forecast.total is None:
        return "-"
    total = f"/{forecast.total}" if forecast.total else ""
    return f"{forecast.number or ''}{total}"


@pytest.mark.parametrize("case", CASES)
def test_case_of_the_calendar(case):
    found = forecasts(case).get(case["target"])
    if case["status"] == "absent":
        assert found is None
        return
    seen = {"status": found.status, "number": number_of(found)}
    wanted = {"status": case["status"], "number": case["number"]}
    for name in ("earliest", "recommended", "overdue", "latest"):
        seen[name] = getattr(found, name)
        wanted[name] = seen[name] if case[name] == "?" else day(case[name])
    if case["number"] == "?":
        wanted["number"] = seen["number"]
    assert seen == wanted, found.reasons
    for reason in case["reasons"].split():
        if reason.startswith("!"):
            assert reason[1:] not in found.reasons
        elif reason not in ("-", "?"):
            assert reason in found.reasons, found.reasons


def test_cases_cite_lines_of_the_calendar_and_every_line_is_cited():
    cited = {case.values[0]["line"] for case in CASES}
    assert cited == set(calendar().lines)


def test_cases_reach_every_series_and_status():
    by_status = Counter(case.values[0]["status"] for case in CASES)
    assert set(by_status) == {
        "due", "overdue", "future", "offered", "complete", "immune", "contraindicated",
        "not-recommended", "aged-out", "absent",
    }  # fmt: skip
    targets = {case.values[0]["target"] for case in CASES}
    assert targets == {target for series in calendar().series for target in series.targets}
    assert len(CASES) >= 150


def test_settings_have_the_defaults_that_the_calendar_states():
    table = json.loads(
        (FILE.parents[2] / "terminology/immunization/calendar-fr-2026.json").read_text()
    )
    stated = {name: given["default"] for name, given in table["settings"].items()}
    assert stated == {field.name: field.default for field in fields(Settings)}
