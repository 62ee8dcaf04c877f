"""The citizen's space itself: opening, closing, identity, export, statistics."""

from __future__ import annotations

from fhirserver.interaction.service import Service

SERVICE = Service("space")

__all__ = ["SERVICE"]
