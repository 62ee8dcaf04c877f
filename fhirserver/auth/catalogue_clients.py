"""Listed apps as clients: what `catalogue/registration.py` asks of the authorization server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.auth.client import Client, Clients, check
from fhirserver.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.catalogue import Registration
    from fhirserver.storage.interface import Store


class CatalogueClients:
    """Registers, stops and withdraws. The client id of an app is the id of its Device."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clients = Clients(store, clock)

    async def check(self, registration: Registration) -> None:
        check(_client(registration))
        found = await self._clients.find(registration.device)
        if found is not None and found.device != _reference(registration.device):
            raise Invalid(f"The client id {registration.device} is another's")

    async def register(self, registration: Registration) -> None:
        await self.check(registration)
        wanted = _client(registration)
        if await self._clients.find(registration.device) != wanted:
            await self._clients.put(wanted)

    async def stop(self, device: str) -> None:
        found = await self._clients.find(device)
        if found is not None and found.device == _reference(device) and not found.disabled:
            await self._clients.disable(device)

    async def withdraw(self, device: str, patient: str) -> None:
        found = await self._clients.find(device)
        if found is not None and found.device == _reference(device):
            await self._store.drop_grants(client=device, patient=patient)


def _client(registration: Registration) -> Client:
    keyed = bool(registration.jwks or registration.jwks_url)
    return Client(
        registration.device,
        registration.name,
        "confidential" if keyed else "public",
        " ".join(registration.scopes),
        redirect_uris=registration.redirect_uris,
        jwks=registration.jwks,
        jwks_url=registration.jwks_url,
        origins=registration.origins,
        device=_reference(registration.device),
    )


def _reference(id: str) -> str:
    return f"Device/{id}"
