"""FHIR's JSON format, read strictly and written compactly (https://hl7.org/fhir/R4/json.html).

Decimals are `Decimal`, so their digits survive; integers stay `int`. What readers of JSON usually
let pass is refused: duplicate keys, NaN, lone surrogates, NUL, deep nesting.

The checks cost little on good input because they ask the encoder: encoding what was decoded gives
one canonical text, and comparing counts of single characters with the body shows what was lost.
"""

from __future__ import annotations

import json as standard_json
import re
from decimal import Context, Decimal, InvalidOperation, Overflow, Rounded, Subnormal
from typing import Any

import msgspec

from fhirserver.errors import Malformed

MAX_DEPTH = 60
# The range of IEEE 754 decimal128: beyond it a number is an attack, not a measurement.
MAX_EXPONENT = 6144

#: The Decimal of a text, with all its digits; ArithmeticError when it is out of the range.
exact_decimal = Context(
    prec=4300,  # as many digits as Python lets an integer have
    Emax=MAX_EXPONENT,
    Emin=-MAX_EXPONENT,
    traps=[InvalidOperation, Overflow, Rounded, Subnormal],
).create_decimal
_decode = msgspec.json.Decoder(float_hook=exact_decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode

_BYTE = re.compile(r" ?\(byte (\d+)\)")
_TOO_DEEP = b"\n" + b" " * (MAX_DEPTH + 1)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_STRING_OR_EXPONENT = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?E([+-]\d+)', re.DOTALL)
# How many values may be indented to find their depth: bounds the memory that takes to some 64 MB.
_INDENTED_VALUES = 60_000


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; raises Malformed on anything else."""
    value = decode_value(body)
    if type(value) is not dict:
        raise Malformed(f"The JSON must be an object, but it is {_kind(value)}")
    return value


def decode_value(body: bytes) -> Any:
    """Any JSON value (JSON Patch documents are arrays), read as strictly as `decode`."""
    if body[:3] == b"\xef\xbb\xbf":
        body = body[3:]
    try:
        value = _decode(body)
        canonical = _encode(value)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise _explain(body, error) from None
    # Without an escaped colon in the body, every colon of a kept key or string is there again.
    escapes = b"\\u00" in body
    if canonical.count(b":") != body.count(b":") or (escapes and b"\\u003" in body):
        _refuse_duplicate_keys(body)
    if escapes and b"\\u0000" in canonical and _NUL.search(canonical):
        raise Malformed("A string contains the character NUL (U+0000), which FHIR forbids")
    if _is_too_deep(value, canonical):
        raise Malformed(f"The JSON is nested more than {MAX_DEPTH} levels deep")
    return value


def decode_stored(body: bytes) -> dict[str, Any]:
    """The object in bytes that this server wrote itself: no check, no cost."""
    resource: dict[str, Any] = _decode(body)
    return resource


def encode(resource: Any) -> bytes:
    """Compact JSON in UTF-8; decimals with the digits they came with."""
    encoded: bytes = _encode(resource)
    if b"E-" in encoded:
        # Decimal writes 0.0000001 as 1E-7; FHIR's clients expect what they sent.
        encoded = _STRING_OR_EXPONENT.sub(_without_exponent, encoded)
    return encoded


def pretty(resource: dict[str, Any] | bytes) -> bytes:
    """Indented JSON of a resource, or of bytes that already are JSON."""
    compact = resource if isinstance(resource, bytes) else encode(resource)
    indented: bytes = msgspec.json.format(compact, indent=2)
    return indented


encode_pretty = pretty


def _without_exponent(match: re.Match[bytes]) -> bytes:
    exponent = match[1]
    if exponent is None or not -50 <= int(exponent) < 0:
        return match[0]
    return format(Decimal(match[0].decode()), "f").encode()


def _is_too_deep(value: Any, canonical: bytes) -> bool:
    """Whether some value lies inside more than MAX_DEPTH arrays and objects."""
    few = len(canonical) <= _INDENTED_VALUES or canonical.count(b",") <= _INDENTED_VALUES
    if few:
        # A line break stands only between values: in strings it is escaped.
        return _TOO_DEEP in msgspec.json.format(canonical, indent=1)
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return any(level)


def _refuse_duplicate_keys(body: bytes) -> None:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise Malformed(
                f"The member {_shown(twice)} occurs more than once in one JSON object"
                f" (its members: {', '.join(_shown(name) for name in list(found)[:12])})"
            )
        return found

    try:
        standard_json.loads(body, object_pairs_hook=members, parse_int=str, parse_float=str)
    except RecursionError:
        raise Malformed(f"The JSON is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        raise Malformed(f"Not valid JSON: {error}") from None


def _explain(body: bytes, error: Exception) -> Malformed:
    """A Malformed that says what is wrong and where."""
    if not body.strip():
        return Malformed("The body is empty; a JSON object was expected")
    if isinstance(error, RecursionError):
        return Malformed(f"The JSON is nested more than {MAX_DEPTH} levels deep")
    if isinstance(error, UnicodeDecodeError):
        try:
            body.decode()
        except UnicodeDecodeError as wrong:
            return Malformed(f"The body is not UTF-8: byte {wrong.start} cannot be read")
    if isinstance(error, ArithmeticError) or "out of range" in str(error):
        return Malformed(f"A number has too many digits or an exponent beyond ±{MAX_EXPONENT}")
    try:
        text = body.decode()
    except UnicodeDecodeError as wrong:
        return Malformed(f"The body is not UTF-8: byte {wrong.start} cannot be read")
    try:
        value = standard_json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except Malformed as refused:
        return refused
    except standard_json.JSONDecodeError as wrong:
        what = wrong.msg[:1].lower() + wrong.msg[1:]
        return Malformed(f"Not valid JSON: {what} (line {wrong.lineno}, column {wrong.colno})")
    except (ValueError, RecursionError):
        value = None
    if value is not None and _has_lone_surrogate(value):
        return Malformed("A string contains half of a surrogate pair (\\ud800 to \\udfff alone)")
    place = _BYTE.search(str(error))
    if place is None:
        return Malformed(f"Not valid JSON: {error}")
    before = body[: int(place[1])]
    line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
    reason = _BYTE.sub("", str(error)).removeprefix("JSON is malformed: ")
    return Malformed(f"Not valid JSON: {reason} (line {line}, column {column})")


def _refuse(constant: str) -> Any:
    raise Malformed(f"{constant} is not a JSON value")


def _has_lone_surrogate(value: Any) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if _SURROGATE.search(item):
                return True
        elif isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return False


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 60 else name[:57] + "...")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")
