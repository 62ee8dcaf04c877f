"""Registered clients: apps and systems that may ask for tokens.

They are registered by the operator (`fhirserver client add`) or the catalogue, never by whoever
asks. https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#register-app-with-ehr
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from fhirserver.access import scopes as smart
from fhirserver.access.audit.record import encode
from fhirserver.auth import configuration
from fhirserver.auth.recording import registered
from fhirserver.errors import Invalid
from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.storage.interface import Store

Kind = Literal["public", "confidential", "backend"]
Service = Literal["system", "publisher", "operator"]
Method = Literal["none", "client_secret_basic", "private_key_jwt"]

KIND = "client"
_AT_A_PORT = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\])):[1-9][0-9]{0,4}((?:[/?].*)?)")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


class Client(msgspec.Struct, frozen=True, omit_defaults=True):
    """One registration. `scopes`: all it may ever ask for. `origins`: browsers' origins whose
    pages may call the API for it. `launcher`: it may start other apps (a portal).
    `introspector`: it may ask about any client's tokens (a resource server). `role`: as what a
    backend service acts. `device`: by which the catalogue lists it; the catalogue alone writes it.
    """

    id: str
    name: str
    kind: Kind
    scopes: str
    redirect_uris: tuple[str, ...] = ()
    secret_hash: str = ""
    jwks: dict[str, Any] | None = None
    jwks_url: str = ""
    origins: tuple[str, ...] = ()
    organization: str = ""
    role: Service = "system"
    device: str = ""
    launcher: bool = False
    introspector: bool = False
    disabled: bool = False

    @property
    def method(self) -> Method:
        """How it shows who it is."""
        if self.kind == "public":
            return "none"
        return "private_key_jwt" if self.jwks or self.jwks_url else "client_secret_basic"

    @property
    def allowed(self) -> smart.Scopes:
        return smart.granted(tuple(self.scopes.split()))

    # What authlib asks of a client (authlib.oauth2.rfc6749.ClientMixin).

    def get_client_id(self) -> str:
        return self.id

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Character by character; but an app on the person's own device listens at the port it is
        given there: a loopback address registered without a port goes with any (RFC 8252, 7.3)."""
        if redirect_uri in self.redirect_uris:
            return True
        found = _AT_A_PORT.fullmatch(redirect_uri)
        return found is not None and found[1] + found[2] in self.redirect_uris

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and self.kind != "backend"

    def check_grant_type(self, grant_type: str) -> bool:
        if grant_type == "client_credentials":
            return self.kind == "backend"
        return self.kind != "backend" and grant_type in ("authorization_code", "refresh_token")


class Clients:
    """The registrations in the store. Nothing is kept in memory: disabling one acts at once."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def get(self, id: str) -> Client | None:
        """The client, unless it is disabled."""
        client = await self.find(id)
        return None if client is None or client.disabled else client

    async def find(self, id: str) -> Client | None:
        if not 0 < len(id) <= 128 or not id.isprintable():
            return None
        grant = await self._store.get_grant(KIND, id)
        return None if grant is None else msgspec.json.decode(grant.value, type=Client)

    async def list(self) -> list[Client]:
        grants = await self._store.list_grants(KIND)
        return [msgspec.json.decode(grant.value, type=Client) for grant in grants]

    async def put(self, client: Client) -> None:
        """Register or change it. Raises Invalid."""
        check(client)
        await self._recorded(client)
        await self._store.put_grant(self._grant(client))

    async def add(self, client: Client) -> None:
        """Register it. Raises Invalid, also if there is one of that id."""
        check(client)
        if await self.find(client.id) is None:
            await self._recorded(client)
        if not await self._store.add_grant(self._grant(client)):
            raise Invalid(f"There is a client {client.id} already")

    async def disable(self, id: str) -> bool:
        """Stop it: its tokens, codes and launches end now. False if there is no such client."""
        client = await self.find(id)
        if client is None:
            return False
        await self.put(msgspec.structs.replace(client, disabled=True))
        await self._store.drop_grants(client=id)
        return True

    async def origins(self) -> frozenset[str]:
        """Origins whose pages may call the API."""
        return frozenset(
            origin for client in await self.list() if not client.disabled
            for origin in client.origins
        )  # fmt: skip

    async def _recorded(self, client: Client) -> None:
        """Into the audit log, before it counts."""
        record = registered(self._clock(), client, disabled=client.disabled)
        await self._store.append_log([encode(record)])

    def _grant(self, client: Client) -> Grant:
        expires = self._clock() + configuration.FOREVER * 1_000_000
        return Grant(KIND, client.id, msgspec.json.encode(client), expires)


def hash_secret(secret: str) -> str:
    """Argon2id (RFC 9106) with the parameters OWASP gives; takes tens of milliseconds."""
    salt = os.urandom(16)
    argon = Argon2id(salt=salt, length=32, iterations=2, lanes=1, memory_cost=19 * 1024)
    return argon.derive_phc_encoded(secret.encode())


#: Verified when there is no hash to verify, so that an unknown client takes as long as a known one.
_NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$8qnleuBPGktAgsUNGHwWIA"
    "$+dpNZ0CwpsPCwniUGJvMEWvjvIkmKaXYoprg+pdY+e4"
)


def verify_secret(secret: str, secret_hash: str) -> bool:
    """Whether the hash is of that secret; as slow as hashing."""
    try:
        Argon2id.verify_phc_encoded(secret.encode(), secret_hash or _NOBODY)
    except InvalidKey:
        return False
    return bool(secret_hash)


def check(client: Client) -> None:
    """Raises Invalid when the registration would be unsafe or useless."""
    if not client.id.isascii() or not client.id.isprintable() or not 0 < len(client.id) <= 128:
        raise Invalid("A client id has 1 to 128 printable ASCII characters")
    if any(character in client.id for character in ' /:"\\'):
        raise Invalid("A client id holds no space, slash, colon, quote or backslash")
    if not client.name.strip():
        raise Invalid("A client needs a name that people recognise")
    asked = smart.parse(client.scopes)
    if asked.refused:
        raise Invalid(f"Not a SMART scope: {asked.refused[0]}")
    if not asked:
        raise Invalid("A client needs at least one scope")
    levels = {scope.level for scope in asked.resources}
    if client.kind == "backend":
        if levels != {"system"} or len(asked.items) != len(asked.resources):
            raise Invalid("A backend service has system/ scopes only")
        if client.redirect_uris:
            raise Invalid("A backend service has no redirect URI")
        if not (client.jwks or client.jwks_url):
            raise Invalid("A backend service needs its public keys (JWKS)")
        if client.role == "publisher" and not client.organization.startswith("Organization/"):
            raise Invalid("A publisher acts for an Organization")
    else:
        if "system" in levels:
            raise Invalid("system/ scopes are for backend services")
        if client.role != "system":
            raise Invalid("Publishers and operators are backend services")
        if not client.redirect_uris:
            raise Invalid("A client that people use needs a redirect URI")
    if client.kind == "public" and (client.secret_hash or client.jwks or client.jwks_url):
        raise Invalid("A public client has neither secret nor keys")
    if client.kind == "confidential" and not (
        client.secret_hash or client.method == "private_key_jwt"
    ):
        raise Invalid("A confidential client needs a secret or its public keys (JWKS)")
    for uri in client.redirect_uris:
        _check_redirect_uri(uri)
    for origin in client.origins:
        parts = urlsplit(origin)
        if origin != f"{parts.scheme}://{parts.netloc}" or parts.scheme not in ("http", "https"):
            raise Invalid(f"Not an origin: {origin}")
    if client.jwks_url and urlsplit(client.jwks_url).scheme != "https":
        raise Invalid("Keys are fetched by https only")
    if client.jwks is not None:
        from fhirserver.auth.assertion import check_keys

        check_keys(client.jwks)


def _check_redirect_uri(uri: str) -> None:
    """https; http on this machine; or a scheme of the app's own (RFC 8252)."""
    parts = urlsplit(uri)
    if not uri.isascii() or not uri.isprintable() or " " in uri or not parts.scheme:
        raise Invalid(f"Not an absolute URI: {uri}")
    if "#" in uri or "@" in parts.netloc or "*" in uri or "\\" in uri:
        raise Invalid(f"A redirect URI has no fragment, user or wildcard: {uri}")
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return
    if "." in parts.scheme:
        return
    raise Invalid(f"A redirect URI is https, loopback http or a scheme like com.example.app: {uri}")
