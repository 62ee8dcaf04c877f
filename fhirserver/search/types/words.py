"""Text search on the narrative (`_text`) and on all text (`_content`).

https://hl7.org/fhir/R4/search.html#text: every word sought must occur. A word of the narrative is
not repeated under `_content`; a search of `_content` looks at both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.search.entries import WordEntry
from fhirserver.search.expression import All, AnyOf, Compare, Kind, Match
from fhirserver.search.types.fold import narrative_words, words

if TYPE_CHECKING:
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Expression

#: Members that hold machines' text: URLs, ids, codes of the structure, encoded data.
_NOT_TEXT = frozenset(
    (
        *("resourceType", "id", "meta", "div", "url", "system", "reference", "language"),
        *("contentType", "data", "hash", "use", "mode", "profile", "implicitRules", "source"),
        *("fullUrl", "instantiatesCanonical", "instantiatesUri", "definitionCanonical"),
    )
)

#: A word list longer than this is not human text that anybody searches.
_MOST_WORDS = 5000


def lower(param: str, text: str) -> Expression | None:
    """Every word of `text` occurs; None when it has no word."""
    found = sorted(words(text))
    if not found:
        return None
    if param == "_text":
        return All(tuple(_occurs("_text", word) for word in found))
    return All(tuple(AnyOf((_occurs("_content", word), _occurs("_text", word))) for word in found))


def _occurs(param: str, word: str) -> Match:
    return Match(param, Kind.WORD, Compare("word", "eq", word))


def text_entries(resource: dict[str, Any], out: list[Entry]) -> set[str]:
    """Add the words of the narrative; return them."""
    narrative = resource.get("text")
    div = narrative.get("div") if isinstance(narrative, dict) else None
    if not isinstance(div, str):
        return set()
    found = narrative_words(div)
    out += [WordEntry("_text", word) for word in sorted(found)[:_MOST_WORDS]]
    return found


def content_entries(resource: dict[str, Any], said: set[str], out: list[Entry]) -> None:
    """Add the words of all other text but those in `said`."""
    pieces: list[str] = []
    _collect({name: member for name, member in resource.items() if name != "text"}, pieces)
    if pieces:
        found = words(" ".join(pieces)) - said
        out += [WordEntry("_content", word) for word in sorted(found)[:_MOST_WORDS]]


def _collect(value: dict[str, Any], pieces: list[str]) -> None:
    for name, member in value.items():
        if name in _NOT_TEXT:
            continue
        kind = type(member)
        if kind is str:
            if not (member[4:5] == member[7:8] == "-" and member[:4].isdigit()):  # a date
                pieces.append(member)
        elif kind is dict:
            _collect(member, pieces)
        elif kind is list:
            for one in member:
                if type(one) is dict:
                    _collect(one, pieces)
                elif type(one) is str:
                    pieces.append(one)
