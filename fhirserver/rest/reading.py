"""read, vread and history over HTTP (https://hl7.org/fhir/R4/http.html#read)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import Invalid
from fhirserver.interaction.history import history as history_interaction
from fhirserver.interaction.read import read as read_interaction
from fhirserver.interaction.vread import vread as vread_interaction
from fhirserver.rest import binary, bundle
from fhirserver.rest.answer import Answer
from fhirserver.rest.byte_range import part_of
from fhirserver.rest.headers import none_match, not_modified_since, not_modified_since_instant
from fhirserver.rest.representing import part_of_read

if TYPE_CHECKING:
    from fhirserver.model.version import Version
    from fhirserver.rest.request import Request

_READ_PARAMETERS = frozenset({"_format", "_pretty", "_summary", "_elements"})


async def read(request: Request) -> Answer:
    type_, id_ = request.segments
    _check_parameters(request)
    version = await read_interaction(request.ctx, type_, id_)
    return _answer(request, version)


async def vread(request: Request) -> Answer:
    type_, id_, _, version_id = request.segments
    _check_parameters(request)
    version = await vread_interaction(request.ctx, type_, id_, version_id)
    return _answer(request, version)


def _check_parameters(request: Request) -> None:
    if request.parameters and request.prefer.strict:
        for name, _ in request.parameters:
            if name not in _READ_PARAMETERS:
                raise Invalid(f"A read has no parameter “{name[:64]}”", code="not-supported")


def _answer(request: Request, version: Version) -> Answer:
    if _not_modified(request, version):
        return Answer(304, version=version)
    if version.type == "Binary":
        raw = binary.raw_answer(request, version)
        if raw is not None:
            return part_of(request, raw)
    content = version.content or b""
    show = part_of_read(request)
    if show is not None:
        content = show(content)
    return Answer(200, content, version)


def _not_modified(request: Request, version: Version) -> bool:
    """https://hl7.org/fhir/R4/http.html#cread; If-None-Match counts before If-Modified-Since."""
    tags = request.header(b"if-none-match")
    if tags is not None:
        return none_match(tags, version.version)
    since = request.header(b"if-modified-since")
    if since is None:
        return False
    compare = not_modified_since_instant if request.bundled else not_modified_since
    return compare(since, version.updated)


async def history(request: Request) -> Answer:
    """History of an instance, a type or the whole system."""
    segments = request.segments[:-1]
    type_ = segments[0] if segments else None
    id_ = segments[1] if len(segments) > 1 else None
    ctx = request.ctx
    show = part_of_read(request)
    parameters = [p for p in request.parameters if p[0] not in _READ_PARAMETERS]
    result = await history_interaction(ctx, type_, id_, parameters)
    path = "/".join((ctx.base_url, *request.segments))
    kept = [p for p in request.parameters if p[0] in ("_summary", "_elements")]
    links = bundle.Links(path, (*result.applied, *kept), request.parameter("_cursor"))
    content = bundle.history(
        ctx.base_url,
        versions=result.versions,
        total=result.total,
        links=links.to(result.next),
        timestamp=request.timestamp(),
        show=show,
    )
    return Answer(200, content, touched=tuple(result.versions))


__all__ = ["history", "read", "vread"]
