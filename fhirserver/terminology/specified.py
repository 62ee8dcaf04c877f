"""What searches by value set and by hierarchy learn from the specification's own terminology.

https://hl7.org/fhir/R4/search.html#modifiers. Only what is known completely is told: of a value
set that may hold a code not known here, and of a code system whose codes are not all here, None.
"""

from __future__ import annotations

from fhirserver.terminology.code_system import CodeSystem, code_system
from fhirserver.terminology.value_set import expansion

#: The version of all that ships.
VERSION = "4.0.1"

Codes = list[tuple[str, str]]


class SpecifiedTerminology:
    """Value sets and code systems of R4."""

    def expand(self, value_set: str) -> Codes | None:
        """Every (system, code) of the value set `url` or `url|4.0.1`."""
        url, bar, version = value_set.partition("|")
        found = expansion(url) if version == VERSION or not bar else None
        if found is None or not found.closed:
            return None
        if any(_folds(system) for system in found.codes):
            return None
        return [(system, code) for system, codes in found.codes.items() for code in sorted(codes)]

    def above(self, system: str, code: str) -> Codes | None:
        """`code` and every code that subsumes it."""
        known = _hierarchy(system, code)
        if known is None:
            return None
        found = {code: None}
        waiting = [code]
        while waiting:
            for parent in known.parents.get(waiting.pop(), ()):
                if parent not in found:
                    found[parent] = None
                    waiting.append(parent)
        return [(system, one) for one in found]

    def below(self, system: str, code: str) -> Codes | None:
        """`code` and every code that it subsumes."""
        known = _hierarchy(system, code)
        if known is None:
            return None
        return [(system, code), *((system, one) for one in sorted(known.below(code) - {code}))]


def _hierarchy(system: str, code: str) -> CodeSystem | None:
    found = code_system(system)
    if found is None or not found.complete or not found.case_sensitive:
        return None
    return found if code in found.parents else None


def _folds(system: str) -> bool:
    """Codes are searched as they stand, so a system that ignores case cannot be told wholly."""
    found = code_system(system)
    return found is not None and not found.case_sensitive
