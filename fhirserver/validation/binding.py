"""Required bindings: the code must come from the value set.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhirserver.model.definitions import Element
from fhirserver.terminology import contains, expansion

Coded = Callable[[Any], bool]
#: Formats of the API have short names, which HL7's own resources use where the binding names
#: media types (https://hl7.org/fhir/R4/http.html#parameters, _format).
_SHORT_FORMATS = frozenset(("xml", "json", "ttl", "html", "text"))
_NAMING_FORMATS = ("CapabilityStatement", "TestScript")


def check(element: Element, owner: str) -> Coded | None:
    """The test of `element`'s values that the schema does not make; None when there is none."""
    url = element.required_binding
    if url is None:
        return None
    if element.type == "code":
        known = expansion(url)
        if known is None or known.closed:
            return None  # the schema lists the codes
        return lambda value: _is_code(owner, url, value)
    if element.type == "CodeableConcept":
        return lambda value: concept_holds(url, value)
    if element.type in ("Coding", "Quantity"):
        return lambda value: _coding_holds(url, value)
    return lambda value: contains(url, None, value) is not False


def code_holds(element: Element, owner: str, value: str) -> bool:
    """Whether a code keeps the required binding of its element."""
    url = element.required_binding
    return url is None or _is_code(owner, url, value)


def _is_code(owner: str, url: str, value: str) -> bool:
    if contains(url, None, value) is not False:
        return True
    return owner.partition(".")[0] in _NAMING_FORMATS and value in _SHORT_FORMATS


def concept_holds(url: str, concept: dict[str, Any]) -> bool:
    """Some coding is in the value set, or might be; text alone will not do."""
    codings = concept.get("coding")
    if not codings:
        return "extension" in concept
    return any(_coding_holds(url, coding) for coding in codings)


def _coding_holds(url: str, coding: dict[str, Any]) -> bool:
    code = coding.get("code")
    if code is None:
        return "extension" in coding or "_code" in coding
    return contains(url, coding.get("system", ""), code) is not False


def shown(url: str) -> str:
    """The codes of a value set for a message, or its URL alone when they are many."""
    known = expansion(url)
    codes = sorted({c for codes in known.codes.values() for c in codes}) if known else []
    return f"{url} ({', '.join(codes)})" if 0 < len(codes) <= 16 else url
