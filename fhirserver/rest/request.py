"""One request to the FHIR API, whether it came over HTTP or as a Bundle entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from fhirserver.errors import Invalid, Malformed, UnsupportedMediaType
from fhirserver.model.dates import instant, microseconds
from fhirserver.rest.formats import FORM, JSON, body_format
from fhirserver.rest.headers import Prefer, prefer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fhirserver.interaction.capabilities import Hosting
    from fhirserver.interaction.context import Context
    from fhirserver.rest.searching import Understood

Parameters = list[tuple[str, str]]

#: Parameters about the answer's form; no interaction sees them.
REPRESENTATION = frozenset({"_format", "_pretty"})


def decode_percent(text: str, what: str) -> str:
    """Percent-decoded UTF-8. A path or query that is not is malformed."""
    if "%" not in text and "\0" not in text:
        return text
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeError:
        raise Malformed(f"The {what} is not percent-encoded UTF-8") from None
    if "\0" in decoded:
        raise Invalid(f"The {what} holds a NUL character")
    return decoded


def parse_query(text: str) -> Parameters:
    """The name/value pairs of a query string or form body, in their order, repeats kept."""
    pairs: Parameters = []
    for item in text.split("&"):
        if item:
            name, _, value = item.partition("=")
            pairs.append(
                (
                    decode_percent(name.replace("+", " "), "query"),
                    decode_percent(value.replace("+", " "), "query"),
                )
            )
    return pairs


@dataclass(frozen=True, slots=True)
class Facts:
    """What the CapabilityStatement says of the server around the interactions. `oauth`: names
    and URLs of the authorization server's endpoints; empty when there is none."""

    cors: bool = False
    security: str = ""
    oauth: tuple[tuple[str, str], ...] = ()
    hosting: Hosting | None = None


NO_FACTS = Facts()


@dataclass(slots=True)
class Request:
    """`segments` are the decoded parts of the path below the base; `headers` have lower-case
    names. `body` is what was sent, `resource` the decoded resource of a Bundle entry."""

    ctx: Context
    method: str
    segments: tuple[str, ...]
    parameters: Parameters
    headers: Mapping[bytes, bytes]
    body: bytes = b""
    resource: Any = None
    bundled: bool = False
    raw_query: str = ""
    request_id: str = ""
    address: str = ""  # of the client
    facts: Facts = NO_FACTS
    understood: Understood | None = None
    _prefer: Prefer | None = field(default=None, repr=False)

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")

    @property
    def prefer(self) -> Prefer:
        if self._prefer is None:
            self._prefer = prefer(self.header(b"prefer") or "")
        return self._prefer

    def parameter(self, name: str) -> str | None:
        """The last value of a parameter that has one."""
        for key, value in reversed(self.parameters):
            if key == name:
                return value
        return None

    @property
    def criteria(self) -> str:
        """The query as sent (still percent-encoded) without `_format` and `_pretty`: the criteria
        of a conditional interaction."""
        return "&".join(
            item
            for item in self.raw_query.split("&")
            if item and item.partition("=")[0] not in REPRESENTATION
        )

    @property
    def if_none_exist(self) -> str | None:
        """The criteria of a conditional create; some clients send a whole search URL."""
        value = self.header(b"if-none-exist")
        return None if value is None else value.strip().rpartition("?")[2]

    def timestamp(self) -> str:
        return instant(microseconds(self.ctx.clock()))

    def form(self) -> str:
        """A form body as a query string. Raises UnsupportedMediaType."""
        content_type = self.header(b"content-type") or ""
        if not content_type and not self.body:
            return ""
        body_format(content_type, also=(FORM,))
        if content_type.partition(";")[0].strip().lower() != FORM:
            raise UnsupportedMediaType(f"Search parameters are posted as {FORM}")
        try:
            return self.body.decode().strip("\r\n")
        except UnicodeDecodeError:
            raise Malformed("The form is not UTF-8") from None

    @property
    def search_parameters(self) -> Parameters:
        return [p for p in self.parameters if p[0] not in REPRESENTATION]

    def content(
        self, *, also: tuple[str, ...] = (), decoders: Mapping[str, Callable[[bytes], Any]]
    ) -> tuple[str, Any]:
        """The kind of the body and the body decoded."""
        if self.bundled:
            if self.resource is None:
                raise Invalid(f"A {self.method} entry needs a resource")
            return JSON, self.resource
        kind = body_format(self.header(b"content-type") or "", also=also)
        if not self.body.strip():
            raise Malformed("The request has no body")
        return kind, decoders[kind](self.body)
