"""A resource as the bytes that are stored and served (https://hl7.org/fhir/R4/resource.html#Meta).

`resourceType`, `id` and `meta` come first, then the elements in the order in which they came. The
server owns `meta.versionId` and `meta.lastUpdated`; the rest of `meta` is the client's.
"""

from __future__ import annotations

from typing import Any

from fhirserver.errors import Invalid
from fhirserver.model import json
from fhirserver.model.version import Content

# Extensions on a value that the server replaces would speak of a value that is no longer there.
_OWNED = ("versionId", "lastUpdated", "_versionId", "_lastUpdated")


def content(resource: dict[str, Any], id: str) -> Content:
    """The bytes of `resource` under logical id `id`, with room for version and time."""
    elements = resource.copy()
    type_ = elements.pop("resourceType", None)
    if not isinstance(type_, str):
        raise Invalid("The resource has no resourceType", code="structure")
    if elements.pop("id", id) != id:
        elements.pop("_id", None)
    meta = elements.pop("meta", None)
    if meta:
        if not isinstance(meta, dict):
            raise Invalid(f"{type_}.meta must be an object", code="structure")
        meta = {name: value for name, value in meta.items() if name not in _OWNED}
    return Content(
        head=b'{"resourceType":%b,"id":%b,"meta":{"versionId":"'
        % (json.encode(type_), json.encode(id)),
        middle=b'","lastUpdated":"',
        tail=b'"%b}%b}' % (_members(meta), _members(elements)),
    )


def resource_of(content: Content | bytes) -> dict[str, Any]:
    """The resource in `content`: as stored, or (of a Content not yet stamped) without the two
    members of `meta` that only the commit knows."""
    if isinstance(content, bytes):
        return json.decode_stored(content)
    resource = json.decode_stored(content.stamp(0, ""))
    meta = resource["meta"]
    del meta["versionId"], meta["lastUpdated"]
    if not meta:
        del resource["meta"]
    return resource


def _members(members: dict[str, Any] | None) -> bytes:
    return b"," + json.encode(members)[1:-1] if members else b""
