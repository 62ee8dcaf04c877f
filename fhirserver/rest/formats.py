"""Which representation a client gets, and which one it sent: JSON, XML or a page.

https://hl7.org/fhir/R4/http.html#mime-type
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fhirserver.errors import Invalid, NotAcceptable, UnsupportedMediaType

JSON, XML, HTML = "json", "xml", "html"

#: MIME types of FHIR content; the older ones are those of DSTU2 and of generic clients.
MIME_TYPES: dict[str, str] = {
    "application/fhir+json": JSON,
    "application/json": JSON,
    "text/json": JSON,
    "application/json+fhir": JSON,
    "application/fhir+xml": XML,
    "application/xml": XML,
    "text/xml": XML,
    "application/xml+fhir": XML,
    "text/html": HTML,
    "application/xhtml+xml": HTML,
}
_SHORT = {"json": JSON, "xml": XML, "html": HTML}
_DEFAULT = {JSON: "application/fhir+json", XML: "application/fhir+xml", HTML: "text/html"}
_FHIR_VERSIONS = frozenset({"4.0", "4.0.1"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})

JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Format:
    """A representation and the Content-Type it is sent with.

    `explicit`: the client named a FHIR type and not only a wildcard; only then is a Binary sent
    as a resource (https://hl7.org/fhir/R4/binary.html#rest).
    """

    kind: str
    content_type: bytes
    explicit: bool = False


@dataclass(frozen=True, slots=True)
class MediaRange:
    type: str
    parameters: tuple[tuple[str, str], ...]
    q: float


def media_range(text: str) -> MediaRange | None:
    """One media range of an Accept header or one Content-Type; None when it is none."""
    kind, *rest = text.split(";")
    kind = kind.strip().lower()
    main, slash, sub = kind.partition("/")
    if not slash or not main or not sub or " " in kind:
        return None
    parameters = []
    q = 1.0
    for item in rest:
        name, equals, value = item.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if not equals:
            continue
        if name == "q":
            try:
                q = min(max(float(value), 0.0), 1.0)
            except ValueError:
                q = 0.0
            if q != q:
                q = 0.0
            break  # what follows q are extensions of Accept, not of the type
        parameters.append((name, value))
    return MediaRange(kind, tuple(parameters), q)


def _known_version(parameters: tuple[tuple[str, str], ...]) -> bool:
    return all(value in _FHIR_VERSIONS for name, value in parameters if name == "fhirversion")


@lru_cache(maxsize=1024)
def negotiate(accept: str, format: str | None = None, default: str = JSON) -> Format:
    """The representation to send, from Accept and `_format` (which wins). Raises NotAcceptable."""
    if format is not None:
        # A "+" that was not percent-encoded arrives as a space.
        wanted = format.strip().replace(" ", "+")
        if wanted in _SHORT:
            return _format(_SHORT[wanted], _DEFAULT[_SHORT[wanted]], (), explicit=True)
        if "/" in wanted:
            accept = wanted.replace(";+", ";")
        else:
            raise _refusal(format)
    elif not accept.strip():
        return _format(default, _DEFAULT[default], ())
    ranges = [r for r in map(media_range, accept.split(",")) if r and _known_version(r.parameters)]
    best: tuple[float, int, int, int] | None = None
    chosen: tuple[str, str, tuple[tuple[str, str], ...], bool] | None = None
    for place, (mime, kind) in enumerate(MIME_TYPES.items()):
        for position, candidate in enumerate(ranges):
            specificity = _specificity(candidate.type, mime)
            if specificity < 0 or candidate.q <= 0:
                continue
            if any(_specificity(r.type, mime) > specificity for r in ranges):
                continue  # a more specific range decides on this type
            rank = (candidate.q, specificity, -position, -place)
            if best is None or rank > best:
                best = rank
                chosen = (kind, mime, candidate.parameters, specificity == 2)
    if chosen is None:
        raise _refusal(format or accept)
    kind, mime, parameters, explicit = chosen
    return _format(kind, mime, parameters, explicit)


def _specificity(pattern: str, mime: str) -> int:
    if pattern == mime:
        return 2
    if pattern == "*/*":
        return 0
    if pattern.endswith("/*") and mime.startswith(pattern[:-1]):
        return 1
    return -1


def _format(
    kind: str, mime: str, parameters: tuple[tuple[str, str], ...], explicit: bool = False
) -> Format:
    if kind == HTML:
        mime = "text/html"
    version = "".join(f"; fhirVersion={v}" for n, v in parameters if n == "fhirversion")
    return Format(kind, f"{mime}; charset=utf-8{version}".encode("ascii", "replace"), explicit)


def _refusal(asked: str) -> NotAcceptable:
    return NotAcceptable(
        f"No representation fits “{asked}”: this server gives application/fhir+json, "
        "application/fhir+xml and text/html (FHIR 4.0)"
    )


@lru_cache(maxsize=256)
def accepts_type(accept: str, mime: str) -> bool:
    """Whether an Accept header takes content of this MIME type."""
    if not accept.strip():
        return True
    best, quality = -1, 0.0
    for candidate in map(media_range, accept.split(",")):
        if candidate is None:
            continue
        specificity = _specificity(candidate.type, mime)
        if specificity > best or (specificity == best and candidate.q > quality):
            best, quality = specificity, candidate.q
    return best >= 0 and quality > 0


@lru_cache(maxsize=256)
def body_format(content_type: str, *, also: tuple[str, ...] = ()) -> str:
    """The kind of a request's body: json, xml, or one of `also` as it stands.

    Raises UnsupportedMediaType; a missing Content-Type is one too.
    """
    found = media_range(content_type)
    if found is None:
        if not content_type.strip():
            raise UnsupportedMediaType("The request has a body but no Content-Type")
        raise UnsupportedMediaType(f"“{content_type}” is not a Content-Type")
    for name, value in found.parameters:
        if name == "charset" and value.lower() not in _CHARSETS:
            raise UnsupportedMediaType(f"Content is read in UTF-8 only, not in “{value}”")
    if not _known_version(found.parameters):
        raise UnsupportedMediaType("This server reads FHIR 4.0 only")
    if found.type in also:
        return found.type
    kind = MIME_TYPES.get(found.type)
    if kind is None or kind == HTML:
        allowed = ", ".join(("application/fhir+json", "application/fhir+xml", *also))
        raise UnsupportedMediaType(f"Content-Type “{found.type}” is not read here; send {allowed}")
    return kind


def flag(name: str, value: str | None) -> bool:
    """A boolean parameter such as `_pretty`."""
    if value is None or value == "false":
        return False
    if value == "true" or value == "":
        return True
    raise Invalid(f"{name} is true or false, not “{value}”")
