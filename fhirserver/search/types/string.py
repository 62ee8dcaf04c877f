"""String search parameters (https://hl7.org/fhir/R4/search.html#string).

A search finds values that start with the given text, without regard to case and accents;
`:contains` anywhere in them, `:exact` the whole as it stands. A HumanName or Address is found by
each of its parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.search.entries import StringEntry
from fhirserver.search.expression import Compare
from fhirserver.search.types import Converter
from fhirserver.search.types.fold import LONGEST, fold

if TYPE_CHECKING:
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Test

MODIFIERS = frozenset({"exact", "contains"})


def lower(text: str, modifier: str | None) -> Test:
    """The test of one value, already unescaped."""
    if modifier == "exact":
        return Compare("text", "eq", text[:LONGEST])
    return Compare("folded", "contains" if modifier == "contains" else "starts", fold(text))


def plain(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    """A string or markdown."""
    if isinstance(value, str):
        folded = fold(value)
        text = value[:LONGEST]
        out += [StringEntry(param, folded, text) for param in params]


def _parts(names: tuple[str, ...]) -> Converter:
    def convert(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
        before = len(out)
        for name in names:
            part = value.get(name)
            if part is None:
                continue
            if isinstance(part, str):
                plain(params, part, out)
            else:
                for one in part:
                    plain(params, one, out)
        if len(out) == before:
            presence(params, value, out)

    return convert


def presence(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    out += [StringEntry(param, None, None) for param in params]


CONVERT: dict[str, Converter] = {
    "HumanName": _parts(("family", "given", "prefix", "suffix", "text")),
    "Address": _parts(("line", "city", "district", "state", "country", "postalCode", "text")),
    "CodeableConcept": _parts(("text",)),
    "Annotation": _parts(("text",)),
    "Coding": _parts(("display",)),
} | dict.fromkeys(
    ("string", "markdown", "code", "id", "uri", "url", "canonical", "xhtml", "oid", "uuid", ""),
    plain,
)
