"""Is this code in this value set? The one question everybody asks terminology through.

https://hl7.org/fhir/R4/terminologies.html, https://hl7.org/fhir/R4/valueset.html
"""

from __future__ import annotations

from fhirserver.terminology.code_system import is_case_sensitive
from fhirserver.terminology.value_set import Expansion, expansion

__all__ = ["Expansion", "contains", "expansion"]


def contains(value_set_url: str, system: str | None, code: str) -> bool | None:
    """Whether `code` of `system` is in the value set `value_set_url` (`|version` is dropped).

    `system` None is for elements of type code, whose system the value set implies: any system
    with that code serves. None: this server does not hold enough to tell.
    """
    found = expansion(value_set_url.partition("|")[0])
    if found is None:
        return None
    if system is None:
        if any(_has(s, codes, code) for s, codes in found.codes.items()):
            return True
        verdicts = [grammar(code) for grammar in found.grammars.values()]
        if True in verdicts:
            return True
        return None if found.open or found.open_systems else False
    if system in found.codes and _has(system, found.codes[system], code):
        return True
    if system in found.grammars and found.grammars[system](code):
        return True
    return None if found.open or system in found.open_systems else False


def _has(system: str, codes: frozenset[str], code: str) -> bool:
    if code in codes:
        return True
    if is_case_sensitive(system):
        return False
    folded = code.casefold()
    return any(known.casefold() == folded for known in codes)
