"""$thread: the whole thread a message is in, in its order, and how it stands for who asks.

On any message of the thread. Parameter: `attachments` (boolean): with the data of attachments,
which are left out otherwise (those messages carry the tag SUBSETTED). The answer is a Parameters
resource: `state` (code, see `messaging/state.py`), `root` (Reference), `reason` (why it was ended),
`unread` (how many wait for who asks), `recipient` (whom an answer to all goes to; repeats) and
`message` (each Communication).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.messaging import thread as threads
from fhirserver.messaging.message import message_of, thread_state
from fhirserver.messaging.reading import mailboxes_of
from fhirserver.messaging.state import standing
from fhirserver.messaging.writer import writer_of
from fhirserver.model.dates import interval
from fhirserver.model.json import decode_stored
from fhirserver.model.subset import SUBSETTED
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.messaging.message import Message
    from fhirserver.operation.call import Call


async def thread(ctx: Context, call: Call) -> Resource:
    assert call.id is not None
    whole = _whole(call)
    _, asked = await threads.seen(ctx, call.id)
    root = asked.part_of or f"Communication/{call.id}"
    found = await threads.messages(ctx, root)
    messages = [message_of(decode_stored(v.content or b"{}"), ctx.local_bases) for v in found]
    messages.sort(key=_time)
    above = await threads.stored(ctx, root)
    first = above[1] if above is not None else asked
    writer = await writer_of(ctx)
    stands = await standing(ctx, first, messages, writer)
    mailboxes = await mailboxes_of(ctx, writer)
    unread = sum(any(each in mailboxes for each in m.unread_in) for m in messages)
    parameters: list[dict[str, Any]] = [
        {"name": "state", "valueCode": stands.state},
        {"name": "root", "valueReference": {"reference": root}},
    ]
    state = thread_state(first.resource)
    if state.ended and state.reason:
        parameters.append({"name": "reason", "valueString": state.reason})
    parameters.append({"name": "unread", "valueUnsignedInt": unread})
    parameters += [
        {"name": "recipient", "valueReference": {"reference": each}} for each in stands.recipients
    ]
    for message in messages or [asked]:
        resource = message.resource if whole else _light(message.resource)
        parameters.append({"name": "message", "resource": resource})
    return {"resourceType": "Parameters", "parameter": parameters}


def _whole(call: Call) -> bool:
    whole = False
    for name, value in given(call):
        if name != "attachments":
            raise Invalid(f"$thread has no parameter {name[:80]}.")
        if value not in (True, False, "true", "false"):
            raise Invalid("attachments is true or false.", code="value")
        whole = value in (True, "true")
    return whole


def _time(message: Message) -> int:
    try:
        return interval(message.sent)[0]
    except ValueError:
        return 0


def _light(resource: Any) -> Any:
    """The message without the bytes of its attachments."""
    payload = resource.get("payload") or []
    if not any("data" in (p.get("contentAttachment") or {}) for p in payload):
        return resource
    light = []
    for each in payload:
        attachment = each.get("contentAttachment")
        if isinstance(attachment, dict):
            kept = {name: value for name, value in attachment.items() if name != "data"}
            each = {**each, "contentAttachment": kept}
        light.append(each)
    meta = dict(resource.get("meta") or {})
    meta["tag"] = [*meta.get("tag", []), SUBSETTED]
    return {**resource, "meta": meta, "payload": light}
