"""The catalogue of apps a citizen can authorise."""

from __future__ import annotations

from fhirserver.interaction.service import Service

SERVICE = Service("catalogue")

__all__ = ["SERVICE"]
