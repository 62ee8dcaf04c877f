"""One invocation of an operation (https://hl7.org/fhir/R4/operations.html#executing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.interaction.search import SearchResult
    from fhirserver.model.version import Version


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation is called with.

    `type` and `id`: where (both None: on the system). `query`: the parameters in the URL, or in
    a POST body of form fields. `body`: the resource posted: Parameters, or the bare resource
    when the operation takes a single one (`$validate`). `method`: of HTTP, or of a Bundle's entry.
    """

    type: str | None = None
    id: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    body: Resource | None = None
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class File:
    """An answer that is no resource: a file, sent in pieces while it is made."""

    content_type: str
    name: str
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Made:
    """A resource made of stored ones, which are `versions`: the audit tells that they were sent.
    `stored`: the version it was stored as, if it was."""

    resource: Resource
    versions: tuple[Version, ...] = ()
    stored: Version | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation the server has.

    `types`: the resource types it is for (empty: all). `system`, `type`, `instance`: where it can
    be called. `affects_state`: it writes, so GET is refused. `get`: GET is allowed.
    `definition`: the canonical URL of its OperationDefinition.
    """

    code: str
    run: Callable[[Context, Call], Awaitable[Resource | Version | SearchResult | File | Made]]
    definition: str
    system: bool = False
    type: bool = False
    instance: bool = False
    types: frozenset[str] = frozenset()
    affects_state: bool = False
    get: bool = True
