"""From the Authorization header of a FHIR request to the Caller (RFC 6750).

One hash and one indexed read for each request; what a token means is decoded once. Nothing is
remembered of whether it is valid: a withdrawal acts on the next request.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import msgspec

from fhirserver.access.caller import Caller, Mode, Role
from fhirserver.auth.authorization import ACCESS, Authorization
from fhirserver.auth.secret import key_of
from fhirserver.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.storage.interface import Grant, Store

_LONGEST = 512


async def caller(
    headers: Mapping[bytes, bytes], store: Store, audience: str, request: str = ""
) -> Caller:
    """Who calls. Raises Unauthenticated."""
    grant = await token(headers, store, audience)
    return _caller(grant.value)(token=grant.key, request=request)


async def token(headers: Mapping[bytes, bytes], store: Store, audience: str) -> Grant:
    """The access token shown, as it is stored. Raises Unauthenticated."""
    header = headers.get(b"authorization")
    if header is None:
        raise Unauthenticated("This needs an access token (Authorization: Bearer …)")
    scheme, _, value = header.partition(b" ")
    value = value.strip()
    if scheme.lower() != b"bearer" or not 0 < len(value) <= _LONGEST or not value.isascii():
        raise Unauthenticated("The Authorization header holds no bearer token")
    grant = await store.get_grant(ACCESS, key_of(value.decode()))
    if grant is None or _authorization(grant.value).audience != audience:
        raise Unauthenticated("The access token is unknown, expired or withdrawn")
    return grant


def authorization(grant: Grant) -> Authorization:
    """What the token was given for."""
    return _authorization(grant.value)


@lru_cache(maxsize=8192)
def _authorization(value: bytes) -> Authorization:
    return msgspec.json.decode(value, type=Authorization)


@lru_cache(maxsize=8192)
def _caller(value: bytes) -> partial[Caller]:
    """Makes the Caller of a request: all but `token` and `request` are in the token."""
    given = _authorization(value)
    return partial(
        Caller,
        role=Role(given.role),
        client=given.client,
        fhir_user=given.fhir_user,
        patient=given.patient or None,
        scopes=tuple(given.scopes.split()),
        profession=given.profession,
        organization=given.organization,
        app=given.device,
        mode=Mode(given.mode),
        reason=given.reason,
    )
