"""How a thread stands for who looks at it: may they answer, whom, and what waits unread.

* REPLY, REPLY_TO_ALL: an answer goes to one, or to several;
* REPLY_BLOCKED: the professional has ended the thread;
* NEW_MESSAGE: likewise, but in another thread they have not ended they can be written to anew;
* NO_REPLY: nobody is there to answer: a notice, or the citizen has blocked who wrote, or the space
  is closed.

Source: states of the national application's messaging, read in 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhirserver.messaging import thread
from fhirserver.messaging.codes import PROFESSIONALS
from fhirserver.messaging.message import kind, thread_state
from fhirserver.messaging.writer import capacities, has_open_space, is_blocked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context
    from fhirserver.messaging.message import Message
    from fhirserver.messaging.writer import Writer

REPLY, REPLY_TO_ALL, REPLY_BLOCKED = "REPLY", "REPLY_TO_ALL", "REPLY_BLOCKED"
NO_REPLY, NEW_MESSAGE = "NO_REPLY", "NEW_MESSAGE"


@dataclass(frozen=True, slots=True)
class Standing:
    """`recipients`: whom an answer to all goes to."""

    state: str
    recipients: tuple[str, ...] = ()


async def standing(
    ctx: Context, first: Message, messages: Sequence[Message], writer: Writer
) -> Standing:
    if not first.links_citizens or not ctx.store.reaches("c", "Communication"):
        return Standing(NO_REPLY)
    parties = dict.fromkeys(
        party for message in messages for party in (message.sender, *message.recipients) if party
    )
    if writer.citizen and not await has_open_space(ctx, writer):
        return Standing(NO_REPLY)
    if writer.citizen or writer.open:
        return await _of_citizen(ctx, first, messages, list(parties))
    if await is_blocked(ctx, next(iter(writer.signs), ""), first.subject):
        return Standing(NO_REPLY)
    others = tuple(party for party in parties if party not in writer.signs)
    return Standing(REPLY if len(others) == 1 else REPLY_TO_ALL, others)


async def _of_citizen(
    ctx: Context, first: Message, messages: Sequence[Message], parties: list[str]
) -> Standing:
    there = [
        party
        for party in parties
        if kind(party) in PROFESSIONALS and not await is_blocked(ctx, party, first.subject)
    ]
    if not there:
        return Standing(NO_REPLY)
    if thread_state(first.resource).ended:
        wrote = dict.fromkeys(m.sender for m in messages if m.by_professional)
        for sender in wrote:
            if sender in there and await thread.open_thread(
                ctx, first.subject, await capacities(ctx, sender)
            ):
                return Standing(NEW_MESSAGE, (sender,))
        return Standing(REPLY_BLOCKED)
    return Standing(REPLY if len(there) == 1 else REPLY_TO_ALL, tuple(there))
