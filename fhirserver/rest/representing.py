"""The parts of a resource that `_summary` and `_elements` ask for.

https://hl7.org/fhir/R4/search.html#summary; both work on a read as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import Invalid
from fhirserver.model import json, subset

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.rest.request import Request

SUMMARIES = ("true", "text", "data", "count", "false")


def shown_part(summary: str | None, elements: tuple[str, ...]) -> Callable[[bytes], bytes] | None:
    """What makes of a resource's JSON the part asked for; None when that is all of it."""
    if summary in (None, "false", "count") and not elements:
        return None

    def show(content: bytes) -> bytes:
        resource = json.decode_stored(content)
        if elements:
            return json.encode(subset.elements(resource, elements))
        return json.encode(subset.summary(resource, summary or "true"))

    return show


def part_of_read(request: Request) -> Callable[[bytes], bytes] | None:
    """As `shown_part`, from the parameters of a read or history."""
    summary = elements = None
    for name, value in request.parameters:
        if name == "_summary":
            summary = value
        elif name == "_elements":
            elements = value
    if summary is None and elements is None:
        return None
    if summary is not None and (summary not in SUMMARIES or summary == "count"):
        raise Invalid(f"_summary is true, text, data or false here, not “{summary[:40]}”")
    if elements is not None and summary not in (None, "false"):
        raise Invalid("_summary and _elements exclude each other")
    names = tuple(n.strip() for n in (elements or "").split(",") if n.strip())
    return shown_part(summary, names)
