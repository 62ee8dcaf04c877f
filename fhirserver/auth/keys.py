"""The server's own signing keys, for id_tokens (RS256).

Kept in the store, so that every process has the same ones: each is made once, and a retired one is
published until what it signed has expired. Whoever can read the database can sign as this server:
guard its files and backups accordingly (docs/auth.md).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from joserfc import jwt
from joserfc.jwk import RSAKey

from fhirserver.auth.configuration import FOREVER, ID_TOKEN
from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.storage.interface import Store

KIND = "signing-key"
ALGORITHM = "RS256"
#: A retired key is published as long as what it signed may be looked at, and caches may be old.
RETIREMENT = ID_TOKEN + 24 * 3600
_FRESH = 60.0  # seconds until the store is asked again


class SigningKey(msgspec.Struct, frozen=True):
    """`made`: microseconds since 1970; the newest key signs."""

    made: int
    jwk: dict[str, Any]


class Keys:
    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._known: list[SigningKey] = []
        self._ready: dict[str, RSAKey] = {}
        self._until = 0.0

    async def public(self) -> dict[str, Any]:
        """The JWK set that others verify with: `n` and `e`, nothing private."""
        fields = ("kty", "kid", "use", "alg", "n", "e")
        keys = await self._keys()
        return {"keys": [{name: key.jwk[name] for name in fields} for key in keys]}

    async def sign(self, claims: dict[str, Any]) -> str:
        jwk = (await self._keys())[0].jwk
        header = {"alg": ALGORITHM, "kid": jwk["kid"]}
        return jwt.encode(header, claims, self._imported(jwk), algorithms=[ALGORITHM])

    def _imported(self, jwk: dict[str, Any]) -> RSAKey:
        """Checking a private key takes far longer than signing with it."""
        kid: str = jwk["kid"]
        if kid not in self._ready:
            self._ready = {kid: RSAKey.import_key(jwk)}
        return self._ready[kid]

    async def rotate(self) -> str:
        """Sign with a new key from now on; its id."""
        now = self._clock()
        for grant in await self._store.list_grants(KIND):
            retired = now + RETIREMENT * 1_000_000
            if grant.expires > retired:
                await self._store.put_grant(replace(grant, expires=retired))
        key = await asyncio.to_thread(_make, now)
        kid: str = key.jwk["kid"]
        await self._store.put_grant(self._grant(kid, key))
        self._until = 0.0
        return kid

    async def _keys(self) -> list[SigningKey]:
        if time.monotonic() >= self._until or not self._known:
            found = await self._read()
            if not found:
                # Of several processes that start at once, one makes the first key.
                key = await asyncio.to_thread(_make, self._clock())
                await self._store.add_grant(self._grant("first", key))
                found = await self._read()
            self._known = found
            self._until = time.monotonic() + _FRESH
        return self._known

    async def _read(self) -> list[SigningKey]:
        grants = await self._store.list_grants(KIND)
        keys = [msgspec.json.decode(grant.value, type=SigningKey) for grant in grants]
        return sorted(keys, key=lambda key: -key.made)

    def _grant(self, name: str, key: SigningKey) -> Grant:
        return Grant(KIND, name, msgspec.json.encode(key), self._clock() + FOREVER * 1_000_000)


def _make(now: int) -> SigningKey:
    kid = secrets.token_urlsafe(12)
    key = RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": ALGORITHM})
    return SigningKey(now, key.as_dict(private=True))
