"""The endpoints that clients read before anything else, from any origin and without a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Request
from starlette.responses import Response

from fhirserver.auth import discovery
from fhirserver.auth.answering import PREFLIGHT, json_response
from fhirserver.auth.page import file

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import APIRouter

    from fhirserver.auth.server import AuthorizationServer


class Discovered:
    """What clients read before anything else, from any origin and without a token."""

    def __init__(self, server: Callable[[], AuthorizationServer]) -> None:
        self._server = server

    def add(self, made: APIRouter, fhir_path: str) -> None:
        for path, answer in (
            (f"{fhir_path}/.well-known/smart-configuration", self.smart),
            ("/auth/.well-known/openid-configuration", self.openid),
            ("/auth/.well-known/oauth-authorization-server", self.openid),
            ("/.well-known/oauth-authorization-server/auth", self.openid),
            ("/auth/jwks", self.jwks),
            ("/auth/style-1.json", self.style),
            ("/auth/brands", self.brands),
        ):
            made.add_api_route(path, answer, methods=["GET", "HEAD"])
            made.add_api_route(path, self.preflight, methods=["OPTIONS"])
        made.add_api_route("/auth/page.css", self.css, methods=["GET", "HEAD"])

    async def smart(self) -> Response:
        return self._open(discovery.smart_configuration(self._server().configuration))

    async def openid(self) -> Response:
        return self._open(discovery.openid_configuration(self._server().configuration))

    async def jwks(self) -> Response:
        return self._open(await self._server().keys.public())

    async def style(self) -> Response:
        return self._open(discovery.STYLE)

    async def brands(self, request: Request) -> Response:
        bundle, tag = await self._server().brands.bundle()
        said = request.headers.get("if-none-match", "")
        if said == "*" or tag in [each.strip() for each in said.split(",")]:
            headers = {"etag": tag, "access-control-allow-origin": "*"}
            return Response(status_code=304, headers=headers)
        response = self._open(bundle)
        response.headers["etag"] = tag
        response.headers["access-control-expose-headers"] = "ETag"
        return response

    async def css(self) -> Response:
        headers = {"cache-control": "public, max-age=3600", "x-content-type-options": "nosniff"}
        return Response(file("page.css"), 200, headers, "text/css; charset=utf-8")

    async def preflight(self) -> Response:
        return Response(status_code=204, headers={"access-control-allow-origin": "*", **PREFLIGHT})

    def _open(self, content: Any) -> Response:
        headers = {"access-control-allow-origin": "*", "cache-control": "public, max-age=300"}
        return json_response(content, headers={**headers, "pragma": "public"})
