"""The logical id a loaded resource has, the same in every run.

A create gives a server the choice of the id. A load makes that choice from what it reads, so that
running it again meets the resources it made before instead of making them twice.
"""

from __future__ import annotations

import hashlib
import re
import uuid

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_UUID = re.compile(
    r"urn:uuid:([0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})",
    re.IGNORECASE,
)
_NAMESPACE = uuid.UUID("9f2bb6f4-1f0c-5c3e-8b5a-0d6a4e7c1a52")


def is_id(text: object) -> bool:
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def settled_id(full_url: str | None, own_id: str | None, content: bytes) -> str:
    """The id of a resource without one that its sender insists on.

    A fullUrl that is a proper UUID is unique in the world, and becomes the id. Otherwise the id
    that stands in the resource is taken; failing that, one is made from the content.
    """
    if full_url is not None and (found := _UUID.fullmatch(full_url)) is not None:
        return found[1].lower()
    if own_id is not None and is_id(own_id):
        return own_id
    digest = hashlib.sha256(content).hexdigest()
    return str(uuid.uuid5(_NAMESPACE, f"{full_url or ''}\n{digest}"))
