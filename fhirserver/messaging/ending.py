"""Ending a thread, and opening it again: its first message says how it is.

A professional who has part in the thread ends it: by a message that ends it (X-MSS-MES: FIN), by
`$end-thread`, or by giving the first message a statusReason. A message of theirs that does not end
it opens it again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.interaction.context import Draft
from fhirserver.interaction.write import attempts, commit
from fhirserver.messaging import thread
from fhirserver.messaging.codes import THREAD_STATE, THREAD_STATUS
from fhirserver.messaging.message import came_after, message_of, thread_state
from fhirserver.messaging.sending import ended_state, with_element
from fhirserver.model.extensions import with_extensions
from fhirserver.model.json import decode_stored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version


def with_state(
    root: Resource, ended: bool, date: str, by: str, reason: dict[str, Any] | None = None
) -> Resource:
    """The first message of a thread that is ended, or open again."""
    changed = with_extensions(root, [THREAD_STATE], [ended_state(ended, date, by)])
    if not ended:
        return {name: value for name, value in changed.items() if name != "statusReason"}
    if reason is None:
        reason = {
            "coding": [
                {"system": THREAD_STATUS, "code": "ended", "display": "Ended by the professional"}
            ]
        }
    return with_element(changed, "statusReason", reason)


def state_draft(
    version: Version, ended: bool, date: str, by: str, reason: dict[str, Any] | None = None
) -> Draft:
    """The change of the first message; it waits for answers that are under way."""
    root = decode_stored(version.content or b"{}")
    reference = f"Communication/{version.id}"
    was = thread_state(root).ended
    return Draft(
        "PUT",
        "Communication",
        version.id,
        with_state(root, ended, date, by, reason),
        version.version,
        server=True,
        selects=(thread.while_as_it_is(reference, was),),
    )


async def with_threads(
    ctx: Context, written: Sequence[Draft], gone_off: AbstractSet[str]
) -> list[Draft]:
    """What is written, with what the messages `gone_off` (ids) mean for their threads: the last
    of a professional decides. A first message of the same Bundle is changed in its place."""
    drafts = list(written)
    places = {f"{d.type}/{d.id}": n for n, d in enumerate(written) if d.resource is not None}
    roots: dict[str, Draft] = {}
    for draft in written:
        message = message_of(draft.resource or {}, ctx.local_bases)
        root = message.part_of
        if draft.id not in gone_off or not (message.by_professional and root):
            continue
        found = await thread.stored(ctx, root)
        was = found is not None and thread_state(found[1].resource).ended
        if (place := places.get(root)) is not None:
            above = drafts[place].resource or {}
            if thread_state(above).ended != message.ends_thread:
                drafts[place] = replace(
                    drafts[place],
                    resource=with_state(above, message.ends_thread, message.sent, message.sender),
                    selects=(*drafts[place].selects, thread.while_as_it_is(root, was)),
                )
            continue
        roots.pop(root, None)
        if found is not None and was != message.ends_thread:
            roots[root] = state_draft(found[0], message.ends_thread, message.sent, message.sender)
    return [*drafts, *roots.values()]


async def end(
    ctx: Context, root: str, date: str, by: str, reason: dict[str, Any] | None = None
) -> Version | None:
    """End the thread; None when there is none."""

    async def attempt() -> Version | None:
        found = await thread.stored(ctx, root)
        if found is None:
            return None
        (version,) = await commit(ctx, [state_draft(found[0], True, date, by, reason)])
        return version

    return await attempts(ctx, attempt)


async def settle(ctx: Context, version: Version) -> None:
    """Make good what a professional's message means for its thread, where it was written alone:
    on a store without transactions, or before an interruption. Harmless to do again."""
    if version.content is None:
        return
    message = message_of(decode_stored(version.content), ctx.local_bases)
    if not (message.by_professional and message.is_sent and message.links_citizens):
        return
    root = message.part_of

    async def attempt() -> None:
        found = await thread.stored(ctx, root)
        if found is None:
            return
        state = thread_state(found[1].resource)
        if state.ended == message.ends_thread or not came_after(message.sent, state.date):
            return
        draft = state_draft(found[0], message.ends_thread, message.sent, message.sender)
        await commit(ctx, [draft])

    if root:
        await attempts(ctx, attempt)


def opened(draft: Draft) -> Draft:
    """A first message as it comes, with no state but what its own end gives it."""
    resource = draft.resource or {}
    message = message_of(resource)
    if not message.ends_thread:
        return draft
    return replace(draft, resource=with_state(resource, True, message.sent, message.sender))
