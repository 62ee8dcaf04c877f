"""The catalogue of apps a citizen can authorise (docs/catalogue.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.catalogue.behaviour import CatalogueBehaviour
from fhirserver.catalogue.expiry import expire
from fhirserver.catalogue.reapproval import announcing
from fhirserver.catalogue.registration import NoRegistrar, Registrar, Registration
from fhirserver.catalogue.sync import TYPES, follow_up
from fhirserver.interaction.service import Job, Service, follow

if TYPE_CHECKING:
    from fhirserver.access.notice.notifier import Notifier
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version


def service(registrar: Registrar, notifier: Notifier) -> Service:
    """`registrar`: by what listed apps become clients of the authorization server; `notifier`:
    by what citizens are told that an app is to be approved anew."""

    async def step(ctx: Context, version: Version) -> None:
        await follow_up(ctx, version, registrar)

    async def mend(ctx: Context) -> None:
        await follow(ctx, "catalogue", TYPES, step)

    async def expiry(ctx: Context) -> None:
        await expire(ctx, registrar)

    return Service(
        "catalogue",
        behaviours=(CatalogueBehaviour(registrar),),
        jobs=(
            Job("catalogue-follow", 5.0, mend),
            Job("catalogue-expiry", 600.0, expiry),
            announcing(notifier),
        ),
    )


__all__ = ["NoRegistrar", "Registrar", "Registration", "service"]
