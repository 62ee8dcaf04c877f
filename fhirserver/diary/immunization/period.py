"""Ages and intervals of the calendar ("8w", "2m", "11y") and their arithmetic.

Ages are in completed weeks, months or years, as the calendar counts them. A day that does not
exist (29 February in other years, 31 April) becomes the first of the next month, so that an
interval is never shortened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

_FORM = re.compile(r"(\d{1,4})([dwmy])")


@dataclass(frozen=True, slots=True)
class Period:
    """A number of days plus a number of months."""

    days: int = 0
    months: int = 0

    def after(self, day: date) -> date:
        """The day this long after `day`; the last day of all when that is beyond it."""
        try:
            if self.months:
                year, month = divmod(day.year * 12 + day.month - 1 + self.months, 12)
                try:
                    day = date(year, month + 1, day.day)
                except ValueError:
                    day = date(year + (month == 11), (month + 1) % 12 + 1, 1)
            return day + timedelta(self.days) if self.days else day
        except (ValueError, OverflowError):
            return date.max


@cache
def period(text: str) -> Period:
    """The period that `text` writes; ValueError when it writes none."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no period: a number and d, w, m or y.")
    number = int(match[1])
    match match[2]:
        case "d":
            return Period(days=number)
        case "w":
            return Period(days=7 * number)
        case "m":
            return Period(months=number)
        case _:
            return Period(months=12 * number)
