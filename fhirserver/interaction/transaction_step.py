"""One entry of a transaction, read: which interaction it asks for, on what, under which
conditions (https://hl7.org/fhir/R4/http.html#trules)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from fhirserver.errors import FHIRError, Invalid, Issue, MethodNotAllowed, NotFound, NotSupported
from fhirserver.interaction.identity import check_id, check_type, is_id
from fhirserver.interaction.if_match import if_match
from fhirserver.model.definitions import RESOURCE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.interaction.context import Resource
    from fhirserver.interaction.entry import EntryRequest
    from fhirserver.interaction.if_match import IfMatch

Kind = Literal["delete", "create", "update", "patch", "read"]


@dataclass(frozen=True, slots=True)
class Step:
    """`place` in the Bundle. `criteria` instead of `id` makes the step conditional; those of a
    create are its If-None-Exist. A `read` step is any GET or HEAD, and a search by POST."""

    place: int
    request: EntryRequest
    full_url: str | None
    kind: Kind
    type: str = ""
    id: str | None = None
    criteria: str | None = None
    if_match: IfMatch | None = None
    if_none_match: bool = False

    @property
    def resource(self) -> Resource:
        assert self.request.resource is not None
        return self.request.resource

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let an error inside say which entry it is about."""
        try:
            yield
        except FHIRError as error:
            raise located(error, self.place, self.request) from error


def located(error: FHIRError, place: int, request: EntryRequest) -> FHIRError:
    """The same error, told of an entry of the Bundle."""
    entry = f"Bundle.entry[{place}]"
    issues = []
    for issue in error.issues:
        text = f"{entry} ({request.method} {request.url[:120]}): {issue.diagnostics}"
        inside = tuple(_inside(entry, expression) for expression in issue.expression)
        issues.append(Issue(issue.severity, issue.code, text, inside or (entry,)))
    return type(error)(issues=tuple(issues))


def _inside(entry: str, expression: str) -> str:
    _, dot, rest = expression.partition(".")
    return f"{entry}.resource{dot}{rest}"


def read_step(place: int, request: EntryRequest, full_url: str | None) -> Step:
    """What the entry asks for. Raises Invalid, NotFound, NotSupported, MethodNotAllowed."""
    path, question, query = request.url.partition("?")
    segments = [unquote(segment) for segment in path.split("/")] if path else []
    method = request.method
    if method in ("GET", "HEAD") or (method == "POST" and segments[-1:] == ["_search"]):
        return Step(place, request, full_url, "read")
    if any(segment.startswith("$") for segment in segments):
        raise NotSupported("An operation that is not a GET cannot be part of a transaction.")
    if not segments:
        raise MethodNotAllowed(f"{method} has no meaning on the base URL inside a Bundle.")
    type = segments[0]
    if type not in RESOURCE_TYPES:
        raise NotFound(f"{type[:80]} is no resource type.")
    if method == "POST":
        return _create(place, request, full_url, type, segments, question)
    tags, if_none_match = _conditions(request)
    kind: Kind = "update" if method == "PUT" else "patch" if method == "PATCH" else "delete"
    if len(segments) == 1 and question:
        if kind == "update":
            check_type(request.resource, type)
        if if_none_match:
            raise Invalid("If-None-Match has no meaning beside criteria in the URL.")
        return Step(place, request, full_url, kind, type, None, query, tags)
    if len(segments) != 2 or question:
        raise Invalid(f"{method} needs a URL like {type}/[id] or {type}?[criteria].")
    id = segments[1]
    if kind == "update":
        check_type(request.resource, type)
        check_id(request.resource or {}, type, id)
    elif not is_id(id):
        raise NotFound(f"{type}/{id[:80]} is not known.")
    return Step(place, request, full_url, kind, type, id, None, tags, if_none_match)


def _create(
    place: int,
    request: EntryRequest,
    full_url: str | None,
    type: str,
    segments: list[str],
    question: str,
) -> Step:
    if len(segments) != 1 or question:
        raise Invalid(f"POST needs the URL {type} alone; criteria belong into ifNoneExist.")
    if request.resource is None:
        raise Invalid("POST needs a resource.", code="required")
    check_type(request.resource, type)
    criteria = request.headers.get("if-none-exist")
    if criteria is not None:
        # Some clients write the whole search URL.
        criteria = criteria.removeprefix(type + "?").lstrip("?")
    return Step(place, request, full_url, "create", type, None, criteria)


def _conditions(request: EntryRequest) -> tuple[IfMatch | None, bool]:
    tags = if_match(request.headers.get("if-match"))
    none_match = request.headers.get("if-none-match")
    if none_match is not None and none_match.strip() != "*":
        raise Invalid("ifNoneMatch of a PUT can only be *.", code="value")
    return tags, none_match is not None
