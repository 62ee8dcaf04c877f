"""Reports about a citizen's message from mail servers and mail programs: that it could not be
delivered (RFC 3464), of which the citizen is told, and that it was displayed (RFC 8098), which is a
reading.

A report is believed only so far: it must carry the Message-ID of a message that this server sent,
and the address it was sent to the citizen's own; a reading, the address of a recipient in From.
"""

from __future__ import annotations

import email
import email.policy
import re
from email.utils import parseaddr
from typing import TYPE_CHECKING

from fhirserver.messaging.gateway.addresses import professional_of
from fhirserver.messaging.gateway.outgoing import tell_undelivered
from fhirserver.messaging.reading import mark_read
from fhirserver.messaging.thread import stored
from fhirserver.messaging.writer import capacities

if TYPE_CHECKING:
    from email.message import Message as Mail

    from fhirserver.interaction.context import Context
    from fhirserver.messaging.gateway.settings import GatewaySettings
    from fhirserver.messaging.message import Message

_PARTS = frozenset({"message/rfc822", "text/rfc822-headers", "message/rfc822-headers"})
_ID = re.compile(rb"(?im)^message-id:\s*<([A-Za-z0-9\-.]{1,64})@([^\s>]{1,255})>")
_ORIGINAL = re.compile(rb"(?im)^original-message-id:\s*<([A-Za-z0-9\-.]{1,64})@([^\s>]{1,255})>")
_DISPLAYED = re.compile(rb"(?im)^disposition:[^;\n]*;\s*displayed")


def is_report(content: bytes) -> bool:
    """Whether a mail is a report, whatever envelope it came in: it is no message to a citizen."""
    head = email.message_from_bytes(content[:65536], policy=email.policy.compat32)
    return head.get_content_type() == "multipart/report"


def undelivered(report: Mail, domain: str) -> str | None:
    """The id of the message that a report says failed for good."""
    failed = False
    message_id: str | None = None
    for part in report.walk():
        content_type = part.get_content_type()
        if content_type == "message/delivery-status":
            failed = failed or b"action: failed" in part.as_bytes().lower()
        elif content_type in _PARTS:
            message_id = _own(_ID, part.as_bytes(), domain) or message_id
    return message_id if failed else None


def displayed(report: Mail, domain: str) -> str | None:
    """The id of the message that a report says its recipient has had before their eyes."""
    for part in report.walk():
        if part.get_content_type() == "message/disposition-notification":
            content = part.as_bytes()
            if _DISPLAYED.search(content):
                return _own(_ORIGINAL, content, domain)
    return None


async def take(ctx: Context, content: bytes, patient: str, settings: GatewaySettings) -> None:
    report = email.message_from_bytes(content, policy=email.policy.compat32)
    id = undelivered(report, settings.domain)
    if id and await _written_by(ctx, id, patient) is not None:
        await tell_undelivered(ctx, f"Communication/{id}")
    id = displayed(report, settings.domain)
    message = await _written_by(ctx, id, patient) if id else None
    reader = await professional_of(ctx, parseaddr(str(report["From"] or ""))[1])
    if id and message is not None and reader is not None:
        same = await capacities(ctx, reader)
        mailboxes = tuple(each for each in message.recipients if each in same)
        if mailboxes:
            await mark_read(ctx, id, reader, mailboxes)


async def _written_by(ctx: Context, id: str, patient: str) -> Message | None:
    """The message, if it is one that the citizen wrote, or who acts for them."""
    found = await stored(ctx, f"Communication/{id}")
    if found is None or not found[1].by_citizen or found[1].subject != patient:
        return None
    return found[1]


def _own(pattern: re.Pattern[bytes], content: bytes, domain: str) -> str | None:
    """The id in a Message-ID that this server gave."""
    found = pattern.search(content)
    if found is None or found[2].decode("ascii", "replace").lower() != domain.lower():
        return None
    return found[1].decode()
