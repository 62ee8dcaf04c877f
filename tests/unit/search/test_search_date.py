"""Date parameters: every prefix against every precision, as intervals compare."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirserver.errors import Invalid
from fhirserver.search.entries import DateEntry
from fhirserver.search.evaluate import holds
from fhirserver.search.types.date import lower, lower_interval

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def observation(**effective: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": "1", **effective}


STORED = {
    "second": observation(effectiveDateTime="2020-01-01T10:00:00Z"),
    "year": observation(effectiveDateTime="2020"),
    "day": observation(effectiveDateTime="2020-06-15"),
    "offset": observation(effectiveDateTime="2020-01-01T23:30:00-05:00"),
    "period": observation(effectivePeriod={"start": "2020-03-01", "end": "2020-03-31"}),
    "open end": observation(effectivePeriod={"start": "2020-03-01"}),
    "open start": observation(effectivePeriod={"end": "2020-03-31"}),
}


@pytest.mark.parametrize(
    ("stored", "yes", "no"),
    [
        (
            "second",
            "2020-01-01 eq2020-01-01 2020 2020-01 2020-01-01T10:00 2020-01-01T10:00:00Z "
            "ge2020-01-01 le2020-01-01 ne2020-01-02 gt2019-12-31 lt2020-01-02 sa2019-12-31 "
            "eb2020-01-02 ne2020-01-01T10:00:00.0Z gt2020-01-01T09:59:59Z ge2020 le2020 "
            "ap2020-01-01 gt2020-01-01T10:00:00.000Z 2020-01-01T11:00:00+01:00",
            "gt2020-01-01 sa2020-01-01 eb2020-01-01 lt2020-01-01 ne2020-01-01 2019 ne2020 "
            "2020-01-01T10:00:01Z gt2020-01-01T10:00:00Z sa2020-01-01T10:00:00Z gt2020 lt2020",
        ),
        (
            "year",
            "2020 gt2020-06-01 lt2020-06-01 ge2020-06-01 le2020-06-01 ne2020-06 ne2020-06-01 "
            "ge2020 le2020 sa2019 eb2021 ap2020-06 sa2019-12-31",
            "sa2020-06-01 eb2020-06-01 eq2020-06 2020-06-01 gt2020 lt2020 ne2020 sa2020 eb2020",
        ),
        (
            "day",
            "2020-06-15 2020-06 2020 gt2020-06-14 lt2020-06-16 gt2020-06-15T10:00 "
            "lt2020-06-15T10:00 ge2020-06-15T10:00 le2020-06-15T10:00 ne2020-06-15T10:00",
            "gt2020-06-15 lt2020-06-15 sa2020-06-15T10:00 eb2020-06-15T10:00 ne2020-06-15",
        ),
        (
            "offset",
            "2020-01-02T04:30:00Z 2020-01-02 gt2020-01-01 2020-01-01T23:30:00-05:00 "
            "2020-01-02T05:30:00+01:00",
            "2020-01-01 lt2020-01-02",
        ),
        (
            "period",
            "2020-03 2020 gt2020-03-15 lt2020-03-15 ge2020-03-01 le2020-03-31 ne2020-03-15 "
            "sa2020-02 eb2020-04 ap2020-03-15 ap2020-03-31",
            "2020-03-15 sa2020-03-01 eb2020-03-31 gt2020-03-31 lt2020-03-01 ne2020-03 "
            "ge2020-03-31 le2020-03-01",
        ),
        (
            "open end",
            "gt2025 ge2025 gt9999 lt2020-03-15 sa2020-02 ne2020 ap2023",
            "2020 eb9999 lt2020-03-01",
        ),
        (
            "open start",
            "lt1900 le1900 lt0001 gt2020-03-15 eb2020-04 ne2020 ap1950",
            "2020 sa0001 gt2020-03-31",
        ),
    ],
)
def test_prefixes_compare_the_range_sought_with_the_range_stored(
    stored: str, yes: str, no: str, find: Any
) -> None:
    resources = [STORED[stored]]
    assert [v for v in yes.split() if not find(f"Observation?date={v}", resources)] == []
    assert [v for v in no.split() if find(f"Observation?date={v}", resources)] == []


def test_approximate_is_within_a_tenth_of_the_distance_to_now(find: Any) -> None:
    # 2016-11-24 is ten years before now: a year to either side.
    for value, found in (("2016-01-01", True), ("2015-11-01", False), ("2017-11-01", True)):
        resources = [observation(effectiveDateTime=value)]
        assert bool(find("Observation?date=ap2016-11-24", resources)) is found


def test_plus_sign_that_came_unencoded_is_an_offset(find: Any) -> None:
    resources = [observation(effectiveDateTime="2020-01-01T10:00:00+02:00")]
    assert find("Observation?date=2020-01-01T10:00:00%2002:00", resources) == ["1"]


@pytest.mark.parametrize(
    "value",
    [
        "2020-02-30",
        "yesterday",
        "GE2020",
        "xx2020",
        "ge",
        "2020-13",
        "2020-01-01T25:00",
        "2020-01-01|x",
    ],
)
def test_date_that_cannot_be_read_is_refused(value: str, find: Any) -> None:
    with pytest.raises(Invalid):
        find(f"Observation?date={value}", [])


@pytest.mark.parametrize(
    ("timing", "yes", "no"),
    [
        ({"event": ["2020-01-01", "2020-01-05"]}, ["2020-01", "gt2020-01-04"], ["2020-01-01"]),
        ({"repeat": {"boundsPeriod": {"start": "2020-01-01"}}}, ["gt2030"], ["lt2020"]),
    ],
)
def test_timing_counts_from_first_to_last(timing: Any, yes: Any, no: Any, find: Any) -> None:
    resources = [{"resourceType": "ServiceRequest", "id": "1", "occurrenceTiming": timing}]
    assert all(find(f"ServiceRequest?occurrence={value}", resources) for value in yes)
    assert not any(find(f"ServiceRequest?occurrence={value}", resources) for value in no)


def test_timing_without_limits_is_not_missing(find: Any) -> None:
    resources = [{"resourceType": "ServiceRequest", "id": "1", "occurrenceTiming": {"repeat": {}}}]
    assert find("ServiceRequest?occurrence:missing=false", resources) == ["1"]
    assert find("ServiceRequest?occurrence=gt1900", resources) == []


ranges = st.tuples(st.integers(0, 20), st.integers(1, 10)).map(lambda r: (r[0], r[0] + r[1]))


def meaning(prefix: str, sought: tuple[int, int], stored: tuple[int, int]) -> bool:
    """The prefixes said with sets of points."""
    target = set(range(*stored))
    value = set(range(*sought))
    above, below = set(range(sought[1], 100)), set(range(-100, sought[0]))
    contains = target <= value
    return {
        "eq": contains,
        "ne": not contains,
        "gt": bool(above & target),
        "lt": bool(below & target),
        "ge": bool(above & target) or contains,
        "le": bool(below & target) or contains,
        "sa": not value & target and target <= above,
        "eb": not value & target and target <= below,
        "ap": bool(value & target),
    }[prefix]


@settings(deadline=None)
@given(st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]), ranges, ranges)
def test_each_prefix_means_what_the_specification_says_of_sets(
    prefix: str, sought: tuple[int, int], stored: tuple[int, int]
) -> None:
    test = lower_interval(prefix, *sought, now=sought[0])
    assert holds(test, DateEntry("date", *stored)) is meaning(prefix, sought, stored)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_test_or_refused(text: str) -> None:
    try:
        lower(text, 0)
    except Invalid:
        return
