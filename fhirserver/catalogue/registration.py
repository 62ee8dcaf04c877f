"""The client registration of a listed app, and the seam by which it is made.

The catalogue is below the authorization server and knows nothing of it; `app` hands it something
that registers clients (docs/decisions/0010-catalogue-clients.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fhirserver.catalogue import names
from fhirserver.catalogue.request import Request
from fhirserver.errors import Unprocessable

if TYPE_CHECKING:
    from fhirserver.access.decision.convention import Listing

#: What an app may always ask for beside its convention.
_SESSION = ("launch", "launch/patient", "openid", "fhirUser", "offline_access", "online_access")


@dataclass(frozen=True, slots=True)
class Registration:
    """What a listed app is registered with. Its client id is the id of its Device."""

    device: str
    name: str
    scopes: tuple[str, ...]
    redirect_uris: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    jwks: dict[str, Any] | None = field(default=None, hash=False)
    jwks_url: str = ""


class Registrar(Protocol):
    """What the authorization server does for the catalogue."""

    async def check(self, registration: Registration) -> None:
        """Raises Invalid when it could not be registered."""

    async def register(self, registration: Registration) -> None:
        """Register or change it; does nothing when it is registered so."""

    async def stop(self, device: str) -> None:
        """End it: its tokens end with it."""

    async def withdraw(self, device: str, patient: str) -> None:
        """End what tokens it has for this patient."""


class NoRegistrar:
    """Where there is no authorization server."""

    async def check(self, registration: Registration) -> None:
        pass

    async def register(self, registration: Registration) -> None:
        pass

    async def stop(self, device: str) -> None:
        pass

    async def withdraw(self, device: str, patient: str) -> None:
        pass


def registration_of(device: dict[str, Any], place: Listing, request: Request) -> Registration:
    """Raises Unprocessable for keys that are no JSON."""
    keys = request.texts("jwks")
    jwks = None
    if keys:
        try:
            jwks = json.loads(keys[0])
        except ValueError:
            raise Unprocessable("The keys (input jwks) are no JSON", code="invalid") from None
        if not isinstance(jwks, dict):
            raise Unprocessable("The keys (input jwks) are no JSON Web Key Set", code="invalid")
    return Registration(
        device=str(device["id"]),
        name=names.name_of(device),
        scopes=(*_SESSION, *place.scopes),
        redirect_uris=request.texts("redirect-uri"),
        origins=request.texts("origin"),
        jwks=jwks,
        jwks_url=next(iter(request.texts("jwks-url")), ""),
    )
