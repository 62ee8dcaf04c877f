"""The health diary: appointments, vaccination, screening, reminders."""

from __future__ import annotations

from fhirserver.interaction.service import Service

SERVICE = Service("diary")

__all__ = ["SERVICE"]
