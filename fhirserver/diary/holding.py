"""Which resources a rule has to read: most hold none of its codes, and are passed over unparsed."""

from __future__ import annotations

import re

_STRING = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"')


def holds(content: bytes, strings: frozenset[bytes]) -> bool:
    """Whether one of `strings` is a whole string of a JSON text. One look at the text, however
    many strings are looked for; a string written with escapes is not found."""
    return not strings.isdisjoint(_STRING.findall(content))
