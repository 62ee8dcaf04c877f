"""The formats of FHIR's primitive types, tightened to dates that exist and text one can read.

https://hl7.org/fhir/R4/datatypes.html#primitive

Patterns are of the subset that Python and Rust's linear engine read alike, so that the schema
and the explanation never differ.
"""

from __future__ import annotations

import binascii
import re
from decimal import Decimal
from typing import Any

MAX_STRING = 1_048_576

_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f]*"
_VISIBLE = r"[^\x00-\x20\s]"
_MONTH = r"(?:0[1-9]|1[0-2])"
_YEAR = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DAY_OF_YEAR = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_CYCLE = r"(?:0[48]|[2468][048]|[13579][26])"
_DAY = rf"(?:{_YEAR}-{_DAY_OF_YEAR}|(?:[0-9]{{2}}{_CYCLE}|{_CYCLE}00)-02-29)"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_SIXTH = r"[A-Za-z0-9+/]"  # a character of base64: six bits
_GAP = r"[ \t\r\n]*"

#: The whole value of each primitive type that JSON writes as a string.
PATTERNS: dict[str, str] = {
    "string": rf"{_TEXT}{_VISIBLE}{_TEXT}",
    "markdown": rf"{_TEXT}{_VISIBLE}{_TEXT}",
    "xhtml": rf"{_TEXT}{_VISIBLE}{_TEXT}",
    "code": rf"{_VISIBLE}+(?: {_VISIBLE}+)*",
    "id": r"[A-Za-z0-9.-]{1,64}",
    "uri": rf"{_VISIBLE}+",
    "url": rf"{_VISIBLE}+",
    "canonical": rf"{_VISIBLE}+",
    "oid": r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+",
    "uuid": r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "date": rf"(?:{_YEAR}(?:-{_MONTH})?|{_DAY})",
    "dateTime": rf"(?:{_YEAR}(?:-{_MONTH})?|{_DAY}(?:T{_TIME}{_ZONE})?)",
    "instant": rf"{_DAY}T{_TIME}{_ZONE}",
    "time": _TIME,
    "base64Binary": (
        rf"{_GAP}(?:(?:{_SIXTH}{_GAP}){{4}})*(?:(?:{_SIXTH}{_GAP}){{4}}"
        rf"|(?:{_SIXTH}{_GAP}){{3}}={_GAP}|(?:{_SIXTH}{_GAP}){{2}}={_GAP}={_GAP})"
    ),
}

#: Lowest and highest value of the integer types.
RANGES: dict[str, tuple[int, int]] = {
    "integer": (-(2**31), 2**31 - 1),
    "unsignedInt": (0, 2**31 - 1),
    "positiveInt": (1, 2**31 - 1),
}

#: Judged without their pattern, which backtracks in Python where Rust's engine is linear.
_FREE_TEXT = ("string", "markdown", "xhtml")
_COMPILED = {
    name: re.compile(pattern)
    for name, pattern in PATTERNS.items()
    if name not in (*_FREE_TEXT, "base64Binary")
}
_SHAPE_OF_DATE = re.compile(r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?")
_GAPS = re.compile(r"[ \t\r\n]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_JSON_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}


def json_kind(value: Any) -> str:
    """What JSON calls `value`."""
    if value is None:
        return "null"
    return _JSON_KINDS.get(type(value), "a number")


def schema_of(type_: str) -> dict[str, Any]:
    """The JSON schema of a primitive type."""
    if type_ == "boolean":
        return {"type": "boolean"}
    if type_ == "decimal":
        return {"type": "number"}
    if type_ in RANGES:
        low, high = RANGES[type_]
        return {"type": "integer", "minimum": low, "maximum": high}
    schema: dict[str, Any] = {"type": "string", "pattern": f"^{PATTERNS[type_]}$"}
    if type_ in ("string", "markdown"):
        schema["maxLength"] = MAX_STRING
    return schema


def fault(type_: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with `value` as a `type_`: (issue code, text); None when nothing is."""
    if type_ == "boolean":
        if type(value) is bool:
            return None
        return "structure", f"must be true or false without quotes, not {shown(value)}"
    if type_ in RANGES or type_ == "decimal":
        return _number_fault(type_, value)
    if type(value) is not str:
        return "structure", f"must be a string ({type_}), not {shown(value)}"
    return _text_fault(type_, value)


def _number_fault(type_: str, value: Any) -> tuple[str, str] | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        quotes = ", without quotes" if isinstance(value, str) else ""
        return "structure", f"must be a number ({type_}){quotes}, not {shown(value)}"
    if isinstance(value, float | Decimal) and not Decimal(value).is_finite():
        return "value", f"{value} is not a {type_}"
    if type_ == "decimal":
        return None
    if type(value) is not int:
        return "value", f"{shown(value)} is not a whole number written without decimal point"
    low, high = RANGES[type_]
    if not low <= value <= high:
        return "value", f"{shown(value)} is out of the range of {type_}, {low} to {high}"
    return None


def _text_fault(type_: str, value: str) -> tuple[str, str] | None:
    if not value:
        return "value", "must not be an empty string; leave the element out instead"
    if _SURROGATE.search(value):
        return "value", "has half of a surrogate pair, which is not a character"
    if type_ == "base64Binary":
        return _base64_fault(value)
    if type_ in ("string", "markdown") and len(value) > MAX_STRING:
        return "too-long", f"has {len(value)} characters; a {type_} has at most {MAX_STRING}"
    control = _CONTROL.search(value)
    if control:
        return "value", f"has the control character U+{ord(control[0]):04X}"
    if not value.strip():
        return "value", "has white space only; leave the element out instead"
    if type_ in _FREE_TEXT or _COMPILED[type_].fullmatch(value):
        return None
    return "value", f"{shown(value)} is not a valid {type_}: {_hint(type_, value)}"


def _base64_fault(value: str) -> tuple[str, str] | None:
    packed = _GAPS.sub("", value)
    try:
        binascii.a2b_base64(packed.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        packed = ""
    if packed and len(packed) % 4 == 0:
        return None
    return "value", f"{shown(value)} is not base64"


def _hint(type_: str, value: str) -> str:
    if type_ in ("date", "dateTime", "instant"):
        return _hint_of_date(type_, value)
    if type_ == "code" and ("  " in value or value != value.strip() or re.search(r"\s", value)):
        return "white space stands only between words, one space at a time"
    if type_ in ("uri", "url", "canonical") and re.search(r"\s", value):
        return "it must not contain white space"
    return _HINTS.get(type_, "see https://hl7.org/fhir/R4/datatypes.html#" + type_)


_HINTS = {
    "id": "1 to 64 letters, digits, '-' and '.'",
    "oid": "it has the form urn:oid:1.2.3",
    "uuid": "it has the form urn:uuid:c757873d-ec9a-4326-a141-556f43239520, in lower case",
    "time": "it has the form hh:mm:ss, without zone",
}


def _hint_of_date(type_: str, value: str) -> str:
    day, _, rest = value.partition("T")
    if not _SHAPE_OF_DATE.fullmatch(day):
        return "it has the form YYYY, YYYY-MM or YYYY-MM-DD" + (
            "" if type_ == "date" else ", and with a time YYYY-MM-DDThh:mm:ss+zz:zz"
        )
    if not _COMPILED["date"].fullmatch(day):
        return f"there is no such {'day' if len(day) == 10 else 'month or year'}"
    if type_ == "date" and "T" in value:
        return "a date has no time"
    if type_ == "instant" and not rest:
        return "an instant has a time to the second and a zone"
    if len(day) != 10:
        return "a time needs a whole date before it"
    if re.fullmatch(_TIME, rest):
        return "a time needs a zone, for instance Z or +01:00"
    return "its time has the form hh:mm:ss (seconds included) with a zone, Z or +hh:mm"


def shown(value: Any) -> str:
    """A value for a message: short and printable."""
    if isinstance(value, str):
        clean = "".join(c if c.isprintable() else "?" for c in value[:64])
        return f"'{clean}…'" if len(value) > 64 else f"'{clean}'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal | float):
        return "a number of very many digits" if _is_long(value) else str(value)
    return json_kind(value)


def _is_long(value: int | Decimal | float) -> bool:
    if isinstance(value, int):
        return value.bit_length() > 256
    return isinstance(value, Decimal) and len(value.as_tuple().digits) > 80
