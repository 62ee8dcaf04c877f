"""$unread: how many messages wait for who asks, in all and in each thread.

On the type Communication. Parameter: `reader` (Reference): whose messages, where no token says so
(`--auth off`). The answer is a Parameters resource: `total` (unsignedInt) and for each `thread` its
first message (`root`) and `unread`, the thread with the newest unread message first
(docs/messaging.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.messaging import thread as threads
from fhirserver.messaging.message import message_of
from fhirserver.messaging.reading import mailboxes_of
from fhirserver.messaging.writer import writer_of
from fhirserver.model.json import decode_stored
from fhirserver.operation.mark_read import reader_of, reference_of
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.operation.call import Call


async def unread(ctx: Context, call: Call) -> Resource:
    ctx.store.demand("s", "Communication")
    named = ""
    for name, value in given(call):
        if name != "reader":
            raise Invalid(f"$unread has no parameter {name[:80]}.")
        named = reference_of(value)
    writer = await writer_of(ctx)
    reader = reader_of(writer, named)
    mailboxes = (reader,) if writer.open else await mailboxes_of(ctx, writer)
    counts: dict[str, int] = {}
    for version in reversed(await threads.waiting(ctx, mailboxes)):
        message = message_of(decode_stored(version.content or b"{}"), ctx.local_bases)
        root = message.part_of or f"Communication/{version.id}"
        counts[root] = counts.get(root, 0) + 1
    parameters: list[dict[str, Any]] = [{"name": "total", "valueUnsignedInt": sum(counts.values())}]
    for root, count in counts.items():
        parts = [
            {"name": "root", "valueReference": {"reference": root}},
            {"name": "unread", "valueUnsignedInt": count},
        ]
        parameters.append({"name": "thread", "part": parts})
    return {"resourceType": "Parameters", "parameter": parameters}
