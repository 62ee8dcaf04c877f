"""URI search parameters (https://hl7.org/fhir/R4/search.html#uri).

Compared code point by code point. `:below` also finds what lies under the given URI, `:above`
what the given URI lies under, at the boundaries of the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.search.entries import UriEntry
from fhirserver.search.expression import Compare, Either
from fhirserver.search.types import Converter
from fhirserver.search.types.fold import LONGEST

if TYPE_CHECKING:
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Test

MODIFIERS = frozenset({"above", "below"})


def lower(text: str, modifier: str | None) -> Test:
    """The test of one value, already unescaped."""
    text = text[:LONGEST]
    if modifier == "below":
        under = text if text.endswith("/") else text + "/"
        return Either((Compare("value", "eq", text), Compare("value", "starts", under)))
    if modifier == "above":
        return Compare("value", "in", tuple(_above(text)))
    return Compare("value", "eq", text)


def _above(text: str) -> list[str]:
    """`text` and each URI that it lies under, with and without the final slash."""
    found = [text]
    scheme_end = text.find("://")
    place = len(text)
    while (place := text.rfind("/", 0, place)) > scheme_end + 2:
        found += [text[: place + 1], text[:place]]
    return list(dict.fromkeys(found))


def convert(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    if isinstance(value, str):
        out += [UriEntry(param, value[:LONGEST]) for param in params]


def canonical(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    """A canonical; one with a version is also found without it, as by a reference parameter."""
    convert(params, value, out)
    if isinstance(value, str) and "|" in value:
        convert(params, value.partition("|")[0], out)


def presence(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    out += [UriEntry(param, None) for param in params]


CONVERT: dict[str, Converter] = dict.fromkeys(
    ("uri", "url", "oid", "uuid", "string", ""), convert
) | {"canonical": canonical}
