"""What went wrong, as HTTP status and OperationOutcome, for requests and Bundle entries alike.

https://hl7.org/fhir/R4/http.html#Status-Codes, https://hl7.org/fhir/R4/operationoutcome.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from fhirserver import errors
from fhirserver.access.store import (
    InvalidCursor,
    SelectionChanged,
    TransactionsUnavailable,
    VersionConflict,
)
from fhirserver.errors import Issue
from fhirserver.rest.headers import http_date

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhirserver.rest.answer import Headers

#: Error -> HTTP status. The nearest class in the error's ancestry counts.
STATUS: dict[type[BaseException], int] = {
    errors.Malformed: 400,
    errors.Invalid: 400,
    errors.NotSupported: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.MultipleMatches: 412,
    errors.TooLarge: 413,
    errors.UrlTooLong: 414,
    errors.UnsupportedMediaType: 415,
    errors.Unprocessable: 422,
    errors.TooCostly: 422,
    errors.TooManyRequests: 429,
    errors.FHIRError: 400,
    errors.Unavailable: 503,
    InvalidCursor: 400,
    TransactionsUnavailable: 400,
    VersionConflict: 409,
    SelectionChanged: 409,
    TimeoutError: 503,
    ConnectionError: 503,
    RecursionError: 400,
}

#: What a caller is told of an error that is not a FHIRError: (issue code, text).
WORDS: dict[type[BaseException], tuple[str, str]] = {
    InvalidCursor: ("invalid", "The page cursor is not one this server gave for this query"),
    TransactionsUnavailable: (
        "not-supported",
        "This server's store cannot write several resources as one",
    ),
    VersionConflict: ("conflict", "The resource was changed by someone else meanwhile"),
    SelectionChanged: ("conflict", "The resources selected have changed meanwhile"),
    TimeoutError: ("timeout", "The request took longer than this server allows"),
    ConnectionError: ("transient", "The store cannot be reached now; try again later"),
    RecursionError: ("structure", "The request is nested too deeply"),
}

#: Statuses after which a client may come back, with the seconds to wait.
RETRY_AFTER = {429: 60, 503: 5}

_log = structlog.get_logger("fhirserver.rest")


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; 500 for one nobody foresaw."""
    for ancestor in type(error).__mro__:
        status = STATUS.get(ancestor)
        if status is not None:
            return status
    return 500


def issues_of(error: BaseException) -> tuple[Issue, ...]:
    """The issues to tell the caller. Nothing of the server's inside is in them."""
    if isinstance(error, errors.FHIRError):
        return error.issues
    for ancestor in type(error).__mro__:
        words = WORDS.get(ancestor)
        if words is not None:
            return (Issue("error", *words),)
    return (Issue("fatal", "exception", "The server met an unexpected error; it has been logged"),)


def gone_headers(error: BaseException) -> Headers:
    """What is gone tells by its tag and time which deletion it was."""
    if not isinstance(error, errors.Gone) or not error.version:
        return ()
    return (
        (b"etag", b'W/"%d"' % error.version),
        (b"last-modified", http_date(error.updated // 1_000_000)),
    )


def log_unexpected(error: BaseException, request_id: str, method: str, path: str) -> None:
    """Keep what the caller is not told. Not the query: it may hold data of patients."""
    level = _log.error if status_of(error) == 500 else _log.warning
    level(
        "request failed",
        request_id=request_id,
        method=method,
        path=path,
        error=type(error).__name__,
        exc_info=error if status_of(error) == 500 else None,
    )


def outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome resource of these issues."""
    listed = []
    for issue in issues:
        item: dict[str, Any] = {"severity": issue.severity, "code": issue.code}
        if issue.diagnostics:
            item["diagnostics"] = printable(issue.diagnostics)
        if issue.expression:
            item["expression"] = [printable(e) for e in issue.expression]
        listed.append(item)
    if not listed:
        listed = [{"severity": "information", "code": "informational", "diagnostics": "All OK"}]
    return {"resourceType": "OperationOutcome", "issue": listed}


def printable(text: str) -> str:
    """Text safe to send: what a caller sent may come back in it, without control characters or
    lone surrogates, and not at any length."""
    if len(text) > 2000:
        text = text[:2000] + "…"
    if text.isprintable() and text.strip() == text:
        return text
    cleaned = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return cleaned.strip() or "-"
