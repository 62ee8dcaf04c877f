"""What may change of a message that was sent: how far it has come, never what it says.

The sender, or in whose name they wrote, may declare it an error. A recipient may say that it was
received. A professional who has part in the thread ends or reopens it at its first message. The
rest stays as it was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.errors import Forbidden, Issue, Unprocessable
from fhirserver.messaging.codes import KEPT, PROFESSIONALS, SENT, THREAD_STATE, UNREAD, WITHDRAWN
from fhirserver.messaging.ending import with_state
from fhirserver.messaging.message import kind, message_of, thread_state
from fhirserver.messaging.rules import check_end, refused
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.extensions import extensions, with_extensions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.messaging.message import Message
    from fhirserver.messaging.writer import Writer

_STATE = frozenset({"id", "resourceType", "meta", "status", "statusReason", "received"})


async def changed(
    ctx: Context, reference: str, before: Message, resource: Resource, writer: Writer
) -> Resource:
    """The new version of a sent message, or the refusal of one."""
    after = message_of(resource, ctx.local_bases)
    _check_content(before.resource, resource)
    kept = _kept(before.resource, resource, writer)
    if writer.open:
        return kept
    author = bool({before.sender, _principal(before)} & set(writer.signs))
    recipient = writer.is_party(before.recipients)
    if after.status != before.status:
        _check_status(before, after, author, recipient)
        if after.status == WITHDRAWN:
            kept = with_extensions(kept, [UNREAD], [])
    if resource.get("received") != before.resource.get("received"):
        if not recipient:
            raise Forbidden("That a message is received, its recipients say.")
        if "received" in before.resource:
            raise refused("When it was received stays as it is.", "received")
    return await _thread_state(ctx, reference, before, resource, kept, writer)


def _principal(message: Message) -> str:
    """The professional or establishment in whose name a delegate wrote."""
    return message.on_behalf_of if kind(message.on_behalf_of) in PROFESSIONALS else ""


def _check_content(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    names = {*before, *after} - _STATE - {"extension"}
    changed = sorted(name for name in names if before.get(name) != after.get(name))
    if _said(before) != _said(after):
        changed.append("extension")
    if changed:
        issues = tuple(
            Issue(
                "error",
                "business-rule",
                "A message stays as it was sent; only its state changes.",
                (f"Communication.{name}",),
            )
            for name in changed
        )
        raise Unprocessable(issues=issues)


def _said(resource: Mapping[str, Any]) -> list[Any]:
    return [e for e in resource.get("extension") or [] if e.get("url") not in KEPT]


def _kept(before: Mapping[str, Any], after: Resource, writer: Writer) -> Resource:
    """With what the server keeps, as it was: a client need not send it back."""
    given = [e for e in after.get("extension") or [] if e.get("url") in KEPT]
    if writer.open and given:
        return after
    kept = [e for e in before.get("extension") or [] if e.get("url") in KEPT]
    return with_extensions(after, KEPT, kept)


def _check_status(before: Message, after: Message, author: bool, recipient: bool) -> None:
    if after.status == WITHDRAWN:
        if not author:
            raise Forbidden("That a message was sent in error, its sender says.")
        return
    if after.status == "completed" and before.status in SENT and recipient:
        return
    raise refused(
        f"A message does not go from {before.status} to {after.status or 'no status'} by you.",
        "status",
    )


async def _thread_state(
    ctx: Context,
    reference: str,
    before: Message,
    given: Resource,
    kept: Resource,
    writer: Writer,
) -> Resource:
    """A new statusReason, or the extension, on the first message ends the thread; taking it away
    opens it again."""
    was = thread_state(before.resource)
    reason = given.get("statusReason")
    asked = extensions(given, THREAD_STATE)
    wants = bool(reason)
    if reason == before.resource.get("statusReason"):
        wants = was.ended if not asked else thread_state(given).ended
        if wants == was.ended:
            return kept
    if before.part_of:
        raise refused("A thread is ended at its first message, or by $end-thread.", "statusReason")
    if writer.citizen:
        raise Forbidden("Only a professional ends a thread or opens it again.")
    await check_end(ctx, reference, before.subject, writer.signs)
    date = instant(microseconds(ctx.clock()) // 1000 * 1000)
    return with_state(kept, wants, date, writer.signs[0], reason if wants else None)
