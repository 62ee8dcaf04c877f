"""Cross-origin requests from browsers (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fhirserver.rest.answer import Headers

EXPOSED = (
    b"Accept-Ranges, Content-Location, Content-Range, ETag, Last-Modified, Location, "
    b"Preference-Applied, X-Request-Id"
)
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_ASKED = (
    b"Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Exist, "
    b"If-None-Match, If-Range, Prefer, Range, X-Request-Id, X-Security-Context"
)


class CrossOrigin:
    """What is said to a browser on a page of another origin. `*` lets every origin in; it never
    goes with credentials."""

    __slots__ = ("_all", "_fixed", "_origins")

    def __init__(self, origins: Sequence[str]) -> None:
        self._all = "*" in origins
        self._fixed = frozenset(origin.rstrip("/").encode() for origin in origins)
        self._origins = self._fixed

    def allow(self, origins: Iterable[str]) -> None:
        """Let these origins in from now on, in place of those given before by this."""
        self._origins = self._fixed | {origin.rstrip("/").encode() for origin in origins}

    def headers(self, request: Mapping[bytes, bytes], *, public: bool = False) -> Headers:
        """The headers of an ordinary answer; `public`: one that every origin may read."""
        allowed = self._allowed(request, public)
        if not allowed:
            return ()
        return (*allowed, (b"access-control-expose-headers", EXPOSED))

    def preflight(self, request: Mapping[bytes, bytes], *, public: bool = False) -> Headers:
        """The headers of the answer to OPTIONS beside the ordinary ones, when it is a
        preflight."""
        allowed = self._allowed(request, public)
        if not allowed or b"access-control-request-method" not in request:
            return ()
        return (
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _ASKED),
            (b"access-control-max-age", b"7200"),
        )

    def _allowed(self, request: Mapping[bytes, bytes], public: bool) -> Headers:
        origin = request.get(b"origin")
        if origin is None:
            return ()
        if self._all or public:
            return ((b"access-control-allow-origin", b"*"),)
        if origin in self._origins:
            return ((b"access-control-allow-origin", origin), (b"vary", b"Origin"))
        return ()
