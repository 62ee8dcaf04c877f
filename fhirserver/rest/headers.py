"""Reading and writing the HTTP headers that FHIR gives a meaning.

https://hl7.org/fhir/R4/http.html#versioning, https://hl7.org/fhir/R4/http.html#ops (Prefer)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

from fhirserver.model.dates import interval

_ETAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*')
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclass(frozen=True, slots=True)
class Prefer:
    """https://hl7.org/fhir/R4/http.html#ops: what to send back, and how strict to be."""

    returns: str | None = None  # minimal | representation | OperationOutcome
    handling: str | None = None  # strict | lenient

    @property
    def strict(self) -> bool:
        return self.handling == "strict"


_RETURNS = {
    "minimal": "minimal",
    "representation": "representation",
    "operationoutcome": "OperationOutcome",
}
_HANDLINGS = frozenset({"strict", "lenient"})


@lru_cache(maxsize=128)
def prefer(text: str) -> Prefer:
    """A Prefer header; what is not known in it is passed over, as HTTP wants."""
    found: dict[str, str] = {}
    for item in text.replace(";", ",").split(","):
        name, _, value = item.partition("=")
        # Of a preference given twice the first counts (RFC 7240, 2).
        found.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    handling = found.get("handling")
    return Prefer(
        _RETURNS.get(found.get("return", "")), handling if handling in _HANDLINGS else None
    )


def applied(name: str, value: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """The header that tells of a preference that it was heeded (RFC 7240, 3)."""
    return () if value is None else ((b"preference-applied", f"{name}={value}".encode()),)


def none_match(text: str, version: int) -> bool:
    """Whether If-None-Match holds this version (weak comparison), so that 304 is the answer."""
    if text.strip() == "*":
        return True
    return any(same_version(tag, version) for tag in text.split(","))


def same_version(tag: str, version: int) -> bool:
    """Whether one entity tag is that of this version."""
    found = _ETAG.fullmatch(tag)
    return found is not None and found[1] == str(version)


def not_modified_since(text: str, updated: int) -> bool:
    """Whether If-Modified-Since makes 304 the answer; an unreadable date has no effect."""
    try:
        since = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return False
    if since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return updated // 1_000_000 <= int(since.timestamp())


def not_modified_since_instant(text: str, updated: int) -> bool:
    """The same for Bundle.entry.request.ifModifiedSince, which is an instant; what is none is
    read as the header it stands for."""
    try:
        return updated < interval(text)[1]
    except ValueError:
        return not_modified_since(text, updated)


@lru_cache(maxsize=4096)
def http_date(second: int) -> bytes:
    """Seconds since 1970 as the date format of HTTP."""
    return format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True).encode()


def request_id(value: bytes | None) -> bytes | None:
    """The client's X-Request-Id if it can be sent back and logged as it is."""
    if value is not None and _REQUEST_ID.fullmatch(value):
        return value
    return None
