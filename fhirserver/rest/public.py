"""What is served without an access token: reading the public list of the catalogue.

Only plain reads and searches of its types; anything else needs a token as before. An address has
so many of these requests a minute, counted in this process in fixed windows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fhirserver.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fhirserver.interaction.context import Context
    from fhirserver.rest.request import Request
    from fhirserver.rest.response import HeaderList

#: What is public may be kept for a minute; so long an app that is suspended may still show.
CACHED = (b"cache-control", b"public, max-age=60")
_WINDOW = 60.0
_MOST = 50_000  # addresses counted at once


class Public:
    """`types`: what may be read; `context`: makes the context of whoever shows no token."""

    def __init__(
        self,
        types: frozenset[str],
        context: Callable[[Context], Context],
        per_minute: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._types = types
        self._context = context
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._window = 0
        self._counts: dict[str, int] = {}

    def serves(self, request: Request, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the request needs no token."""
        segments = request.segments
        if b"authorization" in headers or not segments or segments[0] not in self._types:
            return False
        searches = len(segments) == 2 and segments[1] == "_search"
        if request.method in ("GET", "HEAD"):
            return len(segments) == 1 or (len(segments) == 2 and segments[1][:1] not in "_$")
        return request.method == "POST" and searches

    def admit(self, address: str, ctx: Context) -> Context:
        """The context of such a request. Raises TooManyRequests."""
        window = int(self._monotonic() // _WINDOW)
        if window != self._window:
            self._window = window
            self._counts.clear()
        count = self._counts.get(address, 0) + 1
        if count > self._per_minute or (count == 1 and len(self._counts) >= _MOST):
            raise TooManyRequests("Too many requests without an access token; wait a minute")
        self._counts[address] = count
        return self._context(ctx)


def cacheable(listed: HeaderList) -> HeaderList:
    """The headers of an answer that shows nothing but the public list."""
    return [CACHED if name == b"cache-control" else (name, value) for name, value in listed]
