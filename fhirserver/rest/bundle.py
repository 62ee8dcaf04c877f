"""Bundles of answers, made by joining stored bytes.

https://hl7.org/fhir/R4/bundle.html, https://hl7.org/fhir/R4/search.html#return,
https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec.json

from fhirserver.model.dates import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fhirserver.model.version import Version

Link = tuple[str, str]

_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")
_text = msgspec.json.encode
_MATCH = b',"search":{"mode":"match"}},'
_INCLUDE = b',"search":{"mode":"include"}},'


def url_of(path: str, parameters: Iterable[tuple[str, str]]) -> str:
    """A URL with its parameters percent-encoded; `|` `$` and `,` too, so that a link is the same
    text wherever it is read."""
    query = "&".join(
        f"{quote(name, safe=':.-_~')}={quote(value, safe='')}" for name, value in parameters
    )
    return f"{path}?{query}" if query else path


class Links:
    """The links of a page of what `url` and `applied` (the parameters that had an effect) ask
    for; `cursor` is that of this page."""

    __slots__ = ("_onward", "_page")

    def __init__(
        self, url: str, applied: Iterable[tuple[str, str]], cursor: str | None = None
    ) -> None:
        kept = [p for p in applied if p[0] != "_cursor"]
        first = url_of(url, kept)
        self._page = [("self", first)]
        if cursor:
            self._page = [("self", url_of(url, [*kept, ("_cursor", cursor)])), ("first", first)]
        self._onward = first + ("&_cursor=" if kept else "?_cursor=")

    def to(self, following: str | None) -> list[Link]:
        """With the link to the next page, if there is one."""
        if following is None:
            return self._page
        if not _UNRESERVED.fullmatch(following):
            following = quote(following, safe="")
        return [*self._page, ("next", self._onward + following)]


def searchset(
    base_url: str,
    *,
    matches: Sequence[Version],
    included: Sequence[Version],
    total: int | None,
    links: Sequence[Link],
    timestamp: str,
    outcome: bytes | None = None,
    show: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """The page of a search. `show` makes of a resource what `_summary` and `_elements` leave."""
    base = base_url.encode()
    # One flat list, joined once: copying the resources again would cost more than all the rest.
    entries: list[bytes] = []
    type, start = "", b""
    for versions, end in ((matches, _MATCH), (included, _INCLUDE)):
        for version in versions:
            if version.type != type:
                type = version.type
                start = b'{"fullUrl":"%b/%b/' % (base, type.encode())
            content = version.content or b""
            if show is not None:
                content = show(content)
            entries += (start, version.id.encode(), b'","resource":', content, end)
    if outcome is not None:
        entries += (b'{"resource":', outcome, b',"search":{"mode":"outcome"}},')
    return _bundle(b"searchset", total, links, timestamp, entries)


def history(
    base_url: str,
    *,
    versions: Sequence[Version],
    total: int | None,
    links: Sequence[Link],
    timestamp: str,
    show: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """A page of versions, with the request that made each."""
    base = base_url.encode()
    entries: list[bytes] = []
    for version in versions:
        type_, id_ = version.type.encode(), version.id.encode()
        entries.append(b'{"fullUrl":"%b/%b/%b",' % (base, type_, id_))
        if version.content is not None:
            content = version.content if show is None else show(version.content)
            entries += (b'"resource":', content, b",")
        # A create names the type alone; anything else the resource.
        url = type_ if version.method == "POST" else b"%b/%b" % (type_, id_)
        entries.append(
            b'"request":{"method":"%b","url":"%b"},"response":{"status":"%d",'
            b'"location":"%b/%b/%b/_history/%d","etag":"W/\\"%d\\"","lastModified":"%b"}},'
            % (
                version.method.encode(),
                url,
                status_of(version),
                base,
                type_,
                id_,
                version.version,
                version.version,
                instant(version.updated).encode(),
            )
        )
    return _bundle(b"history", total, links, timestamp, entries)


def status_of(version: Version) -> int:
    """The status that the request which made this version was answered with."""
    if version.deleted:
        return 204
    return 201 if version.method == "POST" or version.version == 1 else 200


def responses(kind: str, entries: Iterable[bytes], *, base_url: str, timestamp: str) -> bytes:
    """A batch-response or transaction-response."""
    links = [("self", base_url)]
    listed = [part for entry in entries for part in (entry, b",")]
    return _bundle(kind.encode(), None, links, timestamp, listed)


def response_entry(
    status: str,
    *,
    location: str | None = None,
    etag: str | None = None,
    last_modified: str | None = None,
    resource: bytes | None = None,
    full_url: str | None = None,
    outcome: bytes | None = None,
) -> bytes:
    """One entry of a batch-response or transaction-response."""
    response = [b'"status":%b' % _text(status)]
    if location:
        response.append(b'"location":%b' % _text(location))
    if etag:
        response.append(b'"etag":%b' % _text(etag))
    if last_modified:
        response.append(b'"lastModified":%b' % _text(last_modified))
    if outcome is not None:
        response.append(b'"outcome":%b' % outcome)
    parts = []
    if full_url and resource is not None:
        parts.append(b'"fullUrl":%b' % _text(full_url))
    if resource is not None:
        parts.append(b'"resource":%b' % resource)
    parts.append(b'"response":{%b}' % b",".join(response))
    return b"{%b}" % b",".join(parts)


def _bundle(
    kind: bytes,
    total: int | None,
    links: Sequence[Link],
    timestamp: str,
    entries: list[bytes],
) -> bytes:
    """`entries`: pieces of the entries, each entry ending with a comma."""
    parts = [b'{"resourceType":"Bundle","type":"%b","timestamp":"%b"' % (kind, timestamp.encode())]
    if total is not None:
        parts.append(b',"total":%d' % total)
    if links:
        made = (b'{"relation":"%b","url":%b}' % (r.encode(), _text(u)) for r, u in links)
        parts.append(b',"link":[%b]' % b",".join(made))
    if entries:
        parts.append(b',"entry":[')
        parts += entries
        parts[-1] = parts[-1][:-1] + b"]"
    parts.append(b"}")
    return b"".join(parts)
