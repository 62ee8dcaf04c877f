"""The catalogue's part in every write: its rules before, what follows from it after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.catalogue import consent, described, device, task
from fhirserver.catalogue.look import Look
from fhirserver.catalogue.sync import TYPES, follow_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.catalogue.registration import Registrar
    from fhirserver.interaction.context import Context, Draft
    from fhirserver.model.version import Version

_DESCRIBING = frozenset({"HealthcareService", "DeviceDefinition", "Endpoint"})


class CatalogueBehaviour:
    """Binds what belongs to the catalogue, and no other resource of these types."""

    types = TYPES | _DESCRIBING

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        look = Look(ctx, drafts)
        return [await self._ruled(look, draft) for draft in drafts]

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        for version in versions:
            if version.type in TYPES:
                await follow_up(ctx.as_server, version, self._registrar)

    async def _ruled(self, look: Look, draft: Draft) -> Draft:
        match draft.type:
            case "Device":
                return await device.ruled(look, draft, self._registrar)
            case "Task":
                return await task.ruled(look, draft, self._registrar)
            case "Consent":
                return await consent.ruled(look, draft)
            case "HealthcareService" | "DeviceDefinition" | "Endpoint":
                return await described.ruled(look, draft)
        return draft
