"""The ASGI application of the FHIR base URL.

https://hl7.org/fhir/R4/http.html. A plain read by id takes a short way of its own, since most
requests are one: it meets the same store and interaction, but builds nothing it does not send.
Everything else goes through `routes.perform`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fhirserver.access.audit.trail import Access
from fhirserver.errors import (
    FHIRError,
    Invalid,
    Malformed,
    UrlTooLong,
)
from fhirserver.interaction.read import read
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.rest.answer import Answer
from fhirserver.rest.auditing import access_of, accesses_of
from fhirserver.rest.body import Disconnected, receive_body
from fhirserver.rest.cors import CrossOrigin
from fhirserver.rest.failure import failure
from fhirserver.rest.formats import HTML, JSON, Format, flag, negotiate
from fhirserver.rest.headers import http_date, request_id
from fhirserver.rest.public import cacheable
from fhirserver.rest.request import NO_FACTS, Facts, Request, decode_percent, parse_query
from fhirserver.rest.response import NO_STORE, NOSNIFF, compressed, respond
from fhirserver.rest.routes import allow_of, form_of, handler_of, methods_of
from fhirserver.search.index import Indexer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.rest.front import FrontPage
    from fhirserver.rest.origin import Origin
    from fhirserver.rest.public import Public
    from fhirserver.rest.response import HeaderList
    from fhirserver.rest.routes import Handler

    #: Finds out who calls: from the headers, the server's own context and the request's id to
    #: the caller's context. Raises Unauthenticated.
    Admit = Callable[[Mapping[bytes, bytes], Context, str], Awaitable[Context]]
    KnownSearch = tuple[Request, Handler, tuple[bytes, bytes]]

#: Headers that make a read more than plain.
_NOT_PLAIN = frozenset(
    {b"if-none-match", b"if-modified-since", b"origin", b"x-request-id", b"authorization"}
)
#: Headers beside those that change what a search answers, or where the client believes it is.
_SPECIAL_SEARCH = frozenset(
    {b"prefer", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix"}
)
_LONGEST_UNREAD = 2000  # characters kept of a request that could not be read
_ADDRESSES = 64  # so many addresses of this server are remembered
_SEARCHES = 1024  # so many are remembered
_PLAIN_TYPES = RESOURCE_TYPES - {"Binary"}  # a Binary may be sent as its own content
_DEFAULT_FORMAT = negotiate("")
_JSON_TYPE = (b"content-type", _DEFAULT_FORMAT.content_type)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """What one request may take of the server; the app fills it from its settings."""

    body_bytes: int = 50_000_000
    url_bytes: int = 64_000
    seconds: float = 30.0
    gzip_from: int = 0  # answers of at least so many bytes are compressed; 0: none are


class Endpoint:
    """Serves everything below `path`. `context` is set once the store is open.

    With `admit` every request but those for the CapabilityStatement, and what `public` serves to
    anybody, is admitted first and served with its caller's context; without, everybody is served
    with `context`. Where the context has an audit trail, an access is recorded before its answer
    is sent.
    """

    def __init__(
        self,
        *,
        origin: Origin,
        cross_origin: CrossOrigin,
        limits: EndpointLimits = EndpointLimits(),
        facts: Facts = NO_FACTS,
        path: str = "/fhir",
        admit: Admit | None = None,
        public: Public | None = None,
    ) -> None:
        self.context: Context | None = None
        self.admit = admit
        self._public = public
        self._origin = origin
        self._cross_origin = cross_origin
        self._limits = limits
        self._facts = facts
        self._path = path
        self._front_page: FrontPage | None = None
        self._contexts: dict[str, Context] = {}
        self._searches: dict[tuple[bytes | None, ...], KnownSearch] = {}
        self._plain: dict[bytes, tuple[bytes, bytes]] = {b"*/*": _JSON_TYPE}
        special = _NOT_PLAIN if admit is None else _NOT_PLAIN - {b"authorization"}
        self._not_plain = special | ({b"accept-encoding"} if limits.gzip_from else frozenset())
        # Unique among the processes of a server and its restarts, and cheap.
        self._run = os.urandom(5).hex().encode()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "GET":
            listed = scope["headers"]
            headers = dict(listed)
            if len(headers) == len(listed) and self._not_plain.isdisjoint(headers):
                if self.admit is not None:
                    served = await self._admitted_read(scope, headers, send)
                elif scope["query_string"]:
                    served = await self._known_search(scope, headers, send)
                else:
                    served = await self._plain_read(scope, headers, send)
                if served:
                    return
        await self._serve(scope, receive, send)

    async def _plain_read(self, scope: Any, headers: Mapping[bytes, bytes], send: Any) -> bool:
        """Serve a read by id that asks for nothing special; False when this is none."""
        parts = scope["path"].split("/")
        if len(parts) != 4 or parts[2] not in _PLAIN_TYPES or b"%" in scope["raw_path"]:
            return False
        content_type = self._plain.get(headers.get(b"accept", b"*/*"))
        if content_type is None or self.context is None:
            return False
        try:
            version = await read(self.context, parts[2], parts[3])
        except Exception:  # the long way tells the client
            return False
        await self._send_version(send, version, content_type, self._new_id())
        return True

    async def _admitted_read(self, scope: Any, headers: Mapping[bytes, bytes], send: Any) -> bool:
        """As `_plain_read`, for whoever the token names, and recorded."""
        parts = scope["path"].split("/")
        if len(parts) != 4 or parts[2] not in _PLAIN_TYPES or b"%" in scope["raw_path"]:
            return False
        content_type = self._plain.get(headers.get(b"accept", b"*/*"))
        if content_type is None or self.admit is None or scope["query_string"]:
            return False
        type_, id_ = parts[2], parts[3]
        request_id_ = self._new_id()
        named = request_id_.decode()
        try:
            base = self._context(self._origin.base_url(scope, headers))
            ctx = await self.admit(headers, base, named)
            version = await read(ctx, type_, id_)
            if ctx.audit is not None:
                said = f"GET /{type_}/{id_}"
                address = self._origin.address(scope, headers)
                await ctx.audit.accessed(
                    ctx.caller,
                    Access("read", said, named, address, (version,), 200, (type_, id_)),
                )
        except Exception:  # the long way tells the client, and records
            return False
        await self._send_version(send, version, content_type, request_id_)
        return True

    async def _send_version(
        self, send: Any, version: Version, content_type: tuple[bytes, bytes], id_: bytes
    ) -> None:
        content = version.content
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    content_type,
                    (b"content-length", b"%d" % len(content or b"")),
                    (b"etag", b'W/"%d"' % version.version),
                    (b"last-modified", http_date(version.updated // 1_000_000)),
                    NOSNIFF,
                    NO_STORE,
                    (b"x-request-id", id_),
                ],
            }
        )
        await send({"type": "http.response.body", "body": content})

    async def _known_search(self, scope: Any, headers: Mapping[bytes, bytes], send: Any) -> bool:
        """Serve a search that was met before; False when it was not."""
        known = self._searches.get(_search_key(scope, headers))
        if known is None or not _SPECIAL_SEARCH.isdisjoint(headers):
            return False
        request, handler, content_type = known
        try:
            answer = await handler(request)  # the engine bounds its own time
        except Exception:  # the long way tells the client
            return False
        content = answer.content or b""
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    content_type,
                    (b"content-length", b"%d" % len(content)),
                    NOSNIFF,
                    NO_STORE,
                    (b"x-request-id", self._new_id()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": content})
        return True

    def _remember(self, scope: Any, request: Request, format: Format, pretty: bool) -> None:
        """Keep a search that the next client may ask for again in the same words. Not one that
        depends on the time (`ap`), nor one page of many."""
        query = request.raw_query
        if (
            self.admit is not None
            or request.understood is None
            or request.method != "GET"
            or pretty
            or format.kind != JSON
            or "ap" in query
            or "_cursor" in query
            or len(query) > 2000
            or not _SPECIAL_SEARCH.isdisjoint(request.headers)
            or len(request.headers) != len(scope["headers"])
        ):
            return
        if len(self._searches) >= _SEARCHES:
            self._searches.clear()
        content_type = (b"content-type", format.content_type)
        key = _search_key(scope, request.headers)
        self._searches[key] = (request, handler_of(request), content_type)

    def _new_id(self) -> bytes:
        return b"%b-%x" % (self._run, next(self._numbers))

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        method: str = scope["method"]
        headers = _joined(scope["headers"])
        id_ = request_id(headers.get(b"x-request-id"))
        if id_ is None:
            id_ = self._new_id()
        format, pretty, request = _DEFAULT_FORMAT, False, None
        admitted, openly = self.admit is None, False
        try:
            request = self._request(scope, headers, id_.decode())
            if method == "OPTIONS":
                answer = self._options(request)
            else:
                if self._public is not None and self._public.serves(request, headers):
                    openly = True
                    request.ctx = replace(request.ctx, audit=None)
                    request.ctx = self._public.admit(request.address, request.ctx)
                elif self.admit is not None and request.segments != ("metadata",):
                    request.ctx = await self.admit(headers, request.ctx, request.request_id)
                    admitted = True
                await self._receive(request, receive)
                format = self._negotiate(request)
                pretty = flag("_pretty", request.parameter("_pretty"))
                answer = await self._perform(request, format)
                self._remember(scope, request, format, pretty)
        except Disconnected:
            return
        except Exception as error:
            answer = failure(error, method, scope["path"], id_.decode())
            format = self._format_of_failure(headers, format)
        if self.admit is not None and method != "OPTIONS":
            try:
                await self._record(scope, request, answer, admitted)
            except Exception as error:
                answer = failure(error, method, scope["path"], id_.decode())
        page = partial(self._page, request, answer.status) if request is not None else None
        try:
            listed, body = respond(answer, format, pretty=pretty, page=page)
        except Exception as error:
            answer = failure(error, method, scope["path"], id_.decode())
            listed, body = respond(answer, _DEFAULT_FORMAT)
        listed.append((b"x-request-id", id_))
        public = openly or (request is not None and request.segments == ("metadata",))
        listed += self._cross_origin.headers(headers, public=public)
        if openly and answer.status == 200:
            listed = cacheable(listed)
        if self.admit is not None:
            listed.append((b"vary", b"Authorization"))
        threshold = self._limits.gzip_from
        fits = threshold and len(body) >= threshold and answer.status != 206
        if fits and b"gzip" in headers.get(b"accept-encoding", b""):
            listed, body = compressed(listed, body)
        await send({"type": "http.response.start", "status": answer.status, "headers": listed})
        if answer.pieces is not None and method != "HEAD":
            async for piece in answer.pieces:
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    def _request(self, scope: Any, headers: Mapping[bytes, bytes], id_: str) -> Request:
        """The request as far as its URL and headers tell."""
        raw_path: bytes = scope["raw_path"]
        query: bytes = scope["query_string"]
        if len(raw_path) + len(query) > self._limits.url_bytes:
            raise UrlTooLong("The URL is longer than this server reads; post the search to _search")
        path = _text(raw_path)[len(self._path) :].removeprefix("/")
        path = path.removesuffix("/")
        segments = tuple(decode_percent(p, "path") for p in path.split("/")) if path else ()
        raw_query = _text(query)
        return Request(
            self._context(self._origin.base_url(scope, headers)),
            scope["method"],
            segments,
            parse_query(raw_query),
            headers,
            raw_query=raw_query,
            request_id=id_,
            facts=self._facts,
            address=self._origin.address(scope, headers),
        )

    async def _receive(self, request: Request, receive: Any) -> None:
        """The body; nobody's is read who was not let in."""
        if request.method in _WITH_BODY:
            request.body = await receive_body(receive, request.headers, self._limits.body_bytes)
            if request.method == "POST" and request.segments[-1:] == ("_search",):
                request.parameters += parse_query(request.form())

    async def _record(
        self, scope: Any, request: Request | None, answer: Answer, admitted: bool
    ) -> None:
        """Tell the audit trail what is about to be sent. Raises Unavailable."""
        context = request.ctx if request is not None else self.context
        if context is None or context.audit is None:
            return
        if request is None:
            said = f"{scope['method']} {scope['path']}"[:_LONGEST_UNREAD]
            access = Access("read", said, status=answer.status)
            await context.audit.refused(None, access)
        elif not admitted:
            if request.segments != ("metadata",):
                access = access_of(request, answer.status)
                await context.audit.refused(None, access)
        elif request.segments != ("metadata",):
            accesses = accesses_of(request, answer)
            if accesses:
                await context.audit.accessed(context.caller, *accesses)

    def _context(self, base_url: str) -> Context:
        found = self._contexts.get(base_url)
        if found is None:
            if self.context is None:
                raise ConnectionError("the store is not open yet")
            if len(self._contexts) >= _ADDRESSES:
                self._contexts.clear()
            found = replace(self.context, base_url=base_url)
            if base_url != self.context.base_url:
                # An absolute reference to where the client sees this server is a local one.
                found = replace(found, indexer=Indexer(found.registry, (base_url,)))
            self._contexts[base_url] = found
        return found

    def _negotiate(self, request: Request) -> Format:
        accept = request.headers.get(b"accept", b"")
        format = request.parameter("_format")
        reads = request.method in ("GET", "HEAD")
        if format is None and reads and request.segments[:1] == ("Binary",):
            # Any type may be asked of a Binary; what is not FHIR's is seen to where it is read.
            try:
                return negotiate(accept.decode("latin-1"))
            except FHIRError:
                return _DEFAULT_FORMAT
        chosen = negotiate(accept.decode("latin-1"), format)
        if format is None and chosen.kind == JSON and accept and len(self._plain) < 256:
            self._plain[accept] = (b"content-type", chosen.content_type)
        return chosen

    async def _perform(self, request: Request, format: Format) -> Answer:
        handler = handler_of(request)
        browsed = format.kind == HTML and request.method in ("GET", "HEAD")
        if browsed and not request.segments and not request.search_parameters:
            return await self._front(request)
        if request.method in ("GET", "HEAD") or request.segments[-1:] == ("_search",):
            # Nothing is half done when such a request is given up.
            async with asyncio.timeout(self._limits.seconds):
                return await handler(request)
        return await handler(request)

    def _options(self, request: Request) -> Answer:
        public = request.segments == ("metadata",)
        headers = self._cross_origin.preflight(request.headers, public=public)
        allow = ", ".join(allow_of(methods_of(request, form_of(request.segments))))
        return Answer(204, headers=(*headers, (b"allow", allow.encode())))

    def _format_of_failure(self, headers: Mapping[bytes, bytes], format: Format) -> Format:
        """Errors come in the format asked for too, as far as it can be made out."""
        if format is not _DEFAULT_FORMAT:
            return format
        try:
            return negotiate(headers.get(b"accept", b"").decode("latin-1"))
        except FHIRError:
            return _DEFAULT_FORMAT

    async def _front(self, request: Request) -> Answer:
        if self._front_page is None:
            from fhirserver.rest.front import FrontPage  # not loaded while no person looks

            self._front_page = FrontPage()
        return await self._front_page.answer(request)

    def _page(self, request: Request, status: int, content: bytes) -> tuple[bytes, HeaderList]:
        from fhirserver.rest.page import language_of, page  # not loaded while no person looks

        base_url = request.ctx.base_url
        path = "/".join((base_url, *(quote(segment, safe="$*") for segment in request.segments)))
        made = page(
            content,
            base_url=base_url,
            self_url=f"{path}?{request.raw_query}" if request.raw_query else path,
            language=language_of(request.header(b"accept-language") or ""),
            status=status,
        )
        return made.body, made.headers


def _search_key(scope: Any, headers: Mapping[bytes, bytes]) -> tuple[bytes | None, ...]:
    return scope["raw_path"], scope["query_string"], headers.get(b"host"), headers.get(b"accept")


def _text(raw: bytes) -> str:
    """A path or query; UTF-8 that was not percent-encoded is read all the same."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Malformed("The URL is not UTF-8") from None
    if "\0" in text:
        raise Invalid("The URL holds a NUL character")
    return text


def _joined(listed: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name; those that come more than once are one list (RFC 9110, 5.3)."""
    headers = dict(listed)
    if len(headers) != len(listed):
        headers = {}
        for name, value in listed:
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers
