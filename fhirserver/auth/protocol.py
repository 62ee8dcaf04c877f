"""authlib's grants: the rules of OAuth 2 between what was read from the store and what is written.

authlib's hooks are synchronous and look things up one by one. Here everything a grant may ask for
is read before (`Exchange`), the grant judges it in memory, and what it issues is written after, so
nothing blocks and nothing is taken twice. docs/decisions/0005-authorization-server.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidRequestError, InvalidScopeError
from authlib.oauth2.rfc6749.grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge

from fhirserver.access import scopes as smart

if TYPE_CHECKING:
    from fhirserver.auth.authorization import Code, Refresh
    from fhirserver.auth.client import Client

#: authlib looks at the scheme of the request; that the server is reached by https is seen to at
#: start, and the configured address may well be plain http on a developer's machine.
_SECURE = "https://localhost/"
#: What an error_description may hold (RFC 6749, 5.2).
_IN_ERRORS = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")


class Exchange(OAuth2Request):  # type: ignore[misc]
    """One request with all that was read for it: the client as authenticated (at the token
    endpoint) or as named (at the authorization endpoint), and the code or refresh token held."""

    def __init__(
        self,
        parameters: dict[str, str],
        client: Client | None,
        *,
        held: Code | Refresh | None = None,
        method: str = "POST",
    ) -> None:
        super().__init__(method, _SECURE)
        self.payload = BasicOAuth2Payload(parameters)
        self.client = client
        self.auth_method = client.method if client is not None else None
        self.held = held
        self.granted = ""

    @property
    def form(self) -> dict[str, str]:
        parameters: dict[str, str] = self.payload.data
        return parameters

    @property
    def args(self) -> dict[str, str]:
        return self.form


def _repeatable(parameters: dict[str, str]) -> dict[str, str]:
    """authlib repeats these in its errors, and fails when an error may not hold their characters;
    no value that is right has any of them."""
    return parameters | {
        name: "-"
        for name in ("redirect_uri", "response_type")
        if not _IN_ERRORS.fullmatch(parameters.get(name, ""))
    }


class S256(CodeChallenge):  # type: ignore[misc]
    """PKCE for every client, by S256 alone (authlib: optional for some, plain by default)."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        parameters = grant.request.payload.data
        if not parameters.get("code_challenge") or not parameters.get("code_challenge_method"):
            raise InvalidRequestError("PKCE with code_challenge_method=S256 is needed")
        super().validate_code_challenge(grant, redirect_uri)

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        if not grant.request.form.get("code_verifier"):
            raise InvalidRequestError("Missing 'code_verifier'")
        super().validate_code_verifier(grant, result)


class _Prepared:
    """What the three grants have in common: the client is known, nothing is stored by them."""

    request: Exchange

    def authenticate_token_endpoint_client(self) -> Client | None:
        client: Client | None = self.request.client
        return client

    def authenticate_user(self, held: Code | Refresh) -> str:
        return held.authorization.fhir_user or held.authorization.subject

    def save_token(self, token: dict[str, Any]) -> None:
        self.request.granted = token["scope"]


class CodeExchange(_Prepared, AuthorizationCodeGrant):  # type: ignore[misc]
    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        held: Any = self.request.held
        if held is None or held.authorization.client != client.id:
            return None
        found: Code = held
        return found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """It is swapped for a used one, in the store."""


class RefreshExchange(_Prepared, RefreshTokenGrant):  # type: ignore[misc]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Refresh | None:
        held: Any = self.request.held
        return held  # type: ignore[no-any-return]

    def revoke_old_credential(self, refresh_token: Refresh) -> None:
        """It is swapped for a used one, in the store."""

    def _validate_token_scope(self, token: Refresh) -> None:
        """A subset by meaning, not by words: `Observation.r` is within `*.rs`."""
        asked = smart.parse(self.request.payload.scope or "")
        if asked.refused or not asked.all_within(token.authorization.granted):
            raise InvalidScopeError()


class BackendExchange(_Prepared, ClientCredentialsGrant):  # type: ignore[misc]
    def validate_requested_scope(self) -> None:
        """What is asked for is cut to what the client was registered with."""
        client: Any = self.request.client
        granted = smart.parse(self.request.payload.scope or "").within(client.allowed)
        if not granted.resources:
            raise InvalidScopeError()
        self.request.payload.data["scope"] = str(granted)


class Protocol(AuthorizationServer):  # type: ignore[misc]
    """The grants this server knows, for one request of `client`."""

    def __init__(self, client: Client | None) -> None:
        super().__init__()
        self._client = client
        self.register_grant(CodeExchange, [S256(required=True)])
        self.register_grant(RefreshExchange)
        self.register_grant(BackendExchange)

    def authorization(self, parameters: dict[str, str]) -> str:
        """Judge an authorization request; the redirect URI. Raises OAuth2Error: with its
        `redirect_uri` set if the app is to be told, without if nobody but the person can be."""
        request = Exchange(_repeatable(parameters), self._client, method="GET")
        grant = self.get_authorization_grant(request)
        redirect_uri: str = grant.validate_authorization_request()
        return redirect_uri

    def exchange(self, request: Exchange) -> str:
        """Judge a token request; the scope granted. Raises OAuth2Error."""
        grant = self.get_token_grant(request)
        grant.validate_token_request()
        grant.create_token_response()
        return request.granted

    # What authlib's base class asks for.

    def query_client(self, client_id: str) -> Client | None:
        return self._client

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        pass

    def generate_token(self, *, scope: str | None = None, **_: Any) -> dict[str, Any]:
        """The scope is decided here; the secrets are made when they are stored."""
        return {"scope": scope}
