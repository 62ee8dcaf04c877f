"""Prefixes of number, date and quantity values (https://hl7.org/fhir/R4/search.html#prefix)."""

from __future__ import annotations

from fhirserver.errors import Invalid

PREFIXES = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})


def prefixed(text: str) -> tuple[str, str]:
    """The prefix of a value (eq when it has none) and the rest."""
    if text[:1].isalpha():
        prefix = text[:2]
        if prefix not in PREFIXES:
            raise Invalid(
                f"'{text[:64]}' begins with no known prefix: these are "
                "eq ne gt lt ge le sa eb ap, in lower case"
            )
        return prefix, text[2:]
    return "eq", text
