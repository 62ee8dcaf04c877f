"""Gateway to MSSanté, the secure mail of professionals: mail becomes messages, messages go out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.messaging.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from fhirserver.interaction.service import Job


def jobs(settings: GatewaySettings) -> tuple[Job, ...]:
    """What there is to do with these settings; nothing when they are empty."""
    # Only here: the mail library takes a tenth of a second to load.
    found = []
    if settings.listen:
        from fhirserver.messaging.gateway.receiver import receiving

        found.append(receiving(settings))
    if settings.server:
        from fhirserver.messaging.gateway.outgoing import sending

        found.append(sending(settings))
    return tuple(found)


__all__ = ["GatewaySettings", "jobs"]
