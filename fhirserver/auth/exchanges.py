"""The token endpoint: codes, refresh tokens and a backend's credentials for access tokens.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-access-token. What authlib
judges by is read before, what it grants is written after
(docs/decisions/0005-authorization-server.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
)

from fhirserver.access.caller import Role
from fhirserver.auth import secret as handles
from fhirserver.auth.authorization import CODE, REFRESH, Authorization, Code, Refresh
from fhirserver.auth.client_authentication import shown
from fhirserver.auth.protocol import Exchange, Protocol

if TYPE_CHECKING:
    from fhirserver.auth.client import Client, Clients
    from fhirserver.auth.client_authentication import Authentication
    from fhirserver.auth.configuration import Configuration
    from fhirserver.auth.form import Form
    from fhirserver.auth.rate import Failures
    from fhirserver.auth.recording import Recording
    from fhirserver.auth.session import Sessions
    from fhirserver.auth.tokens import Tokens
    from fhirserver.storage.interface import Grant


class Exchanges:
    def __init__(
        self,
        configuration: Configuration,
        *,
        authentication: Authentication,
        clients: Clients,
        sessions: Sessions,
        tokens: Tokens,
        failures: Failures,
        recording: Recording,
    ) -> None:
        self.configuration = configuration
        self.authentication = authentication
        self.clients = clients
        self.sessions = sessions
        self.tokens = tokens
        self.failures = failures
        self.recording = recording

    async def token(self, form: Form, authorization: str, address: str) -> dict[str, Any]:
        """The token response. Raises OAuth2Error, TooMany."""
        account = ""
        try:
            parameters = form.single()
            showing = shown(form, authorization, await self._holder(parameters))
            account = showing.client
            await self.failures.check(address, account)
            client = await self.authentication.of(showing)
            return await self._exchange(parameters, client, address)
        except (InvalidClientError, InvalidGrantError) as error:
            await self.recording.token_refused(account, error.error, address)
            await self.failures.failed(address, account)
            raise
        except OAuth2Error as error:
            await self.recording.token_refused(account, error.error, address)
            raise

    async def _holder(self, parameters: dict[str, str]) -> str:
        """The client that the refresh token was given to; "" if there is none."""
        if parameters.get("grant_type") != "refresh_token":
            return ""
        held = await self.tokens.hold(REFRESH, parameters.get("refresh_token", ""), Refresh)
        return held[1].authorization.client if held else ""

    async def _exchange(
        self, parameters: dict[str, str], client: Client, address: str
    ) -> dict[str, Any]:
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
        issued = msgspec.structs.replace(given, scopes=str(response.get("scope", given.scopes)))
        await self.recording.token_given(issued, grant_type, address)
        return response


def _backend(client: Client, scope: str, audience: str) -> Authorization:
    return Authorization(
        client=client.id,
        scopes=scope,
        family=handles.new(),
        role=Role(client.role),
        audience=audience,
        organization=client.organization,
    )
