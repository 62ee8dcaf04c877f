"""Secure messages between citizens and professionals (docs/messaging.md)."""

from __future__ import annotations

from fhirserver.interaction.service import Service
from fhirserver.messaging.behaviour import MessageBehaviour

SERVICE = Service("messaging", behaviours=(MessageBehaviour(),))

__all__ = ["SERVICE"]
