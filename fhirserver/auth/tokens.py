"""Issuing, exchanging, refreshing and withdrawing: everything that happens to tokens in the store.

A code and a refresh token are swapped for a used one, so of many who present it one wins. Whoever
presents a used one shows that it was stolen, or had been: the whole family ends.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidGrantError

from fhirserver.access.caller import Mode, Role
from fhirserver.auth import secret as handles
from fhirserver.auth.authorization import ACCESS, CODE, REFRESH, Authorization, Code, Refresh
from fhirserver.auth.configuration import (
    BACKEND,
    EXCEPTIONAL,
    FOREVER,
    ID_TOKEN,
    SESSION,
)
from fhirserver.auth.configuration import CODE as CODE_SECONDS
from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.auth.configuration import Configuration
    from fhirserver.auth.keys import Keys
    from fhirserver.storage.interface import Store

Held = TypeVar("Held", Code, Refresh)

#: How long a used code or refresh token is remembered, in seconds.
_REMEMBERED = {CODE: 3600, REFRESH: 7 * 24 * 3600}
_SECOND = 1_000_000
_SERVICES = frozenset({Role.SYSTEM, Role.PUBLISHER, Role.OPERATOR})


class Tokens:
    def __init__(
        self, store: Store, keys: Keys, configuration: Configuration, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._keys = keys
        self._configuration = configuration
        self._clock = clock

    # --- codes and refresh tokens -----------------------------------------------------------

    async def new_code(self, code: Code) -> str:
        return await self._put(CODE, code, code.authorization, CODE_SECONDS)

    async def hold(self, kind: str, secret: str, type: type[Held]) -> tuple[Grant, Held] | None:
        """The code or refresh token as stored, without taking it."""
        grant = await self._store.get_grant(kind, handles.key_of(secret)) if secret else None
        return None if grant is None else (grant, msgspec.json.decode(grant.value, type=type))

    async def use(self, grant: Grant, held: Code | Refresh) -> None:
        """Take it. Raises InvalidGrantError for all but one, and ends the family then."""
        if not held.used:
            used = msgspec.structs.replace(held, used=True)
            expires = self._clock() + _REMEMBERED[grant.kind] * _SECOND
            if await self._store.swap_grant(grant, _changed(grant, used, expires)):
                return
        await self._replayed(grant, type(held))
        raise InvalidGrantError()

    async def _replayed(self, grant: Grant, type: type[Code] | type[Refresh]) -> None:
        # Marked first, then dropped: whoever is just issuing tokens looks for the mark after
        # writing them, so either it or the withdrawal here meets them.
        current = await self._store.get_grant(grant.kind, grant.key)
        while current is not None:
            held: Code | Refresh = msgspec.json.decode(current.value, type=type)
            marked = msgspec.structs.replace(held, replayed=True)
            if held.replayed or await self._store.swap_grant(
                current, _changed(current, marked, current.expires)
            ):
                break
            current = await self._store.get_grant(grant.kind, grant.key)
        await self._store.drop_grants(kind=ACCESS, family=grant.family)
        await self._store.drop_grants(kind=REFRESH, family=grant.family)

    # --- issuing ----------------------------------------------------------------------------

    async def issue(
        self, given: Authorization, scope: str, *, source: Grant | None = None
    ) -> dict[str, Any]:
        """The token response for `scope`, within what was given. `source`: the code or refresh
        token taken for it."""
        access = msgspec.structs.replace(given, scopes=scope)
        seconds = self.seconds(given)
        writes = [self._put(ACCESS, access, access, seconds)]
        lasting = self._lasting(given)
        if lasting:
            writes.append(self._put(REFRESH, Refresh(given), given, lasting))
        secrets = await asyncio.gather(*writes)
        if source is not None:
            await self._still_good(source)
        response: dict[str, Any] = {
            "access_token": secrets[0],
            "token_type": "Bearer",
            "expires_in": seconds,
            "scope": scope,
            **access.response_context(),
        }
        if lasting:
            response["refresh_token"] = secrets[1]
        if access.has_id_token:
            response["id_token"] = await self.id_token(access)
        return response

    def seconds(self, given: Authorization) -> int:
        """How long an access token lives."""
        if given.role in _SERVICES:
            return BACKEND
        if given.mode != Mode.NORMAL:
            return min(EXCEPTIONAL, self._configuration.access_seconds)
        return self._configuration.access_seconds

    def _lasting(self, given: Authorization) -> int:
        """How long a refresh token lives; 0: there is none."""
        granted = given.granted.items
        if given.role in _SERVICES or given.mode != Mode.NORMAL:
            return 0
        if "offline_access" in granted:
            return FOREVER
        return SESSION if "online_access" in granted else 0

    async def _still_good(self, source: Grant) -> None:
        """What was issued is void if its source was presented again meanwhile, or withdrawn."""
        current = await self._store.get_grant(source.kind, source.key)
        kind: type[Code] | type[Refresh] = Code if source.kind == CODE else Refresh
        held = None if current is None else msgspec.json.decode(current.value, type=kind)
        if held is None or held.replayed:
            await self._store.drop_grants(family=source.family)

    async def id_token(self, given: Authorization) -> str:
        now = self._clock() // _SECOND
        claims: dict[str, Any] = {
            "iss": self._configuration.issuer,
            "sub": self.subject(given),
            "aud": given.client,
            "exp": now + ID_TOKEN,
            "iat": now,
            "auth_time": given.signed_in,
        }
        if given.nonce:
            claims["nonce"] = given.nonce
        if given.acr:
            claims["acr"] = given.acr
        if "fhirUser" in given.granted.items:
            claims["fhirUser"] = f"{self._configuration.fhir_url}/{given.fhir_user}"
        return await self._keys.sign(claims)

    def subject(self, given: Authorization) -> str:
        """The id_token's `sub`: stable for the person, telling nothing of them."""
        text = f"{self._configuration.issuer}\0{given.subject}"
        return urlsafe_b64encode(sha256(text.encode()).digest()).decode().rstrip("=")

    # --- asking and withdrawing -------------------------------------------------------------

    async def look(self, secret: str) -> tuple[Grant, Authorization] | None:
        """A valid access or refresh token, and what it was given for."""
        key = handles.key_of(secret)
        grant = await self._store.get_grant(ACCESS, key)
        if grant is not None:
            return grant, msgspec.json.decode(grant.value, type=Authorization)
        grant = await self._store.get_grant(REFRESH, key)
        if grant is None:
            return None
        refresh = msgspec.json.decode(grant.value, type=Refresh)
        return None if refresh.used else (grant, refresh.authorization)

    async def end(self, family: str) -> None:
        """Withdraw all that came of one decision."""
        await self._store.drop_grants(family=family)

    async def withdraw(self, client: str, patient: str) -> int:
        """Withdraw all that a client has been given for a patient; how much that was."""
        return await self._store.drop_grants(client=client, patient=patient)

    async def forget_if_gone(self, client_is_there: bool, given: Authorization) -> None:
        """A client disabled while it was being given a token gets nothing. Raises
        InvalidClientError."""
        if not client_is_there:
            await self._store.drop_grants(family=given.family)
            raise InvalidClientError("The client could not be authenticated", status_code=401)

    async def _put(
        self, kind: str, value: msgspec.Struct, given: Authorization, seconds: int
    ) -> str:
        secret = handles.new()
        expires = self._clock() + seconds * _SECOND
        await self._store.put_grant(grant_of(kind, secret, value, given, expires))
        return secret


def grant_of(
    kind: str, secret: str, value: msgspec.Struct, given: Authorization, expires: int
) -> Grant:
    """What is stored of a code or token; `expires`: microseconds since 1970."""
    return Grant(
        kind,
        handles.key_of(secret),
        msgspec.json.encode(value),
        expires,
        family=given.family,
        client=given.client,
        patient=given.patient,
    )


def _changed(grant: Grant, value: msgspec.Struct, expires: int) -> Grant:
    return replace(grant, value=msgspec.json.encode(value), expires=expires)
