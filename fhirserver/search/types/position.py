"""Positions on earth: what `near` searches (https://hl7.org/fhir/R4/location.html#search)."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.search.entries import PositionEntry
from fhirserver.search.expression import Kind, Match, Within
from fhirserver.search.types.escape import split

if TYPE_CHECKING:
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Expression

#: Mean radius of the earth in metres (IUGG).
EARTH_RADIUS = 6_371_008.8

#: Metres in the UCUM units of length that a distance may be given in.
METRES = {
    "km": 1000.0,
    "m": 1.0,
    "cm": 0.01,
    "[mi_i]": 1609.344,
    "[mi_us]": 1609.347218694,
    "[nmi_i]": 1852.0,
    "[yd_i]": 0.9144,
    "[ft_i]": 0.3048,
}

#: How far around the point to look when the search gives no distance, in kilometres.
DEFAULT_KILOMETRES = 50.0


def great_circle(latitude: float, longitude: float, latitude2: float, longitude2: float) -> float:
    """Metres between two positions in degrees, on a sphere (haversine)."""
    low, high = radians(latitude), radians(latitude2)
    a = (
        sin((high - low) / 2) ** 2
        + cos(low) * cos(high) * sin(radians(longitude2 - longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS * asin(min(1.0, sqrt(a)))


def entries(param: str, value: Any, out: list[Entry]) -> None:
    """A Location.position: one entry."""
    if not isinstance(value, dict):
        return
    latitude, longitude = value.get("latitude"), value.get("longitude")
    if latitude is None or longitude is None:
        out.append(PositionEntry(param, None, None))
    else:
        out.append(PositionEntry(param, float(latitude), float(longitude)))


def near(param: str, text: str) -> Expression:
    """`latitude|longitude|distance|units`; distance and units may be left out."""
    parts = split(text, "|")
    if not 2 <= len(parts) <= 4:
        raise Invalid(f"{param}: '{text[:64]}' is not latitude|longitude|distance|units")
    latitude, longitude = _degrees(param, parts[0], 90.0), _degrees(param, parts[1], 180.0)
    distance = DEFAULT_KILOMETRES
    if len(parts) > 2 and parts[2]:
        distance = _number(param, parts[2])
        if distance < 0:
            raise Invalid(f"{param}: the distance may not be negative")
    unit = parts[3] if len(parts) == 4 and parts[3] else "km"
    if unit not in METRES:
        raise Invalid(
            f"{param}: the unit of distance '{unit[:32]}' is not one of {', '.join(METRES)}"
        )
    return Match(param, Kind.POSITION, Within(latitude, longitude, distance * METRES[unit]))


def _degrees(param: str, text: str, limit: float) -> float:
    value = _number(param, text)
    if not -limit <= value <= limit:
        raise Invalid(f"{param}: '{text[:32]}' is outside ±{limit:g} degrees")
    return value


def _number(param: str, text: str) -> float:
    from fhirserver.search.types.number import decimal

    value = decimal(text)
    if value is None:
        raise Invalid(f"{param}: '{text[:32]}' is not a number")
    return float(value)
