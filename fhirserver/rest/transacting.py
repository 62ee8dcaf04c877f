"""batch and transaction over HTTP (https://hl7.org/fhir/R4/http.html#transaction).

An entry is served by `routes.perform`, as an HTTP request would be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid, NotSupported
from fhirserver.interaction.batch import batch
from fhirserver.interaction.entry import EntryRequest, EntryResult
from fhirserver.interaction.transaction import transaction
from fhirserver.model import json
from fhirserver.model.dates import instant
from fhirserver.rest import bundle
from fhirserver.rest.answer import Answer
from fhirserver.rest.auditing import access_of, accesses_of
from fhirserver.rest.headers import applied
from fhirserver.rest.outcome import gone_headers, issues_of, log_unexpected, outcome, status_of
from fhirserver.rest.request import Request, decode_percent, parse_query
from fhirserver.rest.writing import context_of, resource_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhirserver.interaction.context import Written
    from fhirserver.model.version import Version

    Perform = Callable[[Request], Awaitable[Answer]]

_REASONS = {200: "200 OK", 201: "201 Created", 204: "204 No Content", 304: "304 Not Modified"}


async def process_bundle(request: Request, perform: Perform) -> Answer:
    """Serve a Bundle; `perform` serves one request."""
    if request.bundled:
        raise NotSupported("A Bundle entry cannot be a batch or transaction itself")
    if request.parameters and request.search_parameters:
        raise Invalid("A batch or transaction takes no search parameters")
    posted = resource_of(request)
    if not isinstance(posted, dict) or posted.get("resourceType") != "Bundle":
        raise Invalid("Only a Bundle can be posted to the base URL")
    kind = posted.get("type")
    serve = _performer(request, perform)
    if kind == "transaction":
        results = await transaction(context_of(request), posted, serve)
    elif kind == "batch":
        results = await batch(request.ctx, posted, serve)
    else:
        raise Invalid("Bundle.type must be batch or transaction here", code="value")
    base = request.ctx.base_url
    entries = [_entry(base, result, request.prefer.returns) for result in results]
    content = bundle.responses(
        f"{kind}-response", entries, base_url=base, timestamp=request.timestamp()
    )
    accesses = None
    if request.ctx.audit is not None:
        accesses = tuple(
            access
            for result in results
            if isinstance(result.answer, Answer)
            for access in result.answer.accesses or ()
        )
    headers = applied("return", request.prefer.returns)
    return Answer(200, content, headers=headers, accesses=accesses)


def _performer(outer: Request, perform: Perform) -> Any:
    """What serves an entry; errors included."""

    async def serve(entry: EntryRequest) -> EntryResult:
        request = None
        try:
            if entry.refused is not None:
                raise entry.refused
            request = request_of(outer, entry)
            answer = await perform(request)
            if outer.ctx.audit is not None:
                answer = replace(answer, accesses=accesses_of(request, answer))
            return EntryResult(entry, answer=answer)
        except Exception as error:
            status = status_of(error)
            if status == 500:
                log_unexpected(error, outer.request_id, entry.method, entry.url.partition("?")[0])
            report = json.encode(outcome(issues_of(error)))
            accesses = None
            if request is not None and outer.ctx.audit is not None:
                accesses = (access_of(request, status),)
            headers = gone_headers(error)
            answer = Answer(status, issues=report, headers=headers, accesses=accesses)
            return EntryResult(entry, answer=answer)

    return serve


def request_of(outer: Request, entry: EntryRequest) -> Request:
    """An entry as a request of its own, with the caller and preferences of the Bundle's."""
    url = entry.url.partition("#")[0]
    path, _, query = url.removeprefix(outer.ctx.base_url).partition("?")
    if "://" in path:
        raise Invalid(f"The URL must be relative to the base, not {path[:80]}")
    parts = path.strip("/").split("/") if path.strip("/") else []
    headers = {name.lower().encode(): value.encode() for name, value in entry.headers.items()}
    if b"prefer" in outer.headers:
        headers.setdefault(b"prefer", outer.headers[b"prefer"])
    return Request(
        outer.ctx,
        entry.method,
        tuple(decode_percent(part, "URL") for part in parts),
        parse_query(query),
        headers,
        resource=entry.resource,
        bundled=True,
        raw_query=query,
        request_id=outer.request_id,
        address=outer.address,
        facts=outer.facts,
    )


def _entry(base_url: str, result: EntryResult, returns: str | None) -> bytes:
    answer = result.answer
    if not isinstance(answer, Answer):
        return _written_entry(base_url, result.written, returns)
    version = answer.version
    report = answer.issues
    if report is None and answer.content is None and answer.status >= 400:
        report = json.encode(outcome(()))
    failed = answer.status >= 400
    return bundle.response_entry(
        _REASONS.get(answer.status, str(answer.status)),
        location=answer.location,
        etag=_etag(version) or dict(answer.headers).get(b"etag", b"").decode() or None,
        last_modified=instant(version.updated) if version is not None else None,
        resource=None if failed or answer.content is report else answer.content,
        full_url=_full_url(base_url, version),
        outcome=report,
    )


def _written_entry(base_url: str, written: tuple[Written, ...], returns: str | None) -> bytes:
    """The response to a write of a transaction."""
    if len(written) != 1:
        return bundle.response_entry(_REASONS[204])
    (one,) = written
    version = one.version
    if version.deleted:
        known = version if version.version else None
        return bundle.response_entry(
            _REASONS[204],
            etag=_etag(known),
            last_modified=instant(version.updated) if known else None,
        )
    issues = list(one.issues)
    report = None
    if returns == "OperationOutcome" or issues:
        report = json.encode(outcome(issues))
    return bundle.response_entry(
        _REASONS[201 if one.result == "created" else 200],
        location=f"{base_url}/{version.type}/{version.id}/_history/{version.version}",
        etag=_etag(version),
        last_modified=instant(version.updated),
        resource=version.content if returns == "representation" else None,
        full_url=_full_url(base_url, version),
        outcome=report,
    )


def _etag(version: Version | None) -> str | None:
    return None if version is None else f'W/"{version.version}"'


def _full_url(base_url: str, version: Version | None) -> str | None:
    return None if version is None else f"{base_url}/{version.type}/{version.id}"
