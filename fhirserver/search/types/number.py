"""Number search parameters (https://hl7.org/fhir/R4/search.html#number).

A number sought with eq or ne stands for all that round to it: `100` is [99.5, 100.5), `100.00`
is [99.995, 100.005), and `1e2`, as the specification has it, [95, 105). The other prefixes take
it as it is; ap is a tenth of it to either side.
"""

from __future__ import annotations

import re
from decimal import Decimal
from math import inf, isnan
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.search.entries import NumberEntry
from fhirserver.search.expression import Both, Compare, Either
from fhirserver.search.types import Converter
from fhirserver.search.types.prefix import prefixed

if TYPE_CHECKING:
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Test

MODIFIERS: frozenset[str] = frozenset()

_FORM = re.compile(
    r"[+-]?(?P<whole>[0-9]{1,40})(?P<part>\.[0-9]{1,40})?(?P<power>[eE][+-]?[0-9]{1,3})?", re.ASCII
)
_LARGEST = 1.7976931348623157e308


def decimal(text: str) -> Decimal | None:
    """The number `text` is; None when it is none (or has over 80 digits)."""
    return Decimal(text) if _FORM.fullmatch(text) else None


def lower(text: str) -> Test:
    """The test of one value with its prefix."""
    prefix, rest = prefixed(text)
    return lower_number(prefix, rest.replace(" ", "+"), text)


def lower_number(prefix: str, number: str, text: str) -> Test:
    """How `prefix` compares `number` with an entry's closed [low, high]; `text` for messages."""
    value = decimal(number)
    if value is None:
        raise Invalid(f"'{text[:64]}' is not a number")
    exact = finite(value)
    match prefix:
        case "eq" | "ne":
            margin = half_unit(number, value)
            low, high = finite(value - margin), finite(value + margin)
            if prefix == "ne":
                return Either((Compare("low", "lt", low), Compare("high", "ge", high)))
            return Both(
                (
                    Compare("low", "ge", low),
                    Compare("low", "lt", high),
                    Compare("high", "lt", high),
                )
            )
        case "gt":
            return Compare("high", "gt", exact)
        case "lt":
            return Compare("low", "lt", exact)
        case "ge":
            return Compare("high", "ge", exact)
        case "le":
            return Compare("low", "le", exact)
        case "sa":
            return Compare("low", "gt", exact)
        case "eb":
            return Compare("high", "lt", exact)
        case "ap":
            margin = max(abs(value) / 10, half_unit(number, value))
            return Both(
                (
                    Compare("high", "ge", finite(value - margin)),
                    Compare("low", "le", finite(value + margin)),
                )
            )
    raise Invalid(f"the prefix '{prefix}' is not known")


def half_unit(number: str, value: Decimal) -> Decimal:
    """Half a unit of the last digit given."""
    match = _FORM.fullmatch(number)
    exponent = value.as_tuple().exponent
    assert match is not None
    assert isinstance(exponent, int)
    if match["power"] and not match["part"]:
        exponent -= 1
    return Decimal((0, (5,), exponent - 1))


def finite(value: Decimal | int | float) -> float:
    """The nearest float, never an infinity: that is an open end."""
    try:
        number = float(value)
    except OverflowError:
        number = inf if value > 0 else -inf
    return max(-_LARGEST, min(_LARGEST, number))


# --- entries --------------------------------------------------------------------------------


def point(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return
    number = finite(value)
    if not isnan(number):
        out += [NumberEntry(param, number, number) for param in params]


def number_range(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    low, high = ends(value)
    if low is None and high is None:
        presence(params, value, out)
        return
    low = -inf if low is None else low
    high = inf if high is None else high
    out += [NumberEntry(param, low, high) for param in params]


def ends(value: Any) -> tuple[float | None, float | None]:
    """Both ends of a Range; None where it has none."""
    low, high = value.get("low", {}).get("value"), value.get("high", {}).get("value")
    return (
        None if low is None else finite(low),
        None if high is None else finite(high),
    )


def quantity(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    if value.get("value") is None:
        presence(params, value, out)
    else:
        point(params, value["value"], out)


def untyped(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    if not isinstance(value, dict):
        point(params, value, out)
    elif "low" in value or "high" in value:
        number_range(params, value, out)
    else:
        quantity(params, value, out)


def presence(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    out += [NumberEntry(param, None, None) for param in params]


CONVERT: dict[str, Converter] = (
    {"Range": number_range, "": untyped}
    | dict.fromkeys(("integer", "decimal", "positiveInt", "unsignedInt"), point)
    | dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration", "Money"), quantity)
)
