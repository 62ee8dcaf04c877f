"""The logical id a loaded resource has, the same in every run.

A create gives a server the choice of the id. A load makes that choice from what it reads, so that
running it again meets the resources it made before instead of making them twice.

The urn:uuid of an entry is a name inside its Bundle only: two Bundles that use the same one mean
two resources. So a made id depends on the whole Bundle too, by its `scope`: the fullUrls it uses.
A Bundle in which one entry was corrected keeps its scope, and is loaded again without doubles.
Bundles made from one template, with the same fullUrls in each, have one scope; when that shows
(`Scope.by_content`) their contents tell them apart.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_NAMESPACE = uuid.UUID("9f2bb6f4-1f0c-5c3e-8b5a-0d6a4e7c1a52")


def is_id(text: object) -> bool:
    return isinstance(text, str) and _ID.fullmatch(text) is not None


class Scope:
    """What makes the ids of one Bundle different from those of another."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    @classmethod
    def by_names(cls, full_urls: Iterable[str]) -> Scope:
        return cls(_digest("\n".join(full_urls).encode()))

    @classmethod
    def by_content(cls, bundle: bytes) -> Scope:
        return cls(_digest(bundle))

    def id(self, full_url: str | None, own_id: str | None, content: bytes) -> str:
        """The id of a resource whose sender leaves it to the server: made from its urn when it
        has one; else the id that stands in the resource, else one made from its content."""
        if full_url is not None and full_url.startswith("urn:"):
            return str(uuid.uuid5(_NAMESPACE, f"{self._text}\n{full_url}"))
        if own_id is not None and is_id(own_id):
            return own_id
        return str(uuid.uuid5(_NAMESPACE, f"{self._text}\n\n{_digest(content)}"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
