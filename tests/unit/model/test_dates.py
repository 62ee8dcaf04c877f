"""Dates as intervals of microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirserver.model import dates

SECOND = 1_000_000


def at(*parts: int) -> int:
    return dates.microseconds(datetime(*parts, tzinfo=UTC))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2020", at(2020, 1, 1), at(2021, 1, 1)),
        ("2020-02", at(2020, 2, 1), at(2020, 3, 1)),
        ("2019-12", at(2019, 12, 1), at(2020, 1, 1)),
        ("2020-02-29", at(2020, 2, 29), at(2020, 3, 1)),
        ("2020-01-01T10:00", at(2020, 1, 1, 10), at(2020, 1, 1, 10, 1)),
        ("2020-01-01T10:00:07Z", at(2020, 1, 1, 10, 0, 7), at(2020, 1, 1, 10, 0, 8)),
        ("2020-01-01T10:00:07", at(2020, 1, 1, 10, 0, 7), at(2020, 1, 1, 10, 0, 8)),
        ("2020-01-01T23:30:00-05:00", at(2020, 1, 2, 4, 30), at(2020, 1, 2, 4, 30, 1)),
        ("2020-01-01T00:30:00+14:00", at(2019, 12, 31, 10, 30), at(2019, 12, 31, 10, 30, 1)),
        (
            "2020-01-01T10:00:07.5Z",
            at(2020, 1, 1, 10, 0, 7, 500_000),
            at(2020, 1, 1, 10, 0, 7, 600_000),
        ),
        ("2016-12-31T23:59:60Z", at(2017, 1, 1), at(2017, 1, 1, 0, 0, 1)),
        ("0001", at(1, 1, 1), at(2, 1, 1)),
        ("9999-12-31", at(9999, 12, 31), at(9999, 12, 31) + 86_400 * SECOND),
        ("9999-12", at(9999, 12, 1), at(9999, 12, 31) + 86_400 * SECOND),
    ],
)
def test_partial_date_covers_what_its_precision_leaves_open(text: str, low: int, high: int) -> None:
    assert dates.interval(text) == (low, high)


def test_fraction_is_as_wide_as_its_last_digit_down_to_a_microsecond() -> None:
    for digits, width in ((1, 100_000), (3, 1000), (6, 1), (9, 1)):
        low, high = dates.interval(f"2020-01-01T00:00:00.{'1' * digits}Z")
        assert high - low == width


@pytest.mark.parametrize(
    "text",
    [
        *("", "20", "2020-1", "2020-13", "2020-00", "2020-02-30", "2019-02-29", "0000"),
        "2020-01-32",
        *("2020-01-01T", "2020-01-01T24:00:00Z", "2020-01-01T10", "2020-01-01T10:60:00Z"),
        *("2020-01-01T10:00:61Z", "2020-01-01T10:00:00+15:00", "2020-01-01T10:00:00+01:60"),
        *("2020-01-01T10:00:00.Z", "2020-01-01 10:00:00", "٢٠٢٠", "2020-01-01Z", "x2020", "2020\n"),
    ],
)
def test_text_that_is_no_date_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        dates.interval(text)


def test_period_with_an_end_missing_is_open_on_that_side() -> None:
    low, high = dates.interval("2020")
    assert dates.period({"start": "2020", "end": "2020"}) == (low, high)
    assert dates.period({"start": "2020"}) == (low, dates.MAX_TIME)
    assert dates.period({"end": "2020"}) == (dates.MIN_TIME, high)
    assert dates.period({}) is None


def test_timing_is_searched_by_its_outer_limits() -> None:
    timing = {
        "event": ["2020-03-01", "2020-01-01"],
        "repeat": {"boundsPeriod": {"start": "2020-02-01", "end": "2020-04-01"}},
    }
    assert dates.timing(timing) == (at(2020, 1, 1), at(2020, 4, 2))
    assert dates.timing({"repeat": {"frequency": 1}}) is None


def test_instant_is_text_with_milliseconds_in_utc() -> None:
    assert dates.instant(at(2026, 11, 24, 6, 0, 0, 123_000)) == "2026-11-24T06:00:00.123Z"
    assert dates.instant(at(1969, 12, 31, 23, 59, 59, 1000)) == "1969-12-31T23:59:59.001Z"


moments = st.datetimes(
    min_value=datetime(2, 1, 1),
    max_value=datetime(9998, 12, 31),
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
)


@settings(deadline=None)
@given(moments)
def test_every_moment_is_read_as_what_the_calendar_says(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    low, high = dates.interval(moment.isoformat())
    assert low == dates.microseconds(moment)
    assert high - low == SECOND


@settings(deadline=None)
@given(st.integers(-62_000_000_000_000, 250_000_000_000_000))
def test_instant_text_reads_back_as_the_same_millisecond(milliseconds: int) -> None:
    assert dates.interval(dates.instant(milliseconds * 1000))[0] == milliseconds * 1000


@settings(deadline=None)
@given(moments)
def test_less_precise_text_covers_more_precise_text(moment: datetime) -> None:
    text = moment.astimezone(UTC).strftime("%Y").zfill(4) + moment.astimezone(UTC).strftime(
        "-%m-%d"
    )
    outer = dates.interval(text[:4])
    for longer in (text[:7], text):
        inner = dates.interval(longer)
        assert outer[0] <= inner[0] < inner[1] <= outer[1]
        outer = inner


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_an_interval_or_a_value_error(text: str) -> None:
    try:
        low, high = dates.interval(text)
    except ValueError:
        return
    assert dates.MIN_TIME < low < high < dates.MAX_TIME
