"""Secure messages between citizens and professionals (docs/messaging.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.interaction.service import Service
from fhirserver.messaging.behaviour import MessageBehaviour
from fhirserver.messaging.gateway import jobs as gateway_jobs
from fhirserver.messaging.notices import announcing
from fhirserver.messaging.settling import settling

if TYPE_CHECKING:
    from fhirserver.access.notice.notifier import Notifier
    from fhirserver.messaging.gateway.settings import GatewaySettings


def service(notifier: Notifier | None = None, gateway: GatewaySettings | None = None) -> Service:
    """`notifier`: by what the citizen is told that a message has come; None: by nothing.
    `gateway`: the way to the secure mail of professionals; None: there is none."""
    jobs = [settling()]
    if notifier is not None:
        jobs.append(announcing(notifier))
    if gateway is not None:
        jobs += gateway_jobs(gateway)
    return Service("messaging", behaviours=(MessageBehaviour(),), jobs=tuple(jobs))


__all__ = ["service"]
