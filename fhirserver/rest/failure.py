"""The answer to a request that failed, with the headers its status asks for (RFC 9110)."""

from __future__ import annotations

from fhirserver.errors import TooLarge, Unauthenticated, UnsupportedMediaType
from fhirserver.model import json
from fhirserver.rest.answer import Answer
from fhirserver.rest.outcome import (
    RETRY_AFTER,
    gone_headers,
    issues_of,
    log_unexpected,
    outcome,
    status_of,
)
from fhirserver.rest.routes import WrongMethod

_PATCH_TYPES = b"application/json-patch+json, application/fhir+json, application/fhir+xml"


def failure(error: Exception, method: str, path: str, request_id: str) -> Answer:
    """An OperationOutcome of the error; what nobody foresaw is logged."""
    status = status_of(error)
    if status >= 500:
        log_unexpected(error, request_id, method, path)
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, WrongMethod):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    elif isinstance(error, TooLarge):
        headers.append((b"connection", b"close"))
    elif isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b'Bearer realm="fhir"'))
    elif isinstance(error, UnsupportedMediaType) and method == "PATCH":
        headers.append((b"accept-patch", _PATCH_TYPES))
    if status in RETRY_AFTER:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER[status]))
    headers += gone_headers(error)
    return Answer(status, json.encode(outcome(issues_of(error))), headers=tuple(headers))
