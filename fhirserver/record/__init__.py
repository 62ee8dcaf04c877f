"""The shared medical record: documents and the medical profile."""

from __future__ import annotations

from fhirserver.interaction.service import Service

SERVICE = Service("record")

__all__ = ["SERVICE"]
