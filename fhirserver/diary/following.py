"""Brings forecasts and programmes up to date where a write has not: after an interruption between
commit and refresh, after a load past the server, and when a new day turns them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.diary.immunization import current as immunization
from fhirserver.diary.screening import current as screening
from fhirserver.interaction.service import Job, follow

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

NAME = "diary-current"
_SECONDS = 10.0


async def _step(ctx: Context, version: Version) -> None:
    await immunization.step(ctx, version)
    await screening.step(ctx, version)


async def _run(ctx: Context) -> None:
    await follow(ctx, NAME, immunization.FOLLOWED | screening.FOLLOWED, _step)
    await immunization.look_at_new_days(ctx)
    await screening.look_at_new_days(ctx)


FOLLOWING = Job(NAME, _SECONDS, _run)
