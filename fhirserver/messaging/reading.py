"""That a message was read, and by whom: kept on the message for each mailbox it went to.

Who reads for an establishment reads its mailbox; a legal representative reads the citizen's. A
carer's reading is noted, but the message stays unread for the citizen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.codes import CARER
from fhirserver.access.decision.consent_shapes import codes
from fhirserver.interaction.context import Draft
from fhirserver.interaction.write import attempts, commit
from fhirserver.messaging import thread
from fhirserver.messaging.codes import READ, UNREAD
from fhirserver.messaging.message import pair
from fhirserver.messaging.sending import with_element
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.extensions import any_value, extensions, with_extensions
from fhirserver.model.json import decode_stored

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.messaging.message import Message
    from fhirserver.messaging.writer import Writer
    from fhirserver.model.version import Version


async def mailboxes_of(ctx: Context, writer: Writer) -> tuple[str, ...]:
    """Those that are read when this person reads."""
    if writer.proxy and writer.patient and not await _cares_only(ctx, writer):
        return (*writer.signs, writer.patient)
    return writer.signs


async def _cares_only(ctx: Context, writer: Writer) -> bool:
    for reference in writer.signs:
        version = await ctx.as_server.store.read(*pair(reference))
        person = decode_stored((version and version.content) or b"{}")
        if CARER in codes(person.get("relationship") or []):
            return True
    return False


async def mark_read(
    ctx: Context, id: str, reader: str, mailboxes: tuple[str, ...]
) -> Version | None:
    """Note that `reader` has read the message; None when it is none. Doing it again changes
    nothing."""

    async def attempt() -> Version | None:
        found = await thread.stored(ctx, f"Communication/{id}")
        if found is None or not found[1].is_sent:
            return None
        version, message = found
        resource = _read(ctx, message, reader, mailboxes)
        if resource is None:
            return version
        draft = Draft("PUT", "Communication", id, resource, version.version, server=True)
        (written,) = await commit(ctx, [draft])
        return written

    return await attempts(ctx, attempt)


def _read(
    ctx: Context, message: Message, reader: str, mailboxes: tuple[str, ...]
) -> Resource | None:
    now = instant(microseconds(ctx.clock()) // 1000 * 1000)
    own = [each for each in message.recipients if each in mailboxes]
    before = [*extensions(message.resource, READ)]
    noted = [
        _receipt(mailbox, reader, now)
        for mailbox in own or [""]
        if not any(_is(e, mailbox, reader) for e in before)
    ]
    if not noted:
        return None
    unread = [
        e
        for e in extensions(message.resource, UNREAD)
        if (e.get("valueReference") or {}).get("reference") not in own
    ]
    resource = with_extensions(message.resource, [READ, UNREAD], [*before, *noted, *unread])
    if own and "received" not in resource:
        resource = with_element(resource, "received", now)
    if own and message.status == "in-progress":
        resource = with_element(resource, "status", "completed")
    return resource


def _receipt(mailbox: str, reader: str, now: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if mailbox:
        parts.append({"url": "recipient", "valueReference": {"reference": mailbox}})
    parts.append({"url": "reader", "valueReference": {"reference": reader}})
    parts.append({"url": "date", "valueDateTime": now})
    return {"url": READ, "extension": parts}


def _is(extension: dict[str, Any], mailbox: str, reader: str) -> bool:
    recipient = (any_value(extension, "recipient") or {}).get("reference", "")
    return (
        recipient == mailbox and (any_value(extension, "reader") or {}).get("reference") == reader
    )
