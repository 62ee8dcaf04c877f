"""What is served beside the FHIR API: the welcome page and the two health checks.

A FastAPI application, since authorization, administration and their documentation join it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from fhirserver import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}

_WELCOME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fhirserver</title>
<style>body{font:1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto}</style>
</head>
<body>
<main>
<h1>fhirserver</h1>
<p>A FHIR R4 (4.0.1) server. Its API begins at <a href="fhir/metadata">fhir/metadata</a>;
every address of it can be opened in a browser, for instance
<a href="fhir/Patient">fhir/Patient</a>.</p>
</main>
</body>
</html>
"""


def service(ready: Callable[[], Awaitable[None]], routers: Sequence[APIRouter] = ()) -> FastAPI:
    """`ready` raises when the server cannot answer requests. `routers`: what is served besides."""
    app = FastAPI(
        title="fhirserver",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # it would send browsers to whatever the Host header says
    )

    @app.get("/", response_class=HTMLResponse)
    async def welcome() -> HTMLResponse:
        return HTMLResponse(_WELCOME, headers=_HEADERS)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """The process lives."""
        return JSONResponse({"status": "ok"}, headers=_HEADERS)

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """The store answers, so requests can be sent here."""
        try:
            await ready()
        except Exception:
            return JSONResponse({"status": "unavailable"}, status_code=503, headers=_HEADERS)
        return JSONResponse({"status": "ready"}, headers=_HEADERS)

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        """No such address, or not by this method."""
        headers = {**_HEADERS, **(error.headers or {})}
        return JSONResponse({"detail": error.detail}, error.status_code, headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"status": "error"}, status_code=500, headers=_HEADERS)

    for router in routers:
        app.include_router(router)
    return app
