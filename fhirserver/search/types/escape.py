r"""Separators and escapes in search values: `\,` `\|` `\$` `\\` stand for the character itself.

https://hl7.org/fhir/R4/search.html#escaping. A backslash before anything else, or at the end, is
an ordinary character.
"""

from __future__ import annotations

_ESCAPED = ",|$\\"


def split(text: str, separator: str) -> list[str]:
    """The parts of `text` between unescaped separators, still escaped."""
    if separator not in text:
        return [text]
    if "\\" not in text:
        return text.split(separator)
    parts: list[str] = []
    start = place = 0
    length = len(text)
    while place < length:
        character = text[place]
        if character == "\\" and place + 1 < length and text[place + 1] in _ESCAPED:
            place += 2
            continue
        if character == separator:
            parts.append(text[start:place])
            start = place + 1
        place += 1
    parts.append(text[start:])
    return parts


def unescape(text: str) -> str:
    """`text` with its escapes replaced by what they stand for."""
    if "\\" not in text:
        return text
    out: list[str] = []
    place = 0
    length = len(text)
    while place < length:
        character = text[place]
        if character == "\\" and place + 1 < length and text[place + 1] in _ESCAPED:
            place += 1
            character = text[place]
        out.append(character)
        place += 1
    return "".join(out)
