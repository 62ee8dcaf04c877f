"""Date search parameters (https://hl7.org/fhir/R4/search.html#date).

The value sought and the value stored are both intervals; the prefixes compare the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.model import dates
from fhirserver.model.dates import MAX_TIME, MIN_TIME
from fhirserver.search.entries import DateEntry
from fhirserver.search.expression import Both, Compare, Either
from fhirserver.search.types import Converter
from fhirserver.search.types.prefix import prefixed

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Test

__all__ = ["MAX_TIME", "MIN_TIME", "lower", "lower_interval"]

MODIFIERS: frozenset[str] = frozenset()

_DAY = 86_400_000_000


def lower(text: str, now: int) -> Test:
    """The test of one value with its prefix; `now` in microseconds, for `ap`."""
    prefix, rest = prefixed(text)
    try:
        low, high = dates.interval(rest.replace(" ", "+"))
    except ValueError:
        raise Invalid(
            f"'{text[:64]}' is not a date: give it as YYYY, YYYY-MM, YYYY-MM-DD or "
            "YYYY-MM-DDThh:mm:ss with a time zone, after an optional prefix such as ge"
        ) from None
    # By whole days, so that the search of the next page is still the same one.
    return lower_interval(prefix, low, high, now - now % _DAY)


def lower_interval(prefix: str, low: int, high: int, now: int) -> Test:
    """How `prefix` compares [low, high) with an entry's own [low, high).

    Beside what the prefix means, each test bounds one field on both sides where it can, for the
    engines' indexes.
    """
    match prefix:
        case "eq":
            return Both(
                (
                    Compare("low", "ge", low),
                    Compare("low", "lt", high),
                    Compare("high", "le", high),
                )
            )
        case "ne":
            return Either((Compare("low", "lt", low), Compare("high", "gt", high)))
        case "gt":
            return Compare("high", "gt", high)
        case "lt":
            return Compare("low", "lt", low)
        case "ge":
            return Both(
                (
                    Compare("high", "gt", low),
                    Either((Compare("high", "gt", high), Compare("low", "ge", low))),
                )
            )
        case "le":
            return Both(
                (
                    Compare("low", "lt", high),
                    Either((Compare("low", "lt", low), Compare("high", "le", high))),
                )
            )
        case "sa":
            return Compare("low", "ge", high)
        case "eb":
            return Compare("high", "le", low)
        case "ap":
            distance = 0 if low <= now < high else min(abs(now - low), abs(now - high))
            margin = distance // 10
            return Both((Compare("high", "gt", low - margin), Compare("low", "lt", high + margin)))
    raise Invalid(f"the prefix '{prefix}' is not known")


# --- entries --------------------------------------------------------------------------------


def _converter(
    find: Callable[[Any], dates.Interval | None],
) -> Converter:
    def convert(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
        try:
            found = find(value)
        except ValueError:
            found = None
        if found is None:
            presence(params, value, out)
        else:
            low, high = found
            out += [DateEntry(param, low, high) for param in params]

    return convert


def presence(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    out += [DateEntry(param, None, None) for param in params]


def _untyped(value: Any) -> dates.Interval | None:
    if isinstance(value, str):
        return dates.interval(value)
    if isinstance(value, dict):
        return dates.period(value) or dates.timing(value)
    return None


CONVERT: dict[str, Converter] = {
    "Period": _converter(dates.period),
    "Timing": _converter(dates.timing),
    "": _converter(_untyped),
} | dict.fromkeys(("date", "dateTime", "instant"), _converter(dates.interval))
