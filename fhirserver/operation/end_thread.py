"""$end-thread: a professional who has part in a thread of messages ends it.

On any message of the thread. Parameter: `reason` (string), shown to the citizen. The answer is the
first message of the thread as it is then, or the one named where the caller does not see the first.
The citizen's messages in it are refused until the professional writes in it again
(docs/messaging.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import Forbidden, Invalid, NotFound, Unprocessable
from fhirserver.messaging import ending, thread
from fhirserver.messaging.rules import check_end
from fhirserver.messaging.writer import writer_of
from fhirserver.model.dates import instant, microseconds
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.operation.call import Call


async def end_thread(ctx: Context, call: Call) -> Version:
    assert call.id is not None
    ctx.store.demand("u", "Communication")
    reason = None
    for name, value in given(call):
        if name != "reason":
            raise Invalid(f"$end-thread has no parameter {name[:80]}.")
        if not isinstance(value, str) or not value.strip():
            raise Invalid("The parameter 'reason' is a string.", code="value")
        reason = {"text": value}
    seen, message = await thread.seen(ctx, call.id)
    root = message.part_of or f"Communication/{call.id}"
    first = await thread.stored(ctx, root)
    if message.is_draft or first is None or not first[1].links_citizens:
        raise Unprocessable("This is no message of a thread.")
    writer = await writer_of(ctx)
    if writer.citizen:
        raise Forbidden("Only a professional who has part in a thread ends it.")
    if not writer.open:
        await check_end(ctx, root, message.subject, writer.signs)
    date = instant(microseconds(ctx.clock()) // 1000 * 1000)
    by = next(iter(writer.signs), "")
    version = await ending.end(ctx, root, date, by, reason)
    if version is None:
        raise NotFound(f"{root} is not known.")
    # Who was brought in later may not see the first message.
    return version if await ctx.store.current(version.type, version.id) else seen
