"""Where somebody lives, and whether spaces are opened there."""

from __future__ import annotations

from datetime import date

import pytest

from fhirserver.space.phases import french, parse
from fhirserver.space.residence import department
from fhirserver.space.traits import INSEE_CODE


def at(code=None, insee=None, **more):
    made = dict(more)
    if code is not None:
        made["postalCode"] = code
    if insee:
        made["extension"] = [{"url": INSEE_CODE, "valueCoding": {"code": insee}}]
    return made


CASES = [
    ([at("31200")], "31"),
    ([at("44000", country="FR")], "44"),
    ([at("80000", country="France")], "80"),
    ([at("20000")], "2A"),
    ([at("20137")], "2A"),
    ([at("20200")], "2B"),
    ([at("20620")], "2B"),
    ([at("97400")], "974"),
    ([at("98800")], "988"),
    ([at("48200", insee="15262")], "15"),  # a commune served from the next department
    ([at("20000", insee="2A004")], "2A"),
    ([at("80000", use="work"), at("31000", use="home")], "31"),
    ([at("80000", use="old"), at("31000", use="temp")], "31"),
    ([at("80000", use="old")], ""),
    ([at("1000", country="BE")], ""),
    ([at("10000", country="DE")], ""),
    ([at("3120")], ""),
    ([at(None, city="Toulouse")], ""),
    ([], ""),
]


@pytest.mark.parametrize(("addresses", "expected"), CASES)
def test_the_department_is_that_of_the_home(addresses, expected):
    assert department({"resourceType": "Patient", "address": addresses}) == expected


@pytest.mark.parametrize(
    ("place", "day", "open_"),
    [
        ("31", "2021-08-03", False),
        ("31", "2021-08-04", True),
        ("44", "2021-10-01", True),
        ("80", "2021-12-31", True),
        ("75", "2021-12-31", False),
        ("75", "2022-01-01", True),
        ("2A", "2022-01-01", True),
        ("", "2021-12-31", False),
        ("", "2022-01-01", True),
    ],
)
def test_the_french_roll_out(place, day, open_):
    assert (french().closed_reason(place, date.fromisoformat(day)) == "") == open_


def test_the_reason_names_the_department_the_day_and_the_pilot():
    said = french().closed_reason("75", date(2021, 9, 1))
    assert "department 75 before 2022-01-01" in said
    assert "31, 44, 80" in said
    assert "no phase" in parse(["31:2026-01-01"]).closed_reason("75", date(2026, 2, 1))


@pytest.mark.parametrize("text", ["31", "31:2026", "31:2026-13-01", "3:2026-01-01", "*"])
def test_a_phase_that_is_none_is_refused(text):
    with pytest.raises(ValueError):
        parse([text])
