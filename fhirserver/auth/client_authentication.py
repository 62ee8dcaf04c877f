"""Who is the client at the token, introspection and revocation endpoints.

RFC 6749, 2.3. Every failure is told in the same words: whether a client exists, and what was
wrong, is nobody's business.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import structlog
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError

from fhirserver.auth import assertion
from fhirserver.auth.client import verify_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.auth.client import Client, Clients
    from fhirserver.auth.fetch import Fetcher
    from fhirserver.auth.form import Form
    from fhirserver.auth.rate import Failures
    from fhirserver.storage.interface import Store

_log = structlog.get_logger("fhirserver.auth")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request shows of its client: an id, and a secret or an assertion."""

    client: str
    method: str
    proof: str = ""


def shown(form: Form, authorization: str, holder: str = "") -> Shown:
    """`holder`: the client a refresh token was given to; a public one need not name itself again
    (SMART App Launch lists no client_id there). Raises InvalidRequestError for more than one
    method at once, InvalidClientError for none that is known."""
    basic = authorization[:6].lower() == "basic "
    if authorization and not basic:
        raise _unknown()
    signed = form.get("client_assertion") or form.get("client_assertion_type")
    if sum((basic, bool(signed), bool(form.get("client_secret")))) > 1:
        raise InvalidRequestError("More than one way of client authentication")
    named = form.get("client_id")
    if basic:
        id, secret = _decode(authorization[6:])
        if named and named != id:
            raise _unknown()
        return Shown(id, "client_secret_basic", secret)
    if signed:
        if form.get("client_assertion_type") != assertion.TYPE:
            raise _unknown()
        proof = form.get("client_assertion")
        id = assertion.client_of(proof)
        if not id or (named and named != id):
            raise _unknown()
        return Shown(id, "private_key_jwt", proof)
    if form.get("client_secret") or not (named or holder):
        raise _unknown()
    return Shown(named or holder, "none")


class Authentication:
    """Authenticates clients, and counts how often that fails. `audience`: of their assertions."""

    def __init__(
        self,
        clients: Clients,
        failures: Failures,
        *,
        audience: str,
        store: Store,
        fetcher: Fetcher,
        clock: Callable[[], int],
    ) -> None:
        self.clients = clients
        self.failures = failures
        self._audience = audience
        self._store = store
        self._fetcher = fetcher
        self._clock = clock

    async def client(self, form: Form, authorization: str, address: str) -> Client:
        """Who asks. Raises OAuth2Error, TooMany."""
        account = ""
        try:
            showing = shown(form, authorization)
            account = showing.client
            await self.failures.check(address, account)
            return await self.of(showing)
        except InvalidClientError:
            await self.failures.failed(address, account)
            raise

    async def of(self, found: Shown) -> Client:
        """Raises InvalidClientError."""
        client = await self.clients.get(found.client)
        if found.method == "client_secret_basic":
            # Also for a client that does not exist: it takes as long.
            stored = client.secret_hash if client is not None else ""
            if await asyncio.to_thread(verify_secret, found.proof, stored) and client is not None:
                return client
            raise _unknown()
        if client is None or client.method != found.method:
            raise _unknown()
        if found.method == "private_key_jwt":
            try:
                await assertion.verify(
                    found.proof,
                    client,
                    audience=self._audience,
                    store=self._store,
                    fetcher=self._fetcher,
                    clock=self._clock,
                )
            except assertion.Unproven as reason:
                _log.info("client assertion refused", client=client.id, reason=str(reason))
                raise _unknown() from None
        return client


def _unknown() -> InvalidClientError:
    return InvalidClientError("The client could not be authenticated", status_code=401)


def _decode(credentials: str) -> tuple[str, str]:
    """Id and secret, each form-encoded (RFC 6749, 2.3.1)."""
    try:
        text = b64decode(credentials.strip(), validate=True).decode()
    except ValueError:
        raise _unknown() from None
    id, colon, secret = text.partition(":")
    if not colon:
        raise _unknown()
    return unquote_plus(id), unquote_plus(secret)
