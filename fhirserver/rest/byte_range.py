"""A part of the bytes of a Binary (RFC 9110, 14: https://www.rfc-editor.org/rfc/rfc9110#section-14).

A document of many megabytes is fetched piece by piece, and goes on after an interruption. A version
is never changed, so its tag stands for its bytes: If-Range takes the ETag as it was given.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.errors import Issue
from fhirserver.model import json
from fhirserver.rest.answer import Answer
from fhirserver.rest.headers import http_date, same_version
from fhirserver.rest.outcome import outcome

if TYPE_CHECKING:
    from fhirserver.model.version import Version
    from fhirserver.rest.request import Request

ACCEPT_RANGES = (b"accept-ranges", b"bytes")

_ONE = re.compile(r"(\d{1,18})-(\d{0,18})|-(\d{1,18})", re.ASCII)
_MOST = 16  # ranges of one request; who asks for more gets all of it

Range = tuple[int, int]  # first and last byte


def part_of(request: Request, answer: Answer) -> Answer:
    """The answer with the part that Range asks for: 206, or 416. The whole where it asks for none,
    not for bytes, or for a version that is no longer the one."""
    body, version = answer.content or b"", answer.version
    whole = replace(answer, headers=(*answer.headers, ACCEPT_RANGES))
    asked = request.header(b"range")
    if asked is None or request.method != "GET" or version is None:
        return whole
    condition = request.header(b"if-range")
    if condition is not None and not _holds(condition, version):
        return whole
    named = _named(asked)
    if not named:
        return whole
    found = [range for range in (_within(each, len(body)) for each in named) if range]
    if not found:
        return _unsatisfiable(len(body))
    if len(found) == 1:
        ((first, last),) = found
        told = (b"content-range", b"bytes %d-%d/%d" % (first, last, len(body)))
        return replace(
            whole, status=206, content=body[first : last + 1], headers=(*whole.headers, told)
        )
    if sum(last - first + 1 for first, last in found) > len(body):
        return whole  # they overlap: no less is sent by parts
    return _several(whole, body, found)


def _holds(condition: str, version: Version) -> bool:
    if '"' in condition:
        return same_version(condition, version.version)
    return condition.strip().encode() == http_date(version.updated // 1_000_000)


def _named(asked: str) -> list[tuple[str, str, str]]:
    """First, last and suffix length of each range; none when the header is not understood."""
    unit, equals, listed = asked.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return []
    matches = [_ONE.fullmatch(each.strip()) for each in listed.split(",") if each.strip()]
    if len(matches) > _MOST:
        return []
    found = [(m[1] or "", m[2] or "", m[3] or "") for m in matches if m is not None]
    backwards = any(first and last and int(last) < int(first) for first, last, _ in found)
    return [] if backwards or len(found) != len(matches) else found


def _within(named: tuple[str, str, str], size: int) -> Range | None:
    """The range as far as there are bytes; None when there are none in it."""
    first, last, suffix = named
    if suffix:
        start = max(size - int(suffix), 0)
        return (start, size - 1) if int(suffix) and size else None
    if int(first) >= size:
        return None
    return int(first), min(int(last or size), size - 1)


def _several(whole: Answer, body: bytes, found: list[Range]) -> Answer:
    boundary = secrets.token_hex(12)
    said = (whole.content_type or "").encode("latin-1")
    parts = [
        b"--%b\r\nContent-Type: %b\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%b\r\n"
        % (boundary.encode(), said, first, last, len(body), body[first : last + 1])
        for first, last in found
    ]
    content = b"".join([*parts, b"--%b--\r\n" % boundary.encode()])
    return replace(
        whole,
        status=206,
        content=content,
        content_type=f"multipart/byteranges; boundary={boundary}",
    )


def _unsatisfiable(size: int) -> Answer:
    text = f"The document has {size} bytes; none of them is in the range asked for."
    content = json.encode(outcome([Issue("error", "value", text)]))
    headers = (ACCEPT_RANGES, (b"content-range", b"bytes */%d" % size))
    return Answer(416, content, headers=headers)
