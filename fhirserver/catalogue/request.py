"""What a publisher asks for: a Task, its enclosures and the reviews of the criteria families.

https://hl7.org/fhir/R4/task.html. Enclosures are Task.input, reviews Task.output: one for each
family, with a verdict and, where it is not met, what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision import listing
from fhirserver.catalogue import names

if TYPE_CHECKING:
    from collections.abc import Mapping

OPEN = ("draft", "requested", "received", "in-progress", "on-hold")


@dataclass(frozen=True, slots=True)
class Review:
    """`place`: which of Task.output."""

    place: int
    family: str
    verdict: str
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """One of the catalogue's Tasks. `kind`: application, renewal or amendment."""

    id: str
    kind: str
    status: str
    reason: str
    device: str
    publisher: str
    inputs: tuple[tuple[str, str], ...]
    reviews: tuple[Review, ...]
    modified: str = ""

    def texts(self, kind: str) -> tuple[str, ...]:
        return tuple(text for name, text in self.inputs if name == kind)

    def unmet(self, families: frozenset[str]) -> list[str]:
        """The families that no review finds met."""
        met = {review.family for review in self.reviews if review.verdict == names.COMPLIANT}
        return sorted(families - met)


def is_request(task: Mapping[str, Any] | None) -> bool:
    return task is not None and bool(names.codes_in(task.get("code"), listing.TASK))


def request_of(task: Mapping[str, Any]) -> Request:
    return Request(
        id=str(task.get("id", "")),
        kind=next(iter(names.codes_in(task.get("code"), listing.TASK)), ""),
        status=str(task.get("status", "")),
        reason=_text(task.get("statusReason")),
        device=names.reference_of(task.get("focus")),
        publisher=names.reference_of(task.get("requester")),
        inputs=tuple(_inputs(task)),
        reviews=tuple(_reviews(task)),
        modified=str(task.get("lastModified", "")),
    )


def _inputs(task: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for each in task.get("input", []):
        value = next((v for k, v in each.items() if k.startswith("value")), "")
        if isinstance(value, dict):
            value = value.get("url") or value.get("reference") or value.get("title") or "attached"
        found += [(code, str(value)) for code in names.codes_in(each.get("type"), names.INPUT)]
    return found


def _reviews(task: Mapping[str, Any]) -> list[Review]:
    found = []
    for place, each in enumerate(task.get("output", [])):
        verdict = each.get("valueCodeableConcept")
        family = next(iter(names.codes_in(each.get("type"), names.FAMILY)), "")
        code = next(iter(names.codes_in(verdict, names.VERDICT)), "")
        found.append(Review(place, family, code, _text(verdict)))
    return found


def _text(concept: Any) -> str:
    if not isinstance(concept, dict):
        return ""
    text = concept.get("text")
    if isinstance(text, str) and text.strip():
        return text.strip()
    for coding in concept.get("coding", []):
        if isinstance(coding, dict) and coding.get("system") != names.VERDICT:
            return str(coding.get("display") or coding.get("code") or "")
    return ""
