"""What a search must find, told from the resources themselves: the parameter's own FHIRPath
expression by fhirpathpy, and each parameter type's rules once more, as plainly as they can be put.

Nothing here comes from `fhirserver.search`: it is the other opinion.
"""

from __future__ import annotations

import calendar
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache

from fhirpathpy import compile as compile_fhirpath
from fhirpathpy.models import models

_R4 = models["r4"]
_FAR = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))


def rewritten(expression):
    """In the words fhirpathpy knows: `as` on many values, and `resolve()` told by the text."""
    for pattern, by in (
        (r"\(([\w.]+) as (\w+)\)", r"\1.ofType(\2)"),
        (r"([\w.]+) as (\w+)", r"\1.ofType(\2)"),
        (r"\.as\((\w+)\)", r".ofType(\1)"),
        (
            r"where\(resolve\(\) is (\w+)\)",
            r"where(reference.startsWith('\1/') or reference.contains('/\1/'))",
        ),
        (r"\bResource\.", ""),
    ):
        expression = re.sub(pattern, by, expression)
    return expression


@cache
def _path(expression):
    return compile_fhirpath(rewritten(expression), _R4)


def values_of(parameter, resource):
    """What the parameter's expression gives on the resource."""
    return _path(parameter["expression"])(resource)


# --- strings -----------------------------------------------------------------------------------

_NAME_PARTS = ("family", "given", "prefix", "suffix", "text")
_ADDRESS_PARTS = ("line", "city", "district", "state", "country", "postalCode", "text")


def texts(value):
    if isinstance(value, str):
        return [value]
    if not isinstance(value, dict):
        return []
    names = _NAME_PARTS if {"family", "given"} & value.keys() else _ADDRESS_PARTS
    found = []
    for name in names:
        part = value.get(name, [])
        found += [part] if isinstance(part, str) else part
    return found


def plain(text):
    """Without case, accents and superfluous white space."""
    apart = unicodedata.normalize("NFD", text.casefold())
    return " ".join("".join(c for c in apart if not unicodedata.combining(c)).split())


# --- tokens ------------------------------------------------------------------------------------

_CONTACT = {"phone", "fax", "email", "pager", "url", "sms", "other"}


def tokens(value):
    """(system, code) of a value; system None where only the binding tells it."""
    if isinstance(value, bool):
        return [("", str(value).lower())]
    if isinstance(value, str):
        return [(None, value)]
    if not isinstance(value, dict):
        return []
    if "coding" in value:
        return [pair for coding in value["coding"] for pair in tokens(coding)]
    if "code" in value or ("system" in value and "value" not in value):
        return [(value.get("system", ""), value.get("code", ""))]
    if "value" in value:
        system = value.get("system", "")
        return [("" if system in _CONTACT else system, value["value"])]
    return []


# --- dates -------------------------------------------------------------------------------------

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)


def interval(text):
    """[start, end) of a partial date."""
    found = _DATE.fullmatch(text)
    year, month, day, hour, minute, second, part, zone = found.groups()
    start = datetime(
        int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0),
        int(second or 0), int(float(part or 0) * 1_000_000), tzinfo=UTC,
    )  # fmt: skip
    if zone and zone != "Z":
        sign = -1 if zone[0] == "-" else 1
        start -= sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
    if month is None:
        return start, start.replace(year=start.year + 1)
    if day is None:
        return start, start + timedelta(days=calendar.monthrange(start.year, start.month)[1])
    if hour is None:
        return start, start + timedelta(days=1)
    if second is None:
        return start, start + timedelta(minutes=1)
    if part is None:
        return start, start + timedelta(seconds=1)
    return start, start + timedelta(seconds=float(Decimal(1).scaleb(1 - len(part))))


def period(value):
    if isinstance(value, str):
        return interval(value) if _DATE.fullmatch(value) else None
    if isinstance(value, dict) and value.keys() & {"start", "end"} and "repeat" not in value:
        low = interval(value["start"])[0] if "start" in value else _FAR[0]
        high = interval(value["end"])[1] if "end" in value else _FAR[1]
        return low, high
    return None


def date_passes(prefix, sought, stored):
    """https://hl7.org/fhir/R4/search.html#prefix, on intervals."""
    (low, high), (start, end) = sought, stored
    return {
        "eq": low <= start and end <= high,
        "ne": not (low <= start and end <= high),
        "gt": end > high,
        "lt": start < low,
        "ge": end > high or (low <= start < high and end <= high),
        "le": start < low or (low <= start < high and end <= high),
        "sa": start >= high,
        "eb": end <= low,
    }[prefix]


# --- numbers and quantities --------------------------------------------------------------------


def number(value):
    if isinstance(value, dict):
        if value.get("comparator"):
            return None
        value = value.get("value")
    if isinstance(value, bool) or value is None or isinstance(value, str | dict | list):
        return None
    return Decimal(str(value))


def number_passes(prefix, text, stored):
    sought = Decimal(text)
    half = Decimal((0, (5,), sought.as_tuple().exponent - 1))
    return {
        "eq": sought - half <= stored < sought + half,
        "ne": not sought - half <= stored < sought + half,
        "gt": stored > sought,
        "lt": stored < sought,
        "ge": stored >= sought,
        "le": stored <= sought,
        "sa": stored > sought,
        "eb": stored < sought,
        "ap": abs(stored - sought) <= max(abs(sought) / 10, half),
    }[prefix]


# --- references and URIs -----------------------------------------------------------------------


def target(value):
    """(type, id) of a literal relative reference."""
    text = value.get("reference") if isinstance(value, dict) else None
    if text is None:
        return None
    found = re.fullmatch(r"([A-Z]\w+)/([A-Za-z0-9\-.]{1,64})(?:/_history/\S+)?", text)
    return (found[1], found[2]) if found else None


def lies_under(uri, above):
    return uri == above or uri.startswith(above if above.endswith("/") else above + "/")


def escaped(text):
    return re.sub(r"([\\,|$])", r"\\\1", text)
