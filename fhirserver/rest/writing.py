"""create, update, patch and delete over HTTP, also conditional.

https://hl7.org/fhir/R4/http.html#create, https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from fhirserver.errors import Invalid, Issue
from fhirserver.interaction.conditional_delete import conditional_delete as delete_selected
from fhirserver.interaction.conditional_patch import conditional_patch as patch_selected
from fhirserver.interaction.conditional_update import conditional_update as update_selected
from fhirserver.interaction.create import create as create_interaction
from fhirserver.interaction.delete import delete as delete_interaction
from fhirserver.interaction.if_match import if_match
from fhirserver.interaction.patch import Patch
from fhirserver.interaction.patch import patch as patch_interaction
from fhirserver.interaction.update import update as update_interaction
from fhirserver.model import json, xml
from fhirserver.rest import binary
from fhirserver.rest.answer import Answer
from fhirserver.rest.formats import JSON, JSON_PATCH, XML
from fhirserver.rest.headers import applied
from fhirserver.rest.outcome import outcome
from fhirserver.rest.representing import part_of_read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhirserver.interaction.context import Context, Written
    from fhirserver.rest.request import Request
    from fhirserver.validation import Validator

_DECODERS = {JSON: json.decode, XML: xml.decode, JSON_PATCH: json.decode_value}
_SAID = {
    "created": "was created",
    "updated": "was updated",
    "found": "exists already; nothing was created",
    "deleted": "was deleted",
    "unchanged": "was already absent",
}


def resource_of(request: Request) -> Any:
    """The resource a request carries."""
    if request.segments[:1] == ("Binary",) and not request.bundled:
        raw = binary.resource_of_raw(request)
        if raw is not None:
            return raw
    return request.content(decoders=_DECODERS)[1]


def patch_of(request: Request) -> Patch:
    """The patch a request carries; in a Bundle, JSON Patch comes as a Binary."""
    if request.bundled and isinstance(request.resource, dict):
        if request.resource.get("resourceType") == "Binary":
            return Patch("json", json.decode_value(binary.data_of(request.resource)))
        return Patch("fhirpath", request.resource)
    kind, body = request.content(also=(JSON_PATCH,), decoders=_DECODERS)
    return Patch("json" if kind == JSON_PATCH else "fhirpath", body)


def context_of(request: Request) -> Context:
    """The caller's view; whoever wants to hear of the outcome hears of what is only good practice
    too."""
    ctx = request.ctx
    if request.prefer.returns != "OperationOutcome":
        return ctx
    return replace(ctx, validator=cast("Validator", ctx.validator).advising())


async def create(request: Request) -> Answer:
    written = await create_interaction(
        context_of(request),
        request.segments[0],
        resource_of(request),
        if_none_exist=request.if_none_exist,
    )
    return _answer(request, written)


async def update(request: Request) -> Answer:
    type_, id_ = request.segments
    none_match = request.header(b"if-none-match")
    if none_match is not None and none_match.strip() != "*":
        raise Invalid("On an update, If-None-Match can only be *")
    written = await update_interaction(
        context_of(request),
        type_,
        id_,
        resource_of(request),
        if_match=if_match(request.header(b"if-match")),
        if_none_match=none_match is not None,
    )
    return _answer(request, written)


async def conditional_update(request: Request) -> Answer:
    if request.header(b"if-none-match") is not None:
        raise Invalid("If-None-Match has no meaning beside criteria in the URL")
    return await _on_selected(request, update_selected, resource_of(request))


async def patch(request: Request) -> Answer:
    type_, id_ = request.segments
    version = if_match(request.header(b"if-match"))
    written = await patch_interaction(
        context_of(request), type_, id_, patch_of(request), if_match=version
    )
    return _answer(request, written)


async def conditional_patch(request: Request) -> Answer:
    return await _on_selected(request, patch_selected, patch_of(request))


async def _on_selected(
    request: Request, interaction: Callable[..., Awaitable[Written]], content: Any
) -> Answer:
    """Write `content` to the resource that the criteria in the URL select."""
    written = await interaction(
        context_of(request),
        request.segments[0],
        _criteria(request),
        content,
        if_match=if_match(request.header(b"if-match")),
    )
    return _answer(request, written)


async def delete(request: Request) -> Answer:
    type_, id_ = request.segments
    written = await delete_interaction(
        request.ctx, type_, id_, if_match=if_match(request.header(b"if-match"))
    )
    return _deleted(request, [written])


async def conditional_delete(request: Request) -> Answer:
    written = await delete_selected(
        request.ctx,
        request.segments[0],
        _criteria(request),
        if_match=if_match(request.header(b"if-match")),
    )
    return _deleted(request, written)


def _criteria(request: Request) -> str:
    criteria = request.criteria
    if not criteria:
        raise Invalid(
            f"A {request.method} on a type needs search criteria in the URL, "
            "or the resource's id in the path"
        )
    return criteria


def _answer(request: Request, written: Written) -> Answer:
    version = written.version
    location = f"{request.ctx.base_url}/{version.type}/{version.id}/_history/{version.version}"
    # In a Bundle nothing is sent back unless asked for: an import has no use for it.
    returns = request.prefer.returns or ("minimal" if request.bundled else "representation")
    content: bytes | None = None
    report: bytes | None = None
    if returns == "OperationOutcome" or written.issues:
        report = json.encode(outcome([_done(written), *written.issues]))
    if returns == "OperationOutcome":
        content = report
    elif returns == "representation":
        content = version.content
        show = part_of_read(request)
        if show is not None and content is not None:
            content = show(content)
    status = 201 if written.result == "created" else 200
    return Answer(
        status,
        content,
        version,
        location,
        applied("return", request.prefer.returns),
        issues=report,
        recorded=_recorded(request, written),
    )


def _recorded(request: Request, *written: Written) -> bool:
    """Whether the audit trail knows already: what is committed is recorded with the commit."""
    return request.ctx.audit is not None and any(
        one.result in ("created", "updated", "deleted") for one in written
    )


def _done(written: Written) -> Issue:
    version = written.version
    return Issue(
        "information",
        "informational",
        f"{version.type}/{version.id} {_SAID[written.result]} (version {version.version})",
    )


def _deleted(request: Request, written: list[Written]) -> Answer:
    """204, or 200 with an OperationOutcome when the client prefers one."""
    recorded = _recorded(request, *written)
    version = written[0].version if len(written) == 1 and written[0].version.version else None
    if request.prefer.returns == "OperationOutcome":
        said = [_done(one) for one in written] or [
            Issue(
                "information", "informational", "The criteria select nothing; nothing was deleted"
            )
        ]
        content = json.encode(outcome(said))
        headers = applied("return", request.prefer.returns)
        return Answer(200, content, version, headers=headers, issues=content, recorded=recorded)
    return Answer(204, version=version, recorded=recorded)
