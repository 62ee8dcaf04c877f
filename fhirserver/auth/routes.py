"""The authorization server over HTTP: one function for each endpoint.

Everything is said in absolute URLs of the configuration; neither Host nor X-Forwarded-* changes
what is issued or where a browser is sent.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from fhirserver.auth import bearer, discovery, form
from fhirserver.auth import secret as handles
from fhirserver.auth.asked import Refused
from fhirserver.auth.identity import demo
from fhirserver.auth.identity.provider import SignInFailed
from fhirserver.auth.launch_context import read_launch
from fhirserver.auth.page import Pages, file, language_of
from fhirserver.auth.rate import TooMany
from fhirserver.auth.server import Answer, NoPatient, NoReason, NotYours
from fhirserver.auth.state import KIND as STATE
from fhirserver.auth.state import State, new_state
from fhirserver.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fhirserver.auth.form import Form
    from fhirserver.auth.identity.person import Person
    from fhirserver.auth.server import AuthorizationServer

_log = structlog.get_logger("fhirserver.auth")
_NO_STORE = {
    "cache-control": "no-store",
    "pragma": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "Authorization, Content-Type, Accept",
    "access-control-max-age": "7200",
}


def router(server: Callable[[], AuthorizationServer], fhir_path: str = "/fhir") -> APIRouter:
    """The endpoints. `server` gives the authorization server once the store is open."""
    made = APIRouter()
    Discovered(server).add(made, fhir_path)
    TokenEndpoints(server).add(made)
    Browsing(server).add(made)
    return made


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, {**_NO_STORE, **(headers or {})}, "application/json")


def address_of(request: Request, trusted: Sequence[str]) -> str:
    """Where a request comes from: the connection's other end, or what trusted proxies say."""
    hops = [h.strip() for h in request.headers.get("x-forwarded-for", "").split(",") if h.strip()]
    found = request.client.host if request.client else ""
    networks = [ip_network(t, strict=False) for t in trusted if t != "*"]
    while hops and ("*" in trusted or _within(found, networks)):
        found = hops.pop()
    return found[:64]


def _within(address: str, networks: Sequence[Any]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in networks)


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

    async def css(self) -> Response:
        headers = {"cache-control": "public, max-age=3600", "x-content-type-options": "nosniff"}
        return Response(file("page.css"), 200, headers, "text/css; charset=utf-8")

    async def preflight(self) -> Response:
        return Response(status_code=204, headers={"access-control-allow-origin": "*", **_PREFLIGHT})

    def _open(self, content: Any) -> Response:
        headers = {"access-control-allow-origin": "*", "cache-control": "public, max-age=300"}
        return json_response(content, headers={**headers, "pragma": "public"})


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
        return Response(status_code=204, headers={**origin, **_PREFLIGHT} if origin else {})

    async def _token(self, request: Request, address: str) -> Response:
        sent = await form.body(request)
        header = request.headers.get("authorization", "")
        return json_response(await self._server().token(sent, header, address))

    async def _introspect(self, request: Request, address: str) -> Response:
        sent = await form.body(request)
        header = request.headers.get("authorization", "")
        return json_response(await self._server().introspect(sent, header, address))

    async def _revoke(self, request: Request, address: str) -> Response:
        sent = await form.body(request)
        await self._server().revoke(sent, request.headers.get("authorization", ""), address)
        return Response(status_code=200, headers=dict(_NO_STORE))

    async def _launch(self, request: Request, address: str) -> Response:
        server = self._server()
        headers = {b"authorization": request.headers.get("authorization", "").encode()}
        grant = await bearer.token(headers, server.store, server.configuration.fhir_url)
        client, patient, context = read_launch(await form.read(request))
        value = await server.launch(bearer.authorization(grant), client, patient, context)
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
        except (TimeoutError, ConnectionError):
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


class Browsing:
    """For people: authorize, sign in, consent, sign out."""

    def __init__(self, server: Callable[[], AuthorizationServer]) -> None:
        self._server = server

    def add(self, made: APIRouter) -> None:
        made.add_api_route("/auth/authorize", self.authorize, methods=["GET", "POST"])
        made.add_api_route("/auth/sign-in", self.sign_in, methods=["GET"])
        made.add_api_route("/auth/sign-in", self.demo_sign_in, methods=["POST"])
        made.add_api_route("/auth/sign-in/{provider}", self.to_provider, methods=["GET"])
        made.add_api_route("/auth/callback/{provider}", self.callback, methods=["GET"])
        made.add_api_route("/auth/consent", self.consent, methods=["GET"])
        made.add_api_route("/auth/consent", self.decide, methods=["POST"])
        made.add_api_route("/auth/sign-out", self.sign_out, methods=["POST"])

    async def authorize(self, request: Request) -> Response:
        async def answer() -> Response:
            server = self._server()
            sent = await form.body(request) if request.method == "POST" else form.query(request)
            cookie = self._cookie(request)
            fresh = cookie or handles.new()
            handle = await server.authorize(sent, fresh)
            response = self._go(f"consent?request={handle}")
            if not cookie:
                self._set_cookie(response, fresh)
            return response

        return await self._answer(request, answer)

    async def sign_in(self, request: Request) -> Response:
        async def answer() -> Response:
            return await self._sign_in_page(request, form.query(request).get("request"))

        return await self._answer(request, answer)

    async def demo_sign_in(self, request: Request) -> Response:
        async def answer() -> Response:
            server = self._server()
            sent = await form.body(request)
            handle, cookie = sent.get("request"), self._cookie(request)
            await server.pending(handle, cookie)
            if not handles.same(sent.get("csrf"), handles.seal(cookie, handle)):
                raise NotYours
            if not server.configuration.demo:
                raise NotYours
            address = address_of(request, server.configuration.trusted_proxies)
            account = sent.get("person")
            server.failures.check(address, account)
            person = await demo.sign_in(account, server.directory)
            if person is None:
                server.failures.failed(address, account)
                return await self._sign_in_page(request, handle, "unknown_person")
            return await self._signed_in(handle, cookie, person)

        return await self._answer(request, answer)

    async def to_provider(self, request: Request, provider: str) -> Response:
        async def answer() -> Response:
            server = self._server()
            handle, cookie = form.query(request).get("request"), self._cookie(request)
            await server.pending(handle, cookie)
            found = server.providers.get(provider)
            if found is None:
                raise NotYours
            secret, grant, state = new_state(provider, handle, cookie, server.now())
            try:
                url = await found.authorization_url(secret, state.nonce, state.verifier)
            except SignInFailed as error:
                _log.warning("sign-in failed", provider=provider, reason=str(error))
                return await self._sign_in_page(request, handle, "sign_in_failed")
            await server.store.put_grant(grant)
            return RedirectResponse(url, 303, dict(_NO_STORE))

        return await self._answer(request, answer)

    async def callback(self, request: Request, provider: str) -> Response:
        async def answer() -> Response:
            server = self._server()
            sent, cookie = form.query(request), self._cookie(request)
            grant = await server.store.take_grant(STATE, handles.key_of(sent.get("state")))
            state = None if grant is None else msgspec.json.decode(grant.value, type=State)
            found = server.providers.get(provider)
            if state is None or found is None or state.provider != provider:
                raise NotYours
            if state.browser != handles.key_of(cookie):
                raise NotYours
            address = address_of(request, server.configuration.trusted_proxies)
            server.failures.check(address, provider)
            try:
                if not sent.get("code"):
                    raise SignInFailed("the provider sent no code")
                person = await found.sign_in(
                    sent.get("code"), state.nonce, state.verifier, server.directory
                )
            except SignInFailed as error:
                server.failures.failed(address, provider)
                _log.warning("sign-in failed", provider=provider, reason=str(error))
                return await self._sign_in_page(request, state.request, "sign_in_failed")
            return await self._signed_in(state.request, cookie, person)

        return await self._answer(request, answer)

    async def consent(self, request: Request) -> Response:
        async def answer() -> Response:
            server = self._server()
            handle, cookie = form.query(request).get("request"), self._cookie(request)
            question = await server.question(handle, cookie)
            if question is None:
                return self._go(f"sign-in?request={handle}")
            return self._pages(request).consent(question, handles.seal(cookie, "sign-out"))

        return await self._answer(request, answer)

    async def decide(self, request: Request) -> Response:
        async def answer() -> Response:
            server = self._server()
            sent = await form.body(request)
            handle, cookie = sent.get("request"), self._cookie(request)
            given = answer_of(sent)
            try:
                url = await server.decide(handle, cookie, sent.get("csrf"), given)
            except (NoPatient, NoReason) as error:
                problem = "no_patient" if isinstance(error, NoPatient) else "no_reason"
                if isinstance(error, NoPatient):
                    address = address_of(request, server.configuration.trusted_proxies)
                    server.failures.check(address, "patient")
                    server.failures.failed(address, "patient")
                question = await server.question(handle, cookie)
                if question is None:
                    raise NotYours from None
                seal = handles.seal(cookie, "sign-out")
                return self._pages(request).consent(question, seal, problem, given)
            return RedirectResponse(url, 303, dict(_NO_STORE))

        return await self._answer(request, answer)

    async def sign_out(self, request: Request) -> Response:
        async def answer() -> Response:
            sent, cookie = await form.body(request), self._cookie(request)
            if not cookie or not handles.same(sent.get("csrf"), handles.seal(cookie, "sign-out")):
                raise NotYours
            await self._server().sessions.end(cookie)
            response = self._pages(request).message("signed_out", "", 200)
            response.delete_cookie(self._name(), path="/", secure=self._secure(), httponly=True)
            return response

        return await self._answer(request, answer)

    # --- what they share --------------------------------------------------------------------

    async def _answer(
        self, request: Request, answer: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The app is told of what went wrong when it is known whose request it is, the person
        otherwise."""
        pages = self._pages(request)
        try:
            return await answer()
        except Refused as error:
            if not error.redirect_uri:
                # Not the description: words of whoever sent the browser here may be in it.
                return pages.message("error_title", "error_app", 400, error.error)
            parameters = {"error": error.error, "error_description": error.description}
            url = self._server().redirect(error.redirect_uri, **parameters, state=error.state)
            return RedirectResponse(url, 302, dict(_NO_STORE))
        except NotYours:
            return pages.message("error_title", "error_over", 403)
        except TooMany as error:
            response = pages.message("error_title", "error_many", 429, seconds=error.seconds)
            response.headers["retry-after"] = str(error.seconds)
            return response
        except OAuth2Error as error:
            text = error.get_error_description() or error.error
            return pages.message("error_title", "error_app", 400, text)

    async def _sign_in_page(self, request: Request, handle: str, problem: str = "") -> Response:
        server = self._server()
        cookie = self._cookie(request)
        asked = await server.pending(handle, cookie)
        client = await server.clients.get(asked.client)
        if client is None:
            raise NotYours
        providers = [openid.provider for openid in server.providers.values()]
        csrf = handles.seal(cookie, handle)
        return self._pages(request).sign_in(handle, csrf, client.name, providers, problem)

    async def _signed_in(self, handle: str, cookie: str, person: Person) -> Response:
        new = await self._server().signed_in(handle, cookie, person)
        response = self._go(f"consent?request={handle}")
        self._set_cookie(response, new)
        return response

    def _go(self, place: str) -> RedirectResponse:
        return RedirectResponse(self._server().configuration.url(place), 303, dict(_NO_STORE))

    def _pages(self, request: Request) -> Pages:
        chosen = request.query_params.get("language", "")
        accept = request.headers.get("accept-language", "")
        return Pages(self._server().configuration, language_of(accept, chosen))

    def _secure(self) -> bool:
        return self._server().configuration.secure

    def _name(self) -> str:
        return "__Host-session" if self._secure() else "session"

    def _cookie(self, request: Request) -> str:
        cookie = request.cookies.get(self._name(), "")
        return cookie if len(cookie) == 43 and cookie.isascii() else ""

    def _set_cookie(self, response: Response, value: str) -> None:
        response.set_cookie(
            self._name(), value, path="/", secure=self._secure(), httponly=True, samesite="lax"
        )


def answer_of(sent: Form) -> Answer:
    """The consent form as filled in. Raises InvalidRequestError."""
    try:
        kept = [int(place) for place in sent.all("scope")]
        capacity = int(sent.get("capacity") or "0")
        narrowed = {
            int(name.removeprefix("narrow.")): sent.all(name)
            for name in sent.names()
            if name.startswith("narrow.")
        }
    except ValueError:
        raise InvalidRequestError("The form is not one of this server") from None
    return Answer(
        sent.get("decision") == "allow",
        kept,
        narrowed,
        capacity,
        sent.get("patient"),
        sent.get("reason"),
    )
