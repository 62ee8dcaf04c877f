"""The endpoints for people: authorize, sign in, consent, sign out.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html. A browser is known by one cookie; each
form carries a value that only the holder of this cookie can have been given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from fastapi import Request
from starlette.responses import RedirectResponse, Response

from fhirserver.auth import form
from fhirserver.auth import secret as handles
from fhirserver.auth.answering import NO_STORE, address_of
from fhirserver.auth.asked import Refused
from fhirserver.auth.decisions import Answer, NoEncounter, NoPatient, NoReason, NotYours
from fhirserver.auth.identity import demo
from fhirserver.auth.identity.provider import SignInFailed
from fhirserver.auth.page import Pages, language_of
from fhirserver.auth.rate import TooMany
from fhirserver.auth.state import KIND as STATE
from fhirserver.auth.state import State, new_state
from fhirserver.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import APIRouter

    from fhirserver.auth.form import Form
    from fhirserver.auth.identity.person import Person
    from fhirserver.auth.server import AuthorizationServer

_PROBLEMS: dict[type[Exception], str] = {
    NoPatient: "no_patient",
    NoReason: "no_reason",
    NoEncounter: "no_encounter",
}
_log = structlog.get_logger("fhirserver.auth")


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
            address = address_of(request, server.configuration.trusted_proxies)
            await server.begun.check(address)
            await server.begun.failed(address)
            sent = await form.body(request) if request.method == "POST" else form.query(request)
            cookie = self._cookie(request)
            fresh = cookie or handles.new()
            handle = await server.decisions.authorize(sent, fresh)
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
            await server.decisions.pending(handle, cookie)
            if not handles.same(sent.get("csrf"), handles.seal(cookie, handle)):
                raise NotYours
            if not server.configuration.demo:
                raise NotYours
            address = address_of(request, server.configuration.trusted_proxies)
            account = sent.get("person")
            await server.failures.check(address, account)
            person = await demo.sign_in(account, server.directory)
            if person is None:
                await self._failed("demo", "unknown person", handle, cookie, address)
                await server.failures.failed(address, account)
                return await self._sign_in_page(request, handle, "unknown_person")
            return await self._signed_in(handle, cookie, person, address)

        return await self._answer(request, answer)

    async def to_provider(self, request: Request, provider: str) -> Response:
        async def answer() -> Response:
            server = self._server()
            handle, cookie = form.query(request).get("request"), self._cookie(request)
            await server.decisions.pending(handle, cookie)
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
            return RedirectResponse(url, 303, dict(NO_STORE))

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
            await server.failures.check(address, provider)
            try:
                if not sent.get("code"):
                    raise SignInFailed("the provider sent no code")
                person = await found.sign_in(
                    sent.get("code"), state.nonce, state.verifier, server.directory
                )
            except SignInFailed as error:
                _log.warning("sign-in failed", provider=provider, reason=str(error))
                await self._failed(provider, str(error), state.request, cookie, address)
                await server.failures.failed(address, provider)
                return await self._sign_in_page(request, state.request, "sign_in_failed")
            return await self._signed_in(state.request, cookie, person, address)

        return await self._answer(request, answer)

    async def consent(self, request: Request) -> Response:
        async def answer() -> Response:
            server = self._server()
            handle, cookie = form.query(request).get("request"), self._cookie(request)
            question = await server.decisions.question(handle, cookie)
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
            address = address_of(request, server.configuration.trusted_proxies)
            try:
                url = await server.decisions.decide(
                    handle, cookie, sent.get("csrf"), given, address
                )
            except (NoPatient, NoReason, NoEncounter) as error:
                problem = _PROBLEMS[type(error)]
                visits = error.visits if isinstance(error, NoEncounter) else ()
                if isinstance(error, NoPatient):
                    await server.failures.failed(address, "patient")
                question = await server.decisions.question(handle, cookie)
                if question is None:
                    raise NotYours from None
                seal = handles.seal(cookie, "sign-out")
                return self._pages(request).consent(question, seal, problem, given, visits)
            return RedirectResponse(url, 303, dict(NO_STORE))

        return await self._answer(request, answer)

    async def sign_out(self, request: Request) -> Response:
        async def answer() -> Response:
            sent, cookie = await form.body(request), self._cookie(request)
            if not cookie or not handles.same(sent.get("csrf"), handles.seal(cookie, "sign-out")):
                raise NotYours
            server = self._server()
            session = await server.sessions.get(cookie)
            await server.sessions.end(cookie)
            if session is not None:
                address = address_of(request, server.configuration.trusted_proxies)
                await server.recording.signed_out(session.person, address)
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
            url = self._server().decisions.redirect(
                error.redirect_uri, **parameters, state=error.state
            )
            return RedirectResponse(url, 302, dict(NO_STORE))
        except NotYours:
            return pages.message("error_title", "error_over", 403)
        except Unavailable:
            return pages.message("error_title", "error_later", 503)
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
        asked = await server.decisions.pending(handle, cookie)
        client = await server.clients.get(asked.client)
        if client is None:
            raise NotYours
        providers = [openid.provider for openid in server.providers.values()]
        csrf = handles.seal(cookie, handle)
        return self._pages(request).sign_in(handle, csrf, client.name, providers, problem)

    async def _failed(
        self, provider: str, reason: str, handle: str, cookie: str, address: str
    ) -> None:
        server = self._server()
        asked = await server.decisions.pending(handle, cookie)
        await server.recording.sign_in_failed(provider, reason, asked.client, address)

    async def _signed_in(self, handle: str, cookie: str, person: Person, address: str) -> Response:
        server = self._server()
        asked = await server.decisions.pending(handle, cookie)
        new = await server.decisions.signed_in(handle, cookie, person)
        await server.recording.signed_in(person, asked.client, address)
        response = self._go(f"consent?request={handle}")
        self._set_cookie(response, new)
        return response

    def _go(self, place: str) -> RedirectResponse:
        return RedirectResponse(self._server().configuration.url(place), 303, dict(NO_STORE))

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
        sent.get("encounter"),
    )
