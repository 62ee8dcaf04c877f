"""What may stand in a summary: the kinds of terminology/record/summary-sections.json, and whether a
resource is of one.

A kind is told by status, clinical and verification status, category and code. What was entered in
error is of no kind.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.model import dates, shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.interaction.context import Resource


class Kind(msgspec.Struct, frozen=True):
    """`date`: elements that say when, the first that is there counts. `statuses`: of the element
    status. `clinical`: of clinicalStatus, where absent means active; `not_verified_as`:
    of verificationStatus. `values`: codes an element must have; `false`: elements that must not be
    true. `until`: periods that must not be over. `without`: elements that must be absent;
    `ended_by`: of which one must be there when there is no clinicalStatus.
    `categories`, `codes`: one of these in `category`, in one of `code_elements`. `newest_of_code`:
    only the newest of those with the same code is shown. `absence`: a statement that there is none
    of it is shown as long as there is none."""

    type: str
    date: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    clinical: tuple[str, ...] = ()
    not_verified_as: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = {}
    false: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    ended_by: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    codes: dict[str, tuple[str, ...]] = {}
    code_elements: tuple[str, ...] = ("code",)
    newest_of_code: bool = False
    absence: bool = False


class Absent(msgspec.Struct, frozen=True):
    """The statement that nothing is known, where a section must not be empty."""

    type: str
    code: str
    display: str
    text: str


class Section(msgspec.Struct, frozen=True):
    name: str
    title: str
    code: str
    display: str
    kinds: tuple[str, ...]
    most: int
    absent: Absent | None = None


class About(msgspec.Struct, frozen=True):
    """The document as a whole."""

    profiles: tuple[str, ...]
    bundle_profiles: tuple[str, ...]
    versions: tuple[str, ...]
    code: str
    display: str
    title: str


class Table(msgspec.Struct, frozen=True):
    source: str
    date: str
    version: str
    composition: About
    absent_system: str
    known_absent: dict[str, tuple[str, ...]]
    sections: tuple[Section, ...]
    kinds: dict[str, Kind]


@cache
def table() -> Table:
    body = shipped.read("terminology", "record", "summary-sections.json")
    return msgspec.json.decode(body, type=Table)


def fits(kind: Kind, resource: Resource, now: int) -> bool:
    """Whether the resource is of this kind at the moment `now` (microseconds)."""
    if resource.get("resourceType") != kind.type or in_error(resource):
        return False
    if kind.statuses and resource.get("status") not in kind.statuses:
        return False
    if kind.clinical:
        clinical = {code for _, code in codings(resource.get("clinicalStatus"))}
        # Without a clinical status it is taken as current, unless it says that it has ended.
        taken = "active" in kind.clinical or any(name in resource for name in kind.ended_by)
        if not clinical & set(kind.clinical) and not (taken and not clinical):
            return False
    verified = {code for _, code in codings(resource.get("verificationStatus"))}
    if verified & set(kind.not_verified_as):
        return False
    if any(resource.get(name) not in allowed for name, allowed in kind.values.items()):
        return False
    if any(resource.get(name) is True for name in kind.false):
        return False
    if any(name in resource for name in kind.without):
        return False
    if any(_over(resource.get(name), now) for name in kind.until):
        return False
    if kind.categories:
        found = {code for _, code in codings(resource.get("category"))}
        if not found & set(kind.categories):
            return False
    return not kind.codes or any(
        coding[1] in kind.codes.get(coding[0], ())
        for name in kind.code_elements
        for coding in codings(resource.get(name))
    )


def in_error(resource: Resource) -> bool:
    """Whether the resource says of itself that it is a mistake."""
    if resource.get("status") == "entered-in-error":
        return True
    found = codings(resource.get("verificationStatus"))
    return any(code == "entered-in-error" for _, code in found)


def states_absence(resource: Resource) -> bool:
    """Whether the resource says that there is nothing of its kind."""
    known = table().known_absent
    concept = resource.get("code") or resource.get("medicationCodeableConcept")
    return any(code in known.get(system, ()) for system, code in codings(concept))


def when(kind: Kind, resource: Resource) -> int:
    """The moment the resource is about, as a number that sorts; unknown is before all others."""
    for name in kind.date:
        value = resource.get(name)
        if isinstance(value, dict):
            value = value.get("start") or value.get("end")
        if isinstance(value, str):
            try:
                return dates.interval(value)[0]
            except ValueError:
                continue
    return -(1 << 62)


def codings(concept: Any) -> Iterator[tuple[str, str]]:
    """(system, code) of a CodeableConcept, or of each in a list of them."""
    for each in concept if isinstance(concept, list) else (concept,):
        for coding in (each.get("coding") or ()) if isinstance(each, dict) else ():
            if isinstance(coding, dict) and isinstance(coding.get("code"), str):
                yield str(coding.get("system") or ""), coding["code"]


def _over(period: Any, now: int) -> bool:
    end = period.get("end") if isinstance(period, dict) else None
    if not isinstance(end, str):
        return False
    try:
        return dates.interval(end)[1] <= now
    except ValueError:
        return False
