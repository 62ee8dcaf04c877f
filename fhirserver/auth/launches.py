"""EHR launch: values by which a portal starts an app for the person who is signed in to it.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from authlib.oauth2.rfc6749.errors import InvalidRequestError

from fhirserver.access.caller import Role
from fhirserver.auth import asked as asking
from fhirserver.auth import secret as handles
from fhirserver.auth.asked import Launched
from fhirserver.auth.configuration import LAUNCH
from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.auth.authorization import Authorization
    from fhirserver.auth.client import Clients
    from fhirserver.storage.interface import Store


class Launches:
    def __init__(self, store: Store, clients: Clients, now: Callable[[], int]) -> None:
        self.store = store
        self.clients = clients
        self.now = now

    async def new(
        self, portal: Authorization, client: str, patient: str, context: dict[str, Any]
    ) -> str:
        """A launch value for an app, made by a portal on behalf of the person whose token it
        shows. Single use, for that app and that person. Raises InvalidRequestError."""
        by = await self.clients.get(portal.client)
        if by is None or not by.launcher or not portal.subject:
            raise InvalidRequestError("This client may not launch apps")
        app = await self.clients.get(client)
        if app is None or app.kind == "backend":
            raise InvalidRequestError("There is no such app")
        if portal.role != Role.PROFESSIONAL and patient not in ("", portal.patient):
            raise InvalidRequestError("The launch is for another patient than the token")
        launched = Launched(client, portal.subject, patient or portal.patient, context)
        value = handles.new()
        await self.store.put_grant(
            Grant(
                asking.LAUNCH,
                handles.key_of(value),
                msgspec.json.encode(launched),
                self.now() + LAUNCH * 1_000_000,
                family=portal.family,
                client=client,
                patient=launched.patient,
            )
        )
        return value

    async def take(self, value: str) -> Launched | None:
        """What was fixed for this value; the first who asks is told."""
        grant = await self.store.take_grant(asking.LAUNCH, handles.key_of(value))
        return None if grant is None else msgspec.json.decode(grant.value, type=Launched)
