"""Dates that are accepted are the dates that exist, in the schema and in the explanation."""

from __future__ import annotations

import base64
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.model.definitions import PRIMITIVES
from fhirserver.validation.primitives import PATTERNS, RANGES, fault


@given(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32))
def test_only_days_of_the_calendar_are_dates(year: int, month: int, day: int) -> None:
    try:
        exists = date(year, month, day) is not None
    except ValueError:
        exists = False
    text = f"{year:04}-{month:02}-{day:02}"
    assert (fault("date", text) is None) == exists
    assert (fault("dateTime", text + "T00:00:00Z") is None) == exists
    assert (fault("instant", text + "T23:59:59.9+14:00") is None) == exists


@pytest.mark.parametrize("year", [1600, 1900, 2000, 2023, 2024, 2100, 2400, 4])
def test_leap_days_stand_in_leap_years(year: int) -> None:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    assert (fault("date", f"{year:04}-02-29") is None) == leap


def test_every_primitive_of_r4_has_its_format() -> None:
    assert PRIMITIVES.keys() == PATTERNS.keys() | RANGES.keys() | {"boolean", "decimal"}


#: Free text, and base64, which may be broken into lines anywhere.
_LOOSE = {"string", "markdown", "xhtml", "base64Binary"}


@given(st.sampled_from(sorted(PATTERNS.keys() - _LOOSE)), st.data())
def test_what_is_accepted_has_the_format_that_the_specification_states(
    type_: str, data: st.DataObject
) -> None:
    text = data.draw(st.from_regex(PATTERNS[type_], fullmatch=True))
    assert fault(type_, text) is None
    assert PRIMITIVES[type_].fullmatch(text)


@given(st.binary(min_size=1), st.integers(1, 80))
def test_base64_may_be_broken_into_lines(content: bytes, width: int) -> None:
    text = base64.b64encode(content).decode()
    lines = "\r\n".join(text[i : i + width] for i in range(0, len(text), width))
    assert fault("base64Binary", lines) is None
    assert re.fullmatch(PATTERNS["base64Binary"], lines)
    assert fault("base64Binary", lines + "=") is not None
    assert not re.fullmatch(PATTERNS["base64Binary"], lines + "=")
