"""The authorization server: five functions that know neither HTTP nor pages.

`authorize` takes an app's request, `decide` the person's answer, `token` exchanges codes, refresh
tokens and a backend's credentials for access tokens, `introspect` and `revoke` are about tokens.
https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import structlog
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
)

from fhirserver.access.caller import Mode, Role
from fhirserver.auth import asked as asking
from fhirserver.auth import bearer, narrowing
from fhirserver.auth import secret as handles
from fhirserver.auth.asked import Asked, Launched, Refused
from fhirserver.auth.authorization import CODE, REFRESH, Authorization, Code, Refresh
from fhirserver.auth.client import Clients
from fhirserver.auth.client_authentication import authenticate, shown
from fhirserver.auth.configuration import LAUNCH, REQUEST
from fhirserver.auth.fetch import Fetcher
from fhirserver.auth.identity.person import Directory
from fhirserver.auth.identity.provider import OpenID
from fhirserver.auth.keys import Keys
from fhirserver.auth.protocol import Exchange, Protocol
from fhirserver.auth.rate import BEGUN, Failures
from fhirserver.auth.session import Sessions
from fhirserver.auth.tokens import Tokens
from fhirserver.errors import Unauthenticated
from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from fhirserver.auth.client import Client
    from fhirserver.auth.configuration import Configuration
    from fhirserver.auth.form import Form
    from fhirserver.auth.identity.person import Capacity, Person
    from fhirserver.auth.session import Session
    from fhirserver.conformance.registry import Registry
    from fhirserver.storage.interface import Store

_log = structlog.get_logger("fhirserver.auth")

#: INS by NIR and by NIA, and their test domain: by these a professional may name a patient.
INS = tuple(f"urn:oid:1.2.250.1.213.1.4.{n}" for n in (8, 9, 10))


class NotYours(Exception):
    """The request is not from the browser it was made for, or is over: answer 403."""


class NoPatient(Exception):
    """No record was chosen, or there is none of that identifier."""


class NoReason(Exception):
    """An exceptional access needs a reason typed by the professional."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the person is asked on the consent page. `capacities`: as whom they may answer."""

    handle: str
    asked: Asked
    client: Client
    person: Person
    capacities: tuple[Capacity, ...]
    csrf: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The person's answer: places of the scopes kept, narrower ones in their stead, the capacity
    chosen, the patient and the reason typed."""

    allow: bool
    kept: Sequence[int] = ()
    narrowed: Mapping[int, Sequence[str]] = field(default_factory=dict)
    capacity: int = 0
    patient: str = ""
    reason: str = ""


def microseconds() -> int:
    return time.time_ns() // 1000


class AuthorizationServer:
    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        registry: Registry,
        clock: Callable[[], datetime],
        *,
        fetcher: Fetcher | None = None,
        now: Callable[[], int] = microseconds,
    ) -> None:
        self.configuration = configuration
        self.store = store
        self.now = now
        self.clients = Clients(store, now)
        self.keys = Keys(store, now)
        self.sessions = Sessions(store, now)
        self.tokens = Tokens(store, self.keys, configuration, now)
        self.directory = Directory(store, registry, clock)
        self.failures = Failures()
        self.begun = Failures(per_address=BEGUN)
        self.providers = {
            provider.id: OpenID(provider, configuration.url(f"callback/{provider.id}"))
            for provider in configuration.providers
        }
        self._registry = registry
        self._fetcher = fetcher or Fetcher(configuration.fetch_hosts)

    # --- the authorization endpoint ---------------------------------------------------------

    async def authorize(self, form: Form, cookie: str) -> str:
        """Keep an app's request for the browser with this cookie; its handle. Raises Refused."""
        try:
            parameters = form.single()
        except InvalidRequestError as error:
            raise Refused(error) from None
        client = await self.clients.get(parameters.get("client_id", ""))
        asked = await asking.judge(
            parameters,
            client,
            audience=self.configuration.fhir_url,
            browser=handles.key_of(cookie),
            now=self.now(),
            knows=self._knows,
            take_launch=self._take_launch,
        )
        if "none" in parameters.get("prompt", "").split():
            raise _refused(asked, "interaction_required", "The person has to be asked")
        handle = handles.new()
        await self._keep(handle, asked)
        return handle

    async def pending(self, handle: str, cookie: str) -> Asked:
        """The request of this handle. Raises NotYours unless it is this browser's."""
        grant = await self.store.get_grant(asking.KIND, handles.key_of(handle))
        asked = None if grant is None else msgspec.json.decode(grant.value, type=Asked)
        if asked is None or not cookie or asked.browser != handles.key_of(cookie):
            raise NotYours
        return asked

    async def signed_in(self, handle: str, cookie: str, person: Person) -> str:
        """The person of this browser has signed in; its new cookie. Raises NotYours."""
        asked = await self.pending(handle, cookie)
        await self.sessions.end(cookie)
        new = await self.sessions.start(person)
        await self._keep(handle, msgspec.structs.replace(asked, browser=handles.key_of(new)))
        return new

    async def question(self, handle: str, cookie: str) -> Question | None:
        """What to ask the person; None if they have to sign in first. Raises NotYours, Refused."""
        asked = await self.pending(handle, cookie)
        session = await self.sessions.get(cookie)
        if session is None or (asked.fresh and session.signed_in < asked.made):
            return None
        client = await self.clients.get(asked.client)
        if client is None:
            raise NotYours
        capacities = self._capacities(asked, session)
        csrf = handles.seal(cookie, handle)
        return Question(handle, asked, client, session.person, capacities, csrf)

    async def decide(self, handle: str, cookie: str, csrf: str, answer: Answer) -> str:
        """The URL that takes the answer to the app. Raises NotYours, Refused, NoPatient,
        NoReason."""
        question = await self.question(handle, cookie)
        if question is None or not handles.same(csrf, question.csrf):
            raise NotYours
        asked, session = question.asked, await self.sessions.get(cookie)
        if session is None:
            raise NotYours
        given = await self._given(question, answer, session, cookie) if answer.allow else None
        if await self.store.take_grant(asking.KIND, handles.key_of(handle)) is None:
            raise NotYours  # answered already
        if given is None:
            raise _refused(asked, "access_denied", "The person has refused")
        if given.session:
            await self.sessions.note_online(cookie, session, given.family)
        code = await self.tokens.new_code(Code(given, asked.redirect_uri, asked.challenge))
        _log.info("authorized", client=asked.client, role=given.role, mode=given.mode)
        return self.redirect(asked.redirect_uri, code=code, state=asked.state)

    def redirect(self, redirect_uri: str, **parameters: str) -> str:
        """The app's URL with the answer, and who answers (RFC 9207)."""
        parameters["iss"] = self.configuration.issuer
        text = "&".join(f"{name}={quote(v, safe='')}" for name, v in parameters.items() if v)
        return redirect_uri + ("&" if "?" in redirect_uri else "?") + text

    async def _given(
        self, question: Question, answer: Answer, session: Session, cookie: str
    ) -> Authorization | None:
        """What the answer gives; None if that is nothing."""
        asked = question.asked
        if not 0 <= answer.capacity < len(question.capacities):
            raise NotYours
        capacity = question.capacities[answer.capacity]
        try:
            scopes = narrowing.choose(asked.wanted, answer.kept, answer.narrowed)
        except narrowing.NotOffered:
            raise NotYours from None
        if not scopes.resources and "openid" not in scopes:
            return None
        if asked.mode == Mode.BRIS_DE_GLACE and len(answer.reason.strip()) < 5:
            raise NoReason
        patient = await self._patient(asked, capacity, answer)
        extra = dict(asked.launched.context) if asked.launched else {}
        if patient:
            extra.setdefault("need_patient_banner", True)
            extra["smart_style_url"] = self.configuration.url("style-1.json")
        return Authorization(
            client=asked.client,
            scopes=str(scopes),
            family=handles.new(),
            role=capacity.role,
            audience=self.configuration.fhir_url,
            subject=session.person.subject,
            fhir_user=capacity.fhir_user,
            patient=patient,
            profession=capacity.profession,
            organization=capacity.organization,
            device=question.client.device,
            mode=asked.mode,
            reason=answer.reason.strip()[:500] if asked.mode != Mode.NORMAL else "",
            acr=session.person.acr,
            session=handles.key_of(cookie) if "online_access" in scopes else "",
            signed_in=session.signed_in // 1_000_000,
            nonce=asked.nonce,
            context=extra,
        )

    async def _patient(self, asked: Asked, capacity: Capacity, answer: Answer) -> str:
        if asked.launched is not None and asked.launched.patient:
            return asked.launched.patient
        if not asked.needs_patient:
            return ""
        if capacity.role != Role.PROFESSIONAL:
            return capacity.patient
        found = await self.directory.patient(answer.patient, INS)
        if found is None:
            raise NoPatient
        return found

    def _capacities(self, asked: Asked, session: Session) -> tuple[Capacity, ...]:
        """In which of their capacities the person may answer. Raises Refused."""
        launched, person = asked.launched, session.person
        if launched is not None and launched.subject != person.subject:
            raise _refused(asked, "invalid_request", "The launch was for somebody else")
        capacities = person.capacities
        if launched is not None and launched.patient:
            capacities = tuple(
                c
                for c in capacities
                if c.role == Role.PROFESSIONAL or c.patient == launched.patient
            )
        if asked.mode != Mode.NORMAL:
            capacities = tuple(c for c in capacities if c.role == Role.PROFESSIONAL)
            regulates = asked.mode != Mode.CENTRE_15 or person.regulates
            if not (regulates and self._exceptional(person)):
                capacities = ()
        if not capacities:
            raise _refused(asked, "access_denied", "Nobody signed in may answer this request")
        return capacities

    def _exceptional(self, person: Person) -> bool:
        """Whether the sign-in was strong enough to break the glass."""
        provider = self.providers.get(person.subject.partition("|")[0])
        if provider is None:
            return self.configuration.demo
        return person.acr in provider.provider.acr_exceptional

    async def _keep(self, handle: str, asked: Asked) -> None:
        expires = asked.made + REQUEST * 1_000_000
        key, value = handles.key_of(handle), msgspec.json.encode(asked)
        await self.store.put_grant(Grant(asking.KIND, key, value, expires, client=asked.client))

    def _knows(self, type: str, code: str) -> bool:
        return self._registry.parameter(type, code) is not None

    # --- EHR launch -------------------------------------------------------------------------

    async def launch(
        self, portal: Authorization, client: str, patient: str, context: dict[str, Any]
    ) -> str:
        """A launch value for an app, made by a portal on behalf of the person whose token it
        shows. Single use, for that app and that person. Raises InvalidRequestError."""
        by = await self.clients.get(portal.client)
        if by is None or not by.launcher or not portal.subject:
            raise InvalidRequestError("This client may not launch apps")
        app = await self.clients.get(client)
        if app is None or app.kind == "backend":
            raise InvalidRequestError("There is no such app")
        if portal.role != Role.PROFESSIONAL and patient not in ("", portal.patient):
            raise InvalidRequestError("The launch is for another patient than the token")
        launched = Launched(client, portal.subject, patient or portal.patient, context)
        value = handles.new()
        await self.store.put_grant(
            Grant(
                asking.LAUNCH,
                handles.key_of(value),
                msgspec.json.encode(launched),
                self.now() + LAUNCH * 1_000_000,
                family=portal.family,
                client=client,
                patient=launched.patient,
            )
        )
        return value

    async def _take_launch(self, value: str) -> Launched | None:
        grant = await self.store.take_grant(asking.LAUNCH, handles.key_of(value))
        return None if grant is None else msgspec.json.decode(grant.value, type=Launched)

    # --- the token endpoint -----------------------------------------------------------------

    async def token(self, form: Form, authorization: str, address: str) -> dict[str, Any]:
        """The token response. Raises OAuth2Error, TooMany."""
        account = ""
        try:
            parameters = form.single()
            showing = shown(form, authorization, await self._holder(parameters))
            account = showing.client
            self.failures.check(address, account)
            client = await self._authenticate(showing)
            return await self._exchange(parameters, client)
        except (InvalidClientError, InvalidGrantError):
            self.failures.check(address, account)
            self.failures.failed(address, account)
            raise

    async def _holder(self, parameters: dict[str, str]) -> str:
        """The client that the refresh token was given to; "" if there is none."""
        if parameters.get("grant_type") != "refresh_token":
            return ""
        held = await self.tokens.hold(REFRESH, parameters.get("refresh_token", ""), Refresh)
        return held[1].authorization.client if held else ""

    async def _exchange(self, parameters: dict[str, str], client: Client) -> dict[str, Any]:
        grant_type = parameters.get("grant_type")
        if not grant_type:
            raise InvalidRequestError("Missing 'grant_type'")
        held: tuple[Grant, Code | Refresh] | None = None
        if grant_type == "authorization_code":
            held = await self.tokens.hold(CODE, parameters.get("code", ""), Code)
        elif grant_type == "refresh_token":
            held = await self.tokens.hold(REFRESH, parameters.get("refresh_token", ""), Refresh)
        exchange = Exchange(parameters, client, held=held[1] if held else None)
        if held is not None and held[1].used and held[1].authorization.client == client.id:
            await self.tokens.use(*held)
        scope = Protocol(client).exchange(exchange)
        if held is None:
            given = _backend(client, scope, self.configuration.fhir_url)
            response = await self.tokens.issue(given, scope)
        else:
            grant, value = held
            given = value.authorization
            if given.session and await self.sessions.by_key(given.session) is None:
                await self.tokens.end(given.family)
                raise InvalidGrantError()
            await self.tokens.use(grant, value)
            response = await self.tokens.issue(given, scope, source=grant)
        still_there = await self.clients.get(client.id) is not None
        await self.tokens.forget_if_gone(still_there, given)
        return response

    async def _authenticate(self, showing: Any) -> Client:
        return await authenticate(
            showing,
            self.clients,
            audience=self.configuration.url("token"),
            store=self.store,
            fetcher=self._fetcher,
            clock=self.now,
        )

    # --- introspection and revocation -------------------------------------------------------

    async def introspect(self, form: Form, authorization: str, address: str) -> dict[str, Any]:
        """What a token is good for (RFC 7662). The asker shows a bearer token of its own, or
        authenticates as at the token endpoint; a client is told of its own tokens, an
        introspector of all. Raises OAuth2Error, Unauthenticated, TooMany."""
        if authorization[:7].lower() == "bearer ":
            client = await self._bearer(authorization)
        else:
            client = await self._client(form, authorization, address)
        secret = form.get("token")
        if not secret:
            raise InvalidRequestError("Missing 'token'")
        found = await self.tokens.look(secret)
        if found is None or not (client.introspector or found[1].client == client.id):
            return {"active": False}
        grant, given = found
        if await self.clients.get(given.client) is None:
            return {"active": False}
        answer: dict[str, Any] = {
            "active": True,
            "scope": given.scopes,
            "client_id": given.client,
            "exp": grant.expires // 1_000_000,
            "token_type": "Bearer",
            "aud": given.audience,
            **given.response_context(),
        }
        if given.has_id_token:
            answer["iss"] = self.configuration.issuer
            answer["sub"] = self.tokens.subject(given)
        if given.fhir_user and ("fhirUser" in given.granted or client.introspector):
            # An app that may not know who signed in is not told here either.
            answer["fhirUser"] = f"{self.configuration.fhir_url}/{given.fhir_user}"
        return answer

    async def revoke(self, form: Form, authorization: str, address: str) -> None:
        """Withdraw a token with all that came of the same decision (RFC 7009); unknown ones and
        those of other clients are passed over. Raises OAuth2Error, TooMany."""
        client = await self._client(form, authorization, address)
        secret = form.get("token")
        if not secret:
            raise InvalidRequestError("Missing 'token'")
        found = await self.tokens.look(secret)
        if found is not None and found[1].client == client.id:
            await self.tokens.end(found[1].family)

    async def _bearer(self, authorization: str) -> Client:
        headers = {b"authorization": authorization.encode()}
        grant = await bearer.token(headers, self.store, self.configuration.fhir_url)
        client = await self.clients.get(bearer.authorization(grant).client)
        if client is None:
            raise Unauthenticated("The access token is unknown, expired or withdrawn")
        return client

    async def _client(self, form: Form, authorization: str, address: str) -> Client:
        account = ""
        try:
            showing = shown(form, authorization)
            account = showing.client
            self.failures.check(address, account)
            return await self._authenticate(showing)
        except InvalidClientError:
            self.failures.check(address, account)
            self.failures.failed(address, account)
            raise


def _backend(client: Client, scope: str, audience: str) -> Authorization:
    return Authorization(
        client=client.id,
        scopes=scope,
        family=handles.new(),
        role=Role(client.role),
        audience=audience,
        organization=client.organization,
    )


def _refused(asked: Asked, error: str, description: str) -> Refused:
    return Refused(OAuth2Error(description, error=error), asked.redirect_uri, asked.state)
