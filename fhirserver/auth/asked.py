"""An app's authorization request, from its arrival to the person's decision.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-authorization-code
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError, InvalidScopeError

from fhirserver.access import scopes as smart
from fhirserver.access.caller import Mode
from fhirserver.access.scopes import Launch
from fhirserver.auth.protocol import Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhirserver.access.scopes import Item, Scopes
    from fhirserver.auth.client import Client

KIND = "asked"
LAUNCH = "launch"
#: Request parameter with which a professional's software asks for an exceptional access mode.
MODE = "access_mode"


class Launched(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a portal fixed when it started the app (EHR launch). `subject`: who did it."""

    client: str
    subject: str
    patient: str = ""
    context: dict[str, Any] = {}


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """A valid request that waits for a decision. `browser`: key of the cookie of the browser it
    came from. `made`: microseconds since 1970. `fresh`: a sign-in from before does not do."""

    client: str
    redirect_uri: str
    state: str
    scopes: str
    challenge: str
    browser: str
    made: int
    nonce: str = ""
    mode: str = Mode.NORMAL
    fresh: bool = False
    launched: Launched | None = None

    @property
    def wanted(self) -> Scopes:
        return smart.granted(tuple(self.scopes.split()))

    @property
    def needs_patient(self) -> bool:
        """Whether one patient has to be fixed for what is asked."""
        wanted = self.wanted
        contexts = Launch("Patient") in wanted or Launch("Encounter") in wanted
        return contexts or any(s.level == "patient" for s in wanted.resources)


class Refused(Exception):
    """The request is refused. `redirect_uri`: where the app is told; "" when only the person can
    be told, since it is not known whose request it is."""

    def __init__(self, error: OAuth2Error, redirect_uri: str = "", state: str = "") -> None:
        super().__init__(error.error)
        self.error: str = error.error
        self.description: str = error.get_error_description() or ""
        self.redirect_uri = redirect_uri
        self.state = state


async def judge(
    parameters: dict[str, str],
    client: Client | None,
    *,
    audience: str,
    browser: str,
    now: int,
    knows: Callable[[str, str], bool],
    take_launch: Callable[[str], Awaitable[Launched | None]],
) -> Asked:
    """The request, with its scopes cut to what the client may have. Raises Refused."""
    state = parameters.get("state", "")
    try:
        redirect_uri = Protocol(client).authorization(parameters)
    except OAuth2Error as error:
        raise Refused(error, error.redirect_uri or "", state) from None
    if client is None:
        raise AssertionError("authlib lets an unknown client pass")
    try:
        _check(parameters, audience)
        launched = await _launched(parameters, client, take_launch)
        wanted = _scopes(parameters, client, launched, knows)
    except OAuth2Error as error:
        raise Refused(error, redirect_uri, state) from None
    mode = parameters.get(MODE, Mode.NORMAL.value)
    return Asked(
        client.id,
        redirect_uri,
        state,
        str(wanted),
        parameters["code_challenge"],
        browser,
        now,
        parameters.get("nonce", "")[:512],
        mode,
        mode != Mode.NORMAL or "login" in parameters.get("prompt", "").split(),
        launched,
    )


def _check(parameters: dict[str, str], audience: str) -> None:
    if not parameters.get("state"):
        raise InvalidRequestError("Missing 'state'")
    if len(parameters["state"]) > 4096:
        raise InvalidRequestError("The state is too long")
    if parameters.get("aud", "").rstrip("/") != audience:
        raise InvalidRequestError("aud is not the FHIR base URL of this server")
    if parameters.get("response_mode", "query") != "query":
        raise InvalidRequestError("Only response_mode=query is supported")
    if parameters.get("request") or parameters.get("request_uri"):
        raise InvalidRequestError("Request objects are not supported")
    if parameters.get(MODE, "normal") not in [mode.value for mode in Mode]:
        raise InvalidRequestError("The access mode is not known")


async def _launched(
    parameters: dict[str, str],
    client: Client,
    take_launch: Callable[[str], Awaitable[Launched | None]],
) -> Launched | None:
    value = parameters.get("launch")
    if not value:
        return None
    launched = await take_launch(value)
    if launched is None or launched.client != client.id:
        raise InvalidRequestError("The launch value is unknown, used or not for this client")
    return launched


def _scopes(
    parameters: dict[str, str],
    client: Client,
    launched: Launched | None,
    knows: Callable[[str, str], bool],
) -> Scopes:
    asked = smart.parse(parameters.get("scope", ""), knows)

    def can_be_given(item: Item) -> bool:
        if not isinstance(item, Launch):
            return item != "profile"
        if not item.type:
            return launched is not None
        if item.type in ("Patient", "Encounter") and not item.role:
            return True
        # Any other context comes with the launch, or not at all.
        return launched is not None and item.type.lower() in launched.context

    wanted = asked.within(client.allowed).only(can_be_given)
    if "offline_access" in wanted:
        wanted = wanted.only(lambda item: item != "online_access")
    if not wanted.resources and "openid" not in wanted:
        raise InvalidScopeError()
    return wanted
