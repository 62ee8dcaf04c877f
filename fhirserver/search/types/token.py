"""Token search parameters (https://hl7.org/fhir/R4/search.html#token).

`code` finds any system, `system|code` both, `|code` only what has no system, `system|` anything
of the system. Codes are compared as they stand: where a code system ignores case a search that
differs in case finds nothing, but two identifiers that differ in case are never taken as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.search.entries import StringEntry, TokenEntry
from fhirserver.search.expression import Both, Compare, Either
from fhirserver.search.types import Converter
from fhirserver.search.types.escape import split, unescape
from fhirserver.search.types.fold import LONGEST, fold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Test

MODIFIERS = frozenset({"text", "not", "above", "below", "in", "not-in", "of-type"})


def lower(text: str) -> Test:
    """The test of one value, still escaped."""
    parts = split(text, "|")
    if len(parts) > 2:
        raise Invalid(f"'{text[:64]}' is not a token: at most one unescaped | may be in it")
    if len(parts) == 1:
        return Compare("code", "eq", unescape(parts[0])[:LONGEST])
    system, code = (unescape(part)[:LONGEST] for part in parts)
    if not code:
        if not system:
            raise Invalid("'|' is not a token: a system or a code must be given")
        return Compare("system", "eq", system)
    return Both((Compare("system", "eq", system), Compare("code", "eq", code)))


def lower_of_type(text: str) -> Test:
    """`:of-type`: the system and code of Identifier.type, and the identifier's value."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise Invalid(f"'{text[:64]}' is not system|code|value, as :of-type needs it")
    system, code, value = parts
    return Both(
        (
            Compare("system", "eq", system[:LONGEST]),
            Compare("code", "eq", f"{code}|{value}"[:LONGEST]),
        )
    )


def lower_codes(codes: Iterable[tuple[str, str]]) -> Test:
    """One of these (system, code)."""
    by_system: dict[str, list[str]] = {}
    for system, code in codes:
        by_system.setdefault(system, []).append(code)
    return Either(
        tuple(
            Both((Compare("system", "eq", system), Compare("code", "in", tuple(found))))
            for system, found in by_system.items()
        )
    )


# --- entries --------------------------------------------------------------------------------


def coded(system: str) -> Converter:
    """The converter of a code, whose system the element's value set implies ("": unknown)."""

    def convert(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
        if isinstance(value, str):
            out += [TokenEntry(param, system, value[:LONGEST]) for param in params]

    return convert


def boolean(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    code = "true" if value is True else "false"
    out += [TokenEntry(param, "", code) for param in params]


def coding(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    system, code = value.get("system", ""), value.get("code", "")
    if system or code:
        out += [TokenEntry(param, system, code[:LONGEST]) for param in params]
    else:
        presence(params, value, out)
    display = value.get("display")
    if display is not None:
        _text(params, display, out)


def codeable_concept(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    codings = value.get("coding")
    text = value.get("text")
    if not codings:
        presence(params, value, out)
    else:
        for one in codings:
            coding(params, one, out)
            if one.get("display") == text:
                text = None
    if text is not None:
        _text(params, text, out)


def identifier(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    system, code = value.get("system", ""), value.get("value", "")
    if system or code:
        out += [TokenEntry(param, system, code[:LONGEST]) for param in params]
    else:
        presence(params, value, out)
    kind = value.get("type")
    if kind is None:
        return
    for one in kind.get("coding", ()):
        if code and one.get("code") is not None:
            joined = f"{one['code']}|{code}"[:LONGEST]
            out += [
                TokenEntry(f"{param}:of-type", one.get("system", ""), joined) for param in params
            ]
    if kind.get("text") is not None:
        _text(params, kind["text"], out)


def contact_point(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    number = value.get("value")
    if number is None:
        presence(params, value, out)
    else:
        out += [TokenEntry(param, "", number[:LONGEST]) for param in params]


def untyped(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    """A value whose FHIR type is not known: told by its shape."""
    if isinstance(value, bool):
        boolean(params, value, out)
    elif isinstance(value, str):
        coded("")(params, value, out)
    elif isinstance(value, dict):
        if "coding" in value or "text" in value:
            codeable_concept(params, value, out)
        elif "value" in value:
            identifier(params, value, out)
        else:
            coding(params, value, out)


def presence(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    out += [TokenEntry(param, None, None) for param in params]


def _text(params: tuple[str, ...], text: str, out: list[Entry]) -> None:
    folded = fold(text)
    text = text[:LONGEST]
    out += [StringEntry(f"{param}:text", folded, text) for param in params]


CONVERT: dict[str, Converter] = {
    "Coding": coding,
    "CodeableConcept": codeable_concept,
    "Identifier": identifier,
    "ContactPoint": contact_point,
    "boolean": boolean,
    "": untyped,
} | dict.fromkeys(("string", "id", "uri", "url", "canonical", "oid", "uuid"), coded(""))
