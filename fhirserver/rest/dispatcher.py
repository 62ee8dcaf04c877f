"""The outermost ASGI application: FHIR requests go one way, everything else another.

FHIR's base URL has its own small application since a framework's routing costs more than a read
(docs/decisions). The pages application is made when first asked for, so that a server that only
answers FHIR requests never loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from fhirserver.rest.endpoint import Endpoint

_log = structlog.get_logger("fhirserver")


class Dispatcher:
    """`lifespan` opens and closes what the server holds; `pages` makes the application for
    every path that is not below `path`."""

    def __init__(
        self,
        endpoint: Endpoint,
        lifespan: Callable[[], AbstractAsyncContextManager[None]],
        pages: Callable[[], Any],
        path: str = "/fhir",
    ) -> None:
        self.endpoint = endpoint
        self.lifespan = lifespan
        self._make_pages = pages
        self._pages: Any = None
        self._path = path
        self._below = path + "/"
        self._well_known = path + "/.well-known/"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind == "http":
            path: str = scope["path"]
            below = path.startswith(self._below) and not path.startswith(self._well_known)
            if below or path == self._path:
                await self.endpoint(scope, receive, send)
                return
        elif kind == "lifespan":
            await self._live(receive, send)
            return
        if self._pages is None:
            self._pages = self._make_pages()
        await self._pages(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        started = False
        try:
            async with self.lifespan():
                started = True
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            phase = "shutdown" if started else "startup"
            _log.error(f"{phase} failed", error=str(error), exc_info=error)
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})
