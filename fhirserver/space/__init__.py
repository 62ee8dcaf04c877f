"""The citizen's space itself: identity, opening, closing, export, statistics (docs/space.md)."""

from __future__ import annotations

from fhirserver.interaction.service import Job, Service
from fhirserver.space.choice import ChoiceBehaviour, settle_choices
from fhirserver.space.due import open_due
from fhirserver.space.identity import IdentityBehaviour
from fhirserver.space.opening import OpeningBehaviour
from fhirserver.space.settings import SpaceSettings


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
        ),
    )


__all__ = ["SpaceSettings", "service"]
