"""The endpoints for clients: token, introspect, revoke, launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authlib.oauth2.base import OAuth2Error
from fastapi import Request
from starlette.responses import Response

from fhirserver.auth import bearer, form
from fhirserver.auth.answering import NO_STORE, PREFLIGHT, address_of, json_response
from fhirserver.auth.launch_context import read_launch
from fhirserver.auth.rate import TooMany
from fhirserver.errors import Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import APIRouter

    from fhirserver.auth.server import AuthorizationServer


class TokenEndpoints:
    """For clients: token, introspect, revoke, launch."""

    def __init__(self, server: Callable[[], AuthorizationServer]) -> None:
        self._server = server

    def add(self, made: APIRouter) -> None:
        for name, answer in (
            ("token", self.token),
            ("introspect", self.introspect),
            ("revoke", self.revoke),
            ("launch", self.launch),
        ):
            made.add_api_route(f"/auth/{name}", answer, methods=["POST"])
            made.add_api_route(f"/auth/{name}", self.preflight, methods=["OPTIONS"])

    async def token(self, request: Request) -> Response:
        return await self._answer(request, self._token)

    async def introspect(self, request: Request) -> Response:
        return await self._answer(request, self._introspect)

    async def revoke(self, request: Request) -> Response:
        return await self._answer(request, self._revoke)

    async def launch(self, request: Request) -> Response:
        return await self._answer(request, self._launch)

    async def preflight(self, request: Request) -> Response:
        origin = await self._origin(request)
        return Response(status_code=204, headers={**origin, **PREFLIGHT} if origin else {})

    async def _token(self, request: Request, address: str) -> Response:
        sent = await form.body(request)
        header = request.headers.get("authorization", "")
        return json_response(await self._server().exchanges.token(sent, header, address))

    async def _introspect(self, request: Request, address: str) -> Response:
        sent = await form.body(request)
        header = request.headers.get("authorization", "")
        return json_response(await self._server().introspection.introspect(sent, header, address))

    async def _revoke(self, request: Request, address: str) -> Response:
        sent = await form.body(request)
        await self._server().introspection.revoke(
            sent, request.headers.get("authorization", ""), address
        )
        return Response(status_code=200, headers=dict(NO_STORE))

    async def _launch(self, request: Request, address: str) -> Response:
        server = self._server()
        headers = {b"authorization": request.headers.get("authorization", "").encode()}
        grant = await bearer.token(headers, server.store, server.configuration.fhir_url)
        client, patient, context = read_launch(await form.read(request))
        value = await server.launches.new(bearer.authorization(grant), client, patient, context)
        return json_response({"launch": value, "iss": server.configuration.fhir_url}, 201)

    async def _answer(
        self, request: Request, answer: Callable[[Request, str], Awaitable[Response]]
    ) -> Response:
        """An answer in the words of RFC 6749, 5.2, whatever goes wrong."""
        address = address_of(request, self._server().configuration.trusted_proxies)
        try:
            response = await answer(request, address)
        except TooMany as error:
            content = {"error": "slow_down", "error_description": str(error)}
            response = json_response(content, 429, {"retry-after": str(error.seconds)})
        except Unauthenticated as error:
            content = {"error": "invalid_token", "error_description": str(error)}
            challenge = {"www-authenticate": 'Bearer realm="fhir", error="invalid_token"'}
            response = json_response(content, 401, challenge)
        except OAuth2Error as error:
            extra = {n.lower(): v for n, v in error.get_headers() if n == "WWW-Authenticate"}
            response = json_response(dict(error.get_body()), error.status_code, extra)
        except (TimeoutError, ConnectionError, Unavailable):
            content = {"error": "temporarily_unavailable"}
            response = json_response(content, 503, {"retry-after": "5"})
        response.headers.update(await self._origin(request))
        return response

    async def _origin(self, request: Request) -> dict[str, str]:
        """Only pages of registered clients may call these endpoints."""
        origin = request.headers.get("origin")
        if origin is None:
            return {}
        if origin in await self._server().clients.origins():
            return {"access-control-allow-origin": origin, "vary": "Origin"}
        return {"vary": "Origin"}
