"""Binary as the bytes it stands for (https://hl7.org/fhir/R4/binary.html#rest).

A client that names no FHIR format gets the content with its own type, and may send content as it
is. Such content comes from anyone, so a browser is told to run nothing in it.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid, Malformed
from fhirserver.model import json
from fhirserver.rest.answer import Answer
from fhirserver.rest.formats import MIME_TYPES, accepts_type, media_range, negotiate

if TYPE_CHECKING:
    from fhirserver.model.version import Version
    from fhirserver.rest.request import Request

_FHIR_ONLY = frozenset(
    {
        "application/fhir+json",
        "application/fhir+xml",
        "application/json+fhir",
        "application/xml+fhir",
    }
)
#: Types a browser may show in place: it runs nothing in them.
_INLINE = frozenset({"application/pdf", "image/png", "image/jpeg", "image/gif", "text/plain"})


def raw_answer(request: Request, version: Version) -> Answer | None:
    """The content itself, or None when the client wants the resource (or there is no content)."""
    if request.bundled or request.parameter("_format") is not None or version.content is None:
        return None
    accept = request.header(b"accept") or ""
    resource = json.decode_stored(version.content)
    content_type = str(resource.get("contentType", ""))
    parsed = media_range(content_type)
    if parsed is None or "data" not in resource or not _one_line(content_type):
        return None
    for part in accept.split(","):
        named = media_range(part)
        if named is None or named.type not in _FHIR_ONLY or named.q <= 0:
            continue
        # A FHIR document asked for by its own type is meant, not the Binary around it (IHE MHD
        # ITI-68); `_format` still gives that.
        if named.type != parsed.type:
            return None
        break
    if not accepts_type(accept, parsed.type):
        negotiate(accept)  # raises NotAcceptable when the resource is not wanted either
        return None
    place = "inline" if parsed.type in _INLINE else "attachment"
    headers = (
        (b"content-disposition", place.encode()),
        (b"content-security-policy", b"sandbox; default-src 'none'"),
    )
    return Answer(200, data_of(resource), version, headers=headers, content_type=content_type)


def data_of(resource: dict[str, Any]) -> bytes:
    """The bytes a Binary holds."""
    data = resource.get("data", "")
    if not isinstance(data, str):
        raise Invalid("Binary.data is not base64", code="value")
    try:
        return b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("Binary.data is not base64", code="value") from None


def resource_of_raw(request: Request) -> dict[str, Any] | None:
    """The Binary that a body sent as it is stands for; None when the body is the resource."""
    content_type = request.header(b"content-type") or ""
    parsed = media_range(content_type)
    if parsed is None or parsed.type in _FHIR_ONLY:
        return None
    if parsed.type in MIME_TYPES and _is_binary_resource(request.body, MIME_TYPES[parsed.type]):
        return None
    if not request.body:
        raise Malformed("The request has no body")
    if not _one_line(content_type):
        raise Invalid("The Content-Type holds characters that no MIME type has")
    resource: dict[str, Any] = {"resourceType": "Binary"}
    if len(request.segments) > 1:
        resource["id"] = request.segments[1]
    resource["contentType"] = content_type.strip()
    context = request.header(b"x-security-context")
    if context:
        resource["securityContext"] = {"reference": context.strip()}
    resource["data"] = b64encode(request.body).decode()
    return resource


def _is_binary_resource(body: bytes, kind: str) -> bool:
    """Whether a body of a generic type is meant as the resource: it says so itself."""
    start = body[:4096]
    if kind == "json":
        return b'"resourceType"' in start and b'"Binary"' in start
    return b"<Binary" in start and b"http://hl7.org/fhir" in start


def _one_line(text: str) -> bool:
    return text.isascii() and text.isprintable()
