"""Quantity search parameters (https://hl7.org/fhir/R4/search.html#quantity).

`[prefix]number|system|code`, `[prefix]number||code` (the code, or the unit as written) or just
`[prefix]number`. Numbers compare as in `number.py`.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.search.entries import QuantityEntry
from fhirserver.search.expression import Both, Compare, Either
from fhirserver.search.types import Converter
from fhirserver.search.types.escape import split, unescape
from fhirserver.search.types.fold import LONGEST
from fhirserver.search.types.number import ends, finite, lower_number
from fhirserver.search.types.prefix import prefixed

if TYPE_CHECKING:
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Test

MODIFIERS: frozenset[str] = frozenset()

#: The system of Money.currency.
CURRENCIES = "urn:iso:std:iso:4217"


def lower(text: str) -> Test:
    """The test of one value with its prefix, still escaped."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) not in (1, 3):
        raise Invalid(f"'{text[:64]}' is not a quantity: give number|system|code, or the number")
    prefix, number = prefixed(parts[0])
    test = lower_number(prefix, number.replace(" ", "+"), text)
    if len(parts) == 1:
        return test
    system, code = parts[1][:LONGEST], parts[2][:LONGEST]
    unit: list[Test] = []
    if system:
        unit.append(Compare("system", "eq", system))
        if code:
            unit.append(Compare("code", "eq", code))
    elif code:
        unit.append(Either((Compare("code", "eq", code), Compare("unit", "eq", code))))
    return Both((test, *unit)) if unit else test


# --- entries --------------------------------------------------------------------------------


def quantity(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    """A Quantity; one that says < or > is open on that side."""
    number = value.get("value")
    if number is None:
        presence(params, value, out)
        return
    low = high = finite(number)
    match value.get("comparator"):
        case "<":
            low, high = -inf, nextafter(high, -inf)
        case "<=":
            low = -inf
        case ">":
            low, high = nextafter(low, inf), inf
        case ">=":
            high = inf
    _append(params, low, high, value, out)


def money(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    number = value.get("value")
    if number is None:
        presence(params, value, out)
        return
    currency = value.get("currency", "")
    unit = {"system": CURRENCIES if currency else "", "code": currency, "unit": currency}
    _append(params, finite(number), finite(number), unit, out)


def quantity_range(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    low, high = ends(value)
    if low is None and high is None:
        presence(params, value, out)
        return
    unit = value.get("high") if low is None else value["low"]
    _append(params, -inf if low is None else low, inf if high is None else high, unit, out)


def _append(params: tuple[str, ...], low: float, high: float, value: Any, out: list[Entry]) -> None:
    system, code, unit = value.get("system", ""), value.get("code", ""), value.get("unit", "")
    code, unit = code[:LONGEST], unit[:LONGEST]
    out += [QuantityEntry(param, low, high, system, code, unit) for param in params]


def untyped(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    if not isinstance(value, dict):
        return
    if "low" in value or "high" in value:
        quantity_range(params, value, out)
    elif "currency" in value:
        money(params, value, out)
    else:
        quantity(params, value, out)


def presence(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    out += [QuantityEntry(param, None, None, None, None, None) for param in params]


CONVERT: dict[str, Converter] = {
    "Money": money,
    "Range": quantity_range,
    "": untyped,
} | dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration"), quantity)
