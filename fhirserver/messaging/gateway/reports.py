"""Reports of mail servers that a mail could not be delivered (RFC 3464): the citizen is told.

A report is believed only so far: it must carry the Message-ID of a message that this server sent,
and the address it was sent to the citizen's own.
"""

from __future__ import annotations

import email
import email.policy
import re
from typing import TYPE_CHECKING

from fhirserver.messaging.gateway.outgoing import tell_undelivered
from fhirserver.messaging.thread import stored

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.messaging.gateway.settings import GatewaySettings

_PARTS = frozenset({"message/rfc822", "text/rfc822-headers", "message/rfc822-headers"})
_ID = re.compile(rb"(?im)^message-id:\s*<([A-Za-z0-9\-.]{1,64})@([^\s>]{1,255})>")


def undelivered(content: bytes, domain: str) -> str | None:
    """The id of the message that a report says failed for good."""
    report = email.message_from_bytes(content, policy=email.policy.compat32)
    failed = False
    message_id: str | None = None
    for part in report.walk():
        content_type = part.get_content_type()
        if content_type == "message/delivery-status":
            failed = failed or b"action: failed" in part.as_bytes().lower()
        elif content_type in _PARTS:
            found = _ID.search(part.as_bytes())
            if found is not None and found[2].decode("ascii", "replace").lower() == domain.lower():
                message_id = found[1].decode()
    return message_id if failed else None


async def take(ctx: Context, content: bytes, patient: str, settings: GatewaySettings) -> None:
    id = undelivered(content, settings.domain)
    found = await stored(ctx, f"Communication/{id}") if id else None
    if found is not None and found[1].by_citizen and found[1].subject == patient:
        await tell_undelivered(ctx, f"Communication/{id}")
