"""The rules of messaging at each write of a Communication.

They bind messages: a Communication in a citizen's space between citizens and professionals, and
whatever a citizen writes. Others (alerts of devices, notices, requests between organizations) are
none of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.errors import Forbidden, Issue, Unprocessable
from fhirserver.messaging import attachments, delegation, ending, rules, sending, thread
from fhirserver.messaging.changing import changed
from fhirserver.messaging.codes import CITIZENS, KEPT, PROFESSIONALS, SENT, WITHDRAWN
from fhirserver.messaging.message import kind, message_of, thread_state
from fhirserver.messaging.rules import refused
from fhirserver.messaging.writer import CITIZEN_ROLES, has_open_space, writer_of
from fhirserver.model.extensions import with_extensions
from fhirserver.model.references import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhirserver.interaction.context import Context, Draft
    from fhirserver.messaging.attachments import Beside
    from fhirserver.messaging.message import Message
    from fhirserver.messaging.writer import Writer
    from fhirserver.model.version import Version


class MessageBehaviour:
    types = frozenset({"Communication", "CommunicationRequest"})

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        if ctx.server is None:  # the server's own work
            return drafts
        writer = await writer_of(ctx)
        written: list[Draft] = []
        gone_off: set[str] = set()
        # Messages of the same Bundle that were found right: an answer may follow what it answers.
        together: dict[str, Message] = {}
        beside = {
            f"{draft.type}/{draft.id}": draft.resource
            for draft in drafts
            if draft.resource is not None and draft.type != "Communication"
        }
        for draft in drafts:
            if draft.type == "CommunicationRequest" and writer.citizen and not draft.server:
                _check_request(ctx, draft)
            if draft.type != "Communication" or draft.server:
                written.append(draft)
                continue
            made, goes_off = await self._written(ctx, draft, writer, together, beside)
            written.append(made)
            if made.resource is not None:
                reference = f"Communication/{made.id}"
                together[reference] = message_of(made.resource, ctx.local_bases)
            if goes_off:
                gone_off.add(made.id)
        if not ctx.store.capabilities.transactions:
            return written  # `after_commit` sees to it
        return await ending.with_threads(ctx, written, gone_off)

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        if not ctx.store.capabilities.transactions:
            for version in versions:
                if version.type != "Communication":
                    continue
                await ending.settle(ctx.as_server, version)

    async def _written(
        self,
        ctx: Context,
        draft: Draft,
        writer: Writer,
        together: dict[str, Message],
        beside: Beside,
    ) -> tuple[Draft, bool]:
        """The draft as it is to be written, and whether it is a message that goes off now."""
        reference = f"Communication/{draft.id}"
        found = await thread.stored(ctx, reference)
        before = found[1] if found else None
        if draft.resource is None:
            _check_deletion(before, writer)
            return draft, False
        message = message_of(draft.resource, ctx.local_bases)
        if not _is_bound(ctx, before, message):
            return draft, False
        if before is not None and not before.is_draft:
            resource = await changed(ctx, reference, before, draft.resource, writer)
            was = thread_state(before.resource).ended
            if thread_state(resource).ended == was:
                return replace(draft, resource=resource), False
            held = thread.while_as_it_is(reference, was)
            return replace(draft, resource=resource, selects=(*draft.selects, held)), False
        if writer.citizen and not await has_open_space(ctx, writer):
            raise Forbidden("This space is closed; who holds it can open it again and write then.")
        resource = sending.signed(ctx, draft.resource, writer)
        resource = await delegation.marked(ctx, resource, writer)
        writer = await delegation.acting(ctx, resource, writer)
        if message.is_draft:
            await attachments.check(ctx, resource, writer.open, beside)
            return replace(draft, resource=with_extensions(resource, KEPT, [])), False
        if message.status not in SENT:
            raise refused(
                "A message is written with status preparation and sent with in-progress or "
                "completed.",
                "status",
            )
        made = await sent(ctx, replace(draft, resource=resource), writer, together, beside)
        return made, True


async def sent(
    ctx: Context,
    draft: Draft,
    writer: Writer,
    together: Mapping[str, Message],
    beside: Beside,
) -> Draft:
    """A message that is to go off, checked and completed. Raises Unprocessable and Forbidden."""
    assert draft.resource is not None
    resource = draft.resource
    message = message_of(resource, ctx.local_bases)
    place = await rules.place_of(ctx, message, writer, together)
    resource = sending.placed(resource, message, place)
    message = message_of(resource, ctx.local_bases)
    resource = sending.addressed(resource, message, place)
    message = message_of(resource, ctx.local_bases)
    if kind(message.subject) != "Patient":
        raise refused("The subject of a message is the citizen in whose space it is.", "subject")
    if message.by_citizen:
        allowed = await rules.check_citizen(ctx, message, place, writer, together)
    else:
        allowed = await rules.check_professional(ctx, draft.id, message, place)
    if not writer.gateway:
        await attachments.check(ctx, resource, writer.open, beside)
    if not writer.open:
        resource = await attachments.inlined(ctx, resource, beside)
    resource = sending.stamped(resource, message, writer, ctx.clock())
    message = message_of(resource, ctx.local_bases)
    draft = replace(draft, resource=resource, selects=(*draft.selects, *allowed.selects))
    return ending.opened(draft) if message.by_professional and not place.root else draft


def _is_bound(ctx: Context, before: Message | None, message: Message) -> bool:
    if before is not None and before.links_citizens:
        return True
    role = ctx.caller.role
    if role is Role.OPEN:
        return message.links_citizens and (message.is_sent or message.is_draft)
    if role in CITIZEN_ROLES:
        return before is None or before.sender != ""
    parties = (message.sender, *message.recipients, message.subject)
    return any(kind(each) in CITIZENS for each in parties)


def _check_request(ctx: Context, draft: Draft) -> None:
    """Who is named in a CommunicationRequest sees it: it is no way around the rules of messages."""
    resource = draft.resource or {}
    named = {f"recipient[{n}]": each for n, each in enumerate(resource.get("recipient") or [])}
    named |= {name: resource.get(name) for name in ("sender", "requester")}
    for place, reference in named.items():
        type, _ = identity(reference, ctx.local_bases) or ("", "")
        if type in PROFESSIONALS:
            issue = Issue(
                "error",
                "business-rule",
                "Citizens write to professionals by messages (Communication).",
                (f"CommunicationRequest.{place}",),
            )
            raise Unprocessable(issues=(issue,))


def _check_deletion(before: Message | None, writer: Writer) -> None:
    """Only what is not sent yet goes away, and by its author alone."""
    if before is None or writer.open or not before.sender:
        return
    if before.sender not in writer.signs:
        raise Forbidden("Nobody deletes a message of another.")
    if not before.is_draft:
        raise refused(
            f"A message that was sent stays; say that it was an error (status {WITHDRAWN})."
        )
