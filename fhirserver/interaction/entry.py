"""One entry of a batch or transaction, as a request and as what came of it
(https://hl7.org/fhir/R4/http.html#transaction)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fhirserver.errors import FHIRError
    from fhirserver.interaction.context import Resource, Written


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """`url` is relative to the base (`Patient/1`, `Patient?identifier=s|v`); `headers` have the
    lower-case names of HTTP (`if-match`, `if-none-match`, `if-none-exist`,
    `if-modified-since`). `refused`: why an entry of a batch is no request; it is not served."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    resource: Resource | None = None
    refused: FHIRError | None = None


@dataclass(frozen=True, slots=True)
class EntryResult:
    """What came of one entry: for a write of a transaction `written` (several for a conditional
    delete of many, none when it found nothing); otherwise `answer`, whatever `perform` gave."""

    request: EntryRequest
    written: tuple[Written, ...] = ()
    answer: object = None


if TYPE_CHECKING:
    #: Serves one request as HTTP would be served, errors included; given by `rest`. It does not
    #: raise FHIRError: what goes wrong is in the answer.
    Perform = Callable[[EntryRequest], Awaitable[EntryResult]]
