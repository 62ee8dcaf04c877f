"""From an app's authorization request to the person's decision and the code the app gets.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-authorization-code. A request
belongs to the browser it came from, by that browser's cookie, until the person has decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import structlog
from authlib.oauth2.rfc6749.errors import InvalidRequestError, OAuth2Error

from fhirserver.access.caller import Mode, Role
from fhirserver.access.scopes import Launch
from fhirserver.auth import asked as asking
from fhirserver.auth import narrowing
from fhirserver.auth import secret as handles
from fhirserver.auth.asked import Asked, Refused
from fhirserver.auth.authorization import Authorization, Code
from fhirserver.auth.configuration import REQUEST
from fhirserver.auth.identity.person import INS
from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from fhirserver.access.scopes import Scopes
    from fhirserver.auth.client import Client, Clients
    from fhirserver.auth.configuration import Configuration
    from fhirserver.auth.form import Form
    from fhirserver.auth.identity.person import Capacity, Directory, Person
    from fhirserver.auth.identity.provider import OpenID
    from fhirserver.auth.launches import Launches
    from fhirserver.auth.recording import Recording
    from fhirserver.auth.session import Session, Sessions
    from fhirserver.auth.tokens import Tokens
    from fhirserver.auth.visits import Visit
    from fhirserver.conformance.registry import Registry
    from fhirserver.storage.interface import Store

_log = structlog.get_logger("fhirserver.auth")
_ENCOUNTER = Launch("Encounter")


class NotYours(Exception):
    """The request is not from the browser it was made for, or is over: answer 403."""


class NoPatient(Exception):
    """No record was chosen, or there is none of that identifier."""


class NoEncounter(Exception):
    """An encounter is to be chosen out of these."""

    def __init__(self, visits: Sequence[Visit]) -> None:
        super().__init__("no encounter chosen")
        self.visits = visits


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
    and encounter chosen, the patient and the reason typed."""

    allow: bool
    kept: Sequence[int] = ()
    narrowed: Mapping[int, Sequence[str]] = field(default_factory=dict)
    capacity: int = 0
    patient: str = ""
    reason: str = ""
    encounter: str = ""


async def _no_visits(given: Authorization) -> list[Visit]:
    return []


class Decisions:
    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        now: Callable[[], int],
        *,
        clients: Clients,
        sessions: Sessions,
        tokens: Tokens,
        directory: Directory,
        launches: Launches,
        providers: Mapping[str, OpenID],
        registry: Registry,
        recording: Recording,
    ) -> None:
        self.configuration = configuration
        self.store = store
        self.now = now
        self.clients = clients
        self.sessions = sessions
        self.tokens = tokens
        self.directory = directory
        self.launches = launches
        self.providers = providers
        self.recording = recording
        self._registry = registry
        #: The encounters to choose from; `app` says which, once there is a context to ask.
        self.visits: Callable[[Authorization], Awaitable[list[Visit]]] = _no_visits

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
            take_launch=self.launches.take,
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

    async def decide(
        self, handle: str, cookie: str, csrf: str, answer: Answer, address: str = ""
    ) -> str:
        """The URL that takes the answer to the app. Raises NotYours, Refused, NoPatient,
        NoEncounter, NoReason."""
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
            await self.recording.denied(session.person, asked.client, address)
            raise _refused(asked, "access_denied", "The person has refused")
        if given.session:
            await self.sessions.note_online(cookie, session, given.family)
        code = await self.tokens.new_code(Code(given, asked.redirect_uri, asked.challenge))
        await self.recording.allowed(given, address)
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
        given = Authorization(
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
        if _ENCOUNTER in scopes and "encounter" not in extra:
            given = await self._with_encounter(given, scopes, answer)
        return given

    async def _with_encounter(
        self, given: Authorization, scopes: Scopes, answer: Answer
    ) -> Authorization:
        """With the encounter chosen; without that scope if there is none to choose from."""
        visits = await self.visits(given)
        if not visits:
            left = scopes.only(lambda item: item != _ENCOUNTER)
            return msgspec.structs.replace(given, scopes=str(left))
        if answer.encounter not in {visit.id for visit in visits}:
            raise NoEncounter(visits)
        context = {**given.context, "encounter": answer.encounter}
        return msgspec.structs.replace(given, context=context)

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


def _refused(asked: Asked, error: str, description: str) -> Refused:
    return Refused(OAuth2Error(description, error=error), asked.redirect_uri, asked.state)
