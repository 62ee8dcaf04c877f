"""An answer in the representation its client gets: status, headers and body of HTTP.

https://hl7.org/fhir/R4/http.html#mime-type, https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from fhirserver.model import json, xml
from fhirserver.rest.formats import HTML, XML
from fhirserver.rest.headers import http_date

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.rest.answer import Answer
    from fhirserver.rest.formats import Format

HeaderList = list[tuple[bytes, bytes]]

NOSNIFF = (b"x-content-type-options", b"nosniff")
#: Health data stays in no cache on the way, nor on a shared computer's disk.
NO_STORE = (b"cache-control", b"no-store")


def respond(
    answer: Answer,
    format: Format,
    *,
    pretty: bool = False,
    page: Callable[[bytes], tuple[bytes, HeaderList]] | None = None,
) -> tuple[HeaderList, bytes]:
    """Headers and body. `page` makes the HTML page of a resource, and the headers it needs."""
    headers: HeaderList = []
    body = answer.content
    if answer.pieces is not None:
        headers.append((b"content-type", (answer.content_type or "").encode("latin-1")))
    elif body is not None and answer.content_type is not None:
        headers.append((b"content-type", answer.content_type.encode("latin-1")))
    elif body is not None:
        headers.append((b"content-type", format.content_type))
        if format.kind == XML:
            resource = json.decode_stored(body)
            body = xml.encode_pretty(resource) if pretty else xml.encode(resource)
        elif format.kind == HTML and page is not None:
            body, needed = page(body)
            headers += needed
        elif pretty:
            body = json.pretty(body)
    if body is not None:
        headers.append((b"content-length", b"%d" % len(body)))
    elif answer.status not in (204, 304) and answer.pieces is None:
        headers.append((b"content-length", b"0"))
    version = answer.version
    if version is not None:
        headers.append((b"etag", b'W/"%d"' % version.version))
        headers.append((b"last-modified", http_date(version.updated // 1_000_000)))
    if answer.location is not None:
        headers.append((b"location", answer.location.encode()))
    headers.append(NOSNIFF)
    headers.append(NO_STORE)
    headers += answer.headers
    return headers, body or b""


def compressed(headers: HeaderList, body: bytes) -> tuple[HeaderList, bytes]:
    """The same answer in gzip. Level 1: for JSON nearly as small as the best, ten times faster."""
    encoder = zlib.compressobj(level=1, wbits=31)
    small = encoder.compress(body) + encoder.flush()
    kept = [h for h in headers if h[0] != b"content-length"]
    kept.append((b"content-length", b"%d" % len(small)))
    kept.append((b"content-encoding", b"gzip"))
    kept.append((b"vary", b"Accept-Encoding"))
    return kept, small
