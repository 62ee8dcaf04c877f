"""The citizen's space itself: identity, opening, closing, export, statistics (docs/space.md)."""

from __future__ import annotations

from fhirserver.interaction.service import Service
from fhirserver.space.identity import IdentityBehaviour

SERVICE = Service("space", behaviours=(IdentityBehaviour(),))

__all__ = ["SERVICE"]
