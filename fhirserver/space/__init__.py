"""The citizen's space itself: identity, opening, closing, export, statistics (docs/space.md)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fhirserver.interaction.service import Job, Service
from fhirserver.space.choice import ChoiceBehaviour, settle_choices
from fhirserver.space.due import open_due
from fhirserver.space.erasure import erase_due, order_expired
from fhirserver.space.identity import IdentityBehaviour
from fhirserver.space.opening import OpeningBehaviour
from fhirserver.space.settings import SpaceSettings
from fhirserver.space.statistics import count_job

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context


async def _erase(years: int, ctx: Context) -> None:
    await order_expired(ctx, years)
    await erase_due(ctx)


def service(settings: SpaceSettings) -> Service:
    """The service as the operator has set it."""
    return Service(
        "space",
        behaviours=(
            IdentityBehaviour(),
            OpeningBehaviour(settings.phases, settings.objection_weeks),
            ChoiceBehaviour(settings.phases),
        ),
        jobs=(
            Job("space-opening", settings.seconds, open_due),
            Job("space-choices", settings.seconds, settle_choices),
            Job("space-erasing", settings.seconds, partial(_erase, settings.kept_years)),
            Job("space-statistics", settings.seconds, count_job),
        ),
    )


__all__ = ["SpaceSettings", "service"]
