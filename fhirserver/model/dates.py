"""Partial dates and instants as half-open intervals of microseconds since 1970 UTC.

https://hl7.org/fhir/R4/datatypes.html#dateTime, https://hl7.org/fhir/R4/search.html#date

A `date`, `dateTime` or `instant` covers the whole time its precision leaves open: `2020` is the
year, `2020-01-01T10:00:00Z` one second, `...T10:00:00.123Z` one millisecond. A time without zone
is taken as UTC. A leap second is the second after :59, as on a clock that does not know of it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

Interval = tuple[int, int]

#: Ends of what has no start or no end; outside every date between the years 0001 and 9999.
MIN_TIME = -(10**17)
MAX_TIME = 10**18

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND

_EPOCH = date(1970, 1, 1).toordinal()
_AFTER_LAST_DAY = date.max.toordinal() + 1

_FORM = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?",
    re.ASCII,
)


def interval(text: str) -> Interval:
    """The [low, high) of a date, dateTime or instant; ValueError when it is none of these.

    Times of hours and minutes only are taken too, since searches may give them.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text[:64]}' is not a date or dateTime")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if month is None:
        first = date(int(year), 1, 1).toordinal()
        after = _first_day(int(year) + 1, 1)
        return (first - _EPOCH) * DAY, (after - _EPOCH) * DAY
    if day is None:
        first = date(int(year), int(month), 1).toordinal()
        after = _first_day(int(year), int(month) + 1)
        return (first - _EPOCH) * DAY, (after - _EPOCH) * DAY
    low = (date(int(year), int(month), int(day)).toordinal() - _EPOCH) * DAY
    if hour is None:
        return low, low + DAY
    minutes = int(hour) * 60 + int(minute)
    if hour > "23" or minute > "59":
        raise ValueError(f"'{text[:64]}' has no valid time")
    if zone is not None and zone != "Z":
        if zone[1:3] > "14" or zone[4:] > "59":
            raise ValueError(f"'{text[:64]}' has no valid time zone")
        offset = int(zone[1:3]) * 60 + int(zone[4:])
        minutes += offset if zone[0] == "-" else -offset
    low += minutes * MINUTE
    if second is None:
        return low, low + MINUTE
    if second > "60":
        raise ValueError(f"'{text[:64]}' has no valid time")
    low += int(second) * SECOND
    if fraction is None:
        return low, low + SECOND
    digits = fraction[:6]
    width: int = 10 ** (6 - len(digits))
    low += int(digits) * width
    return low, low + width


def _first_day(year: int, month: int) -> int:
    if month == 13:
        year, month = year + 1, 1
    return _AFTER_LAST_DAY if year == 10_000 else date(year, month, 1).toordinal()


def period(value: dict[str, object]) -> Interval | None:
    """The [low, high) of a Period; an end that is absent is open. None when it has neither end."""
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, str):
        if not isinstance(end, str):
            return None
        return MIN_TIME, interval(end)[1]
    low = interval(start)[0]
    return low, interval(end)[1] if isinstance(end, str) else MAX_TIME


def timing(value: dict[str, object]) -> Interval | None:
    """The outer limits of a Timing: its events and the Period that bounds its repetition."""
    events = value.get("event")
    found = [interval(e) for e in events if isinstance(e, str)] if isinstance(events, list) else []
    repeat = value.get("repeat")
    bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
    if isinstance(bounds, dict) and (limits := period(bounds)) is not None:
        found.append(limits)
    if not found:
        return None
    return min(low for low, _ in found), max(high for _, high in found)


def instant(microseconds: int) -> str:
    """The instant in UTC with milliseconds: `2026-11-24T06:00:00.123Z`."""
    seconds, rest = divmod(microseconds, SECOND)
    return f"{_second(seconds)}.{rest // 1000:03d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat()


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC of an aware datetime."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone")
    days = moment.toordinal() - _EPOCH
    local = (days * 86_400 + moment.hour * 3600 + moment.minute * 60 + moment.second) * SECOND
    if moment.tzinfo is UTC:
        return local + moment.microsecond
    offset = moment.utcoffset() or timedelta()
    return local + moment.microsecond - offset // timedelta(microseconds=1)
