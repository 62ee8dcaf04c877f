"""Which resources a rule has to read: most hold none of its codes, and are passed over unparsed."""

from __future__ import annotations

import re

_CODED = re.compile(rb'"(?:code|system)"\s*:\s*"([^"\\]*)"')


def holds(content: bytes, coded: frozenset[bytes]) -> bool:
    """Whether a resource has one of `coded` as code or system. One look at its text, however many
    there are; what is written with escapes is not found."""
    return not coded.isdisjoint(_CODED.findall(content))
