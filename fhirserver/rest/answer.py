"""What an interaction comes to, before a representation is chosen for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fhirserver.access.audit.trail import Access
    from fhirserver.model.version import Version

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """`content` is FHIR JSON (None: no body), unless `content_type` says that it is something
    else, sent as it is. `version` gives ETag and Last-Modified; `location` is absolute."""

    status: int
    content: bytes | None = None
    version: Version | None = None
    location: str | None = None
    headers: Headers = ()
    content_type: str | None = None
    issues: bytes | None = None  # an OperationOutcome for a Bundle entry's response.outcome
    # For the audit trail: the versions sent, where it is more than `version`; whether the commit
    # has recorded it already; the accesses of a Bundle's entries.
    touched: tuple[Version, ...] = ()
    pieces: AsyncIterator[bytes] | None = None  # a body sent while it is made, instead of `content`
    recorded: bool = False
    accesses: tuple[Access, ...] | None = None
