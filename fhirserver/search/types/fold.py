"""Text as searches compare it: without case, accents and superfluous white space.

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from unicodedata import normalize

from anyascii import anyascii

#: Text in the index and in tests is cut after so many characters.
LONGEST = 1024

_WORD = re.compile(r"\w+")
_OTHER = re.compile(r"[^\x00-\x7f]{1,32}")
_TAG = re.compile(r"<[^>]*>")
_LONGEST_WORD = 64


def fold(text: str) -> str:
    """`text` in lower case, without accents, white space collapsed, cut."""
    if len(text) <= 128:
        return _fold(text)
    return _fold.__wrapped__(text[: 2 * LONGEST])


@lru_cache(maxsize=16384)
def _fold(text: str) -> str:
    if text.isascii():
        folded = text.lower()
    else:
        caseless = normalize("NFC", text).casefold()
        # What has no transliteration stands for itself.
        folded = _ascii(caseless).lower() or normalize("NFKC", caseless)
    return " ".join(folded.split())[:LONGEST]


def _ascii(text: str) -> str:
    """Transliterated; character by character, so what is ASCII already need not be looked at."""
    return _OTHER.sub(_transliterated, text)


def _transliterated(found: re.Match[str]) -> str:
    return _transliterate(found.group())


@lru_cache(maxsize=16384)
def _transliterate(text: str) -> str:
    transliterated: str = anyascii(text)
    return transliterated


def words(text: str) -> set[str]:
    """The different words of `text`, folded."""
    if text.isascii():
        folded = text.lower()
    else:
        folded = _ascii(normalize("NFC", text).casefold()).lower()
    return {word[:_LONGEST_WORD] for word in _WORD.findall(folded)}


def narrative_words(div: str) -> set[str]:
    """The different words of a narrative, without its mark-up."""
    return words(unescape(_TAG.sub(" ", div)))
