"""Asking about tokens (RFC 7662) and withdrawing them (RFC 7009).

https://hl7.org/fhir/smart-app-launch/STU2.2/token-introspection.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749.errors import InvalidRequestError

from fhirserver.auth import bearer
from fhirserver.errors import Unauthenticated

if TYPE_CHECKING:
    from fhirserver.auth.client import Client, Clients
    from fhirserver.auth.client_authentication import Authentication
    from fhirserver.auth.configuration import Configuration
    from fhirserver.auth.form import Form
    from fhirserver.auth.recording import Recording
    from fhirserver.auth.tokens import Tokens
    from fhirserver.storage.interface import Store


class Introspection:
    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        *,
        authentication: Authentication,
        clients: Clients,
        tokens: Tokens,
        recording: Recording,
    ) -> None:
        self.configuration = configuration
        self.store = store
        self.authentication = authentication
        self.clients = clients
        self.tokens = tokens
        self.recording = recording

    async def introspect(self, form: Form, authorization: str, address: str) -> dict[str, Any]:
        """What a token is good for (RFC 7662). The asker shows a bearer token of its own, or
        authenticates as at the token endpoint; a client is told of its own tokens, an
        introspector of all. Raises OAuth2Error, Unauthenticated, TooMany."""
        if authorization[:7].lower() == "bearer ":
            client = await self._bearer(authorization)
        else:
            client = await self.authentication.client(form, authorization, address)
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
        client = await self.authentication.client(form, authorization, address)
        secret = form.get("token")
        if not secret:
            raise InvalidRequestError("Missing 'token'")
        found = await self.tokens.look(secret)
        if found is not None and found[1].client == client.id:
            await self.tokens.end(found[1].family)
            await self.recording.withdrawn(found[1], address)

    async def _bearer(self, authorization: str) -> Client:
        headers = {b"authorization": authorization.encode()}
        grant = await bearer.token(headers, self.store, self.configuration.fhir_url)
        client = await self.clients.get(bearer.authorization(grant).client)
        if client is None:
            raise Unauthenticated("The access token is unknown, expired or withdrawn")
        return client
