"""$mark-read: the caller has read a message.

On a message. Parameters: `thread` (boolean): all of its thread that waits for the caller;
`reader` (Reference): who reads, where no token says so (`--auth off`). The answer is the message,
with who read it in which mailbox and when, `received`, and status completed (docs/messaging.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.errors import Forbidden, Invalid, NotFound, Unprocessable
from fhirserver.messaging import reading
from fhirserver.messaging import thread as threads
from fhirserver.messaging.codes import CORRESPONDENTS
from fhirserver.messaging.message import kind, message_of
from fhirserver.messaging.writer import writer_of
from fhirserver.model.json import decode_stored
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.messaging.writer import Writer
    from fhirserver.model.version import Version
    from fhirserver.operation.call import Call


async def mark_read(ctx: Context, call: Call) -> Version:
    assert call.id is not None
    ctx.store.demand("u", "Communication")
    whole, named = _parameters(call)
    _, message = await threads.seen(ctx, call.id)
    if not (message.is_sent and message.links_citizens):
        raise Unprocessable("This is no message that was sent.")
    writer = await writer_of(ctx)
    reader = reader_of(writer, named)
    mailboxes = (reader,) if writer.open else await reading.mailboxes_of(ctx, writer)
    concerned = set(mailboxes) | ({writer.patient} if writer.proxy else set())
    if not concerned.intersection(message.recipients):
        raise Forbidden("A message is read by whom it is for.")
    if whole:
        root = message.part_of or f"Communication/{call.id}"
        for version in await threads.messages(ctx, root):
            other = message_of(decode_stored(version.content or b"{}"), ctx.local_bases)
            if version.id != call.id and concerned.intersection(other.unread_in):
                await reading.mark_read(ctx, version.id, reader, mailboxes)
    read = await reading.mark_read(ctx, call.id, reader, mailboxes)
    if read is None:
        raise NotFound(f"Communication/{call.id} is not known.")
    return read


def reader_of(writer: Writer, named: str) -> str:
    """Who reads: the caller, or who is named where nobody is known."""
    if not writer.open:
        if named:
            raise Invalid("Who reads, the token says; leave 'reader' out.")
        return next(iter(writer.signs), "")
    if kind(named) not in CORRESPONDENTS:
        raise Invalid("The parameter 'reader' is needed: who it is that reads.", code="required")
    return named


def _parameters(call: Call) -> tuple[bool, str]:
    whole, reader = False, ""
    for name, value in given(call):
        if name == "thread":
            if value not in (True, False, "true", "false"):
                raise Invalid("thread is true or false.", code="value")
            whole = value in (True, "true")
        elif name == "reader":
            reader = reference_of(value)
        else:
            raise Invalid(f"$mark-read has no parameter {name[:80]}.")
    return whole, reader


def reference_of(value: Any) -> str:
    """The parameter `reader`."""
    text = value.get("reference") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise Invalid("The parameter 'reader' is a Reference.", code="value")
    return text
