"""Secure messages between citizens and professionals."""

from __future__ import annotations

from fhirserver.interaction.service import Service

SERVICE = Service("messaging")

__all__ = ["SERVICE"]
