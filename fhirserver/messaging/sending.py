"""What the server adds to a message when it is sent, and refuses in one.

The sender is who calls. `partOf`, `inResponseTo`, recipients of an answer, `sent` and the mark of
a proxy are filled in where they are missing; whose mailbox it waits in is kept as extensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.messaging.codes import (
    CITIZENS,
    ENDS_THREAD,
    KEPT,
    ON_BEHALF_OF,
    PROFESSIONALS,
    THREAD_STATE,
    UNREAD,
)
from fhirserver.messaging.message import kind, message_of
from fhirserver.messaging.rules import refused
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.extensions import with_extensions

if TYPE_CHECKING:
    from datetime import datetime

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.messaging.message import Message
    from fhirserver.messaging.rules import Place
    from fhirserver.messaging.writer import Writer


def signed(ctx: Context, resource: Resource, writer: Writer) -> Resource:
    """The message with its sender, who is the caller; a proxy writes on behalf of the citizen."""
    if writer.open:
        return resource
    message = message_of(resource, ctx.local_bases)
    if "sender" not in resource:
        if not writer.signs:
            raise refused("Who sends this is not known: name the sender.", "sender")
        resource = with_element(resource, "sender", {"reference": writer.signs[0]})
    elif message.sender not in writer.signs:
        raise refused(
            "The sender of a message is who writes it; in whose name they do, the extension "
            "message-on-behalf-of says.",
            "sender",
        )
    if writer.citizen and "subject" not in resource:
        resource = with_element(resource, "subject", {"reference": writer.patient})
    resource = with_extensions(resource, KEPT, [])
    if not writer.citizen:
        return resource
    behalf = []
    if writer.proxy:
        behalf = [{"url": ON_BEHALF_OF, "valueReference": {"reference": writer.patient}}]
    return with_extensions(resource, [ON_BEHALF_OF, ENDS_THREAD], behalf)


def placed(resource: Resource, message: Message, place: Place) -> Resource:
    """The message in its thread: partOf the first, inResponseTo the one answered."""
    if not place.root:
        return resource
    if message.part_of != place.root:
        resource = with_element(resource, "partOf", [{"reference": place.root}])
    if not message.in_response_to and not resource.get("inResponseTo"):
        previous = place.previous_reference or place.root
        resource = with_element(resource, "inResponseTo", [{"reference": previous}])
    if not resource.get("subject") and place.first is not None and place.first.subject:
        resource = with_element(resource, "subject", {"reference": place.first.subject})
    return resource


def addressed(resource: Resource, message: Message, place: Place) -> Resource:
    """An answer without recipients goes to who wrote the message answered, or, where the writer
    did, to whom it went. A proxy's citizen gets it too, and so does who a delegate wrote for."""
    if resource.get("recipient"):
        return resource
    answered = place.previous or place.first
    found: tuple[str, ...] = ()
    if answered is not None and answered.sender:
        found = (answered.sender,)
        if kind(answered.on_behalf_of) in PROFESSIONALS:
            found = (answered.on_behalf_of, answered.sender)
        if message.sender == answered.sender or _one_side(message, answered):
            found = answered.recipients
    if any(kind(each) == "RelatedPerson" for each in found) and message.subject not in found:
        found = (message.subject, *found)
    if not found and message.by_professional and kind(message.subject) == "Patient":
        found = (message.subject,)
    if not found:
        raise refused("A message names whom it is for.", "recipient")
    return with_element(resource, "recipient", [{"reference": each} for each in found])


def stamped(resource: Resource, message: Message, writer: Writer, now: datetime) -> Resource:
    """The message as it goes off: its time, and the mailboxes in which it waits."""
    if not writer.open:
        if "received" in resource:
            raise refused("A message is received once it is there.", "received")
        resource = with_element(resource, "sent", instant(microseconds(now) // 1000 * 1000))
    elif "sent" not in resource:
        resource = with_element(resource, "sent", instant(microseconds(now) // 1000 * 1000))
    waiting = [each for each in message.recipients if each not in message.read_in]
    unread = [{"url": UNREAD, "valueReference": {"reference": each}} for each in waiting]
    return with_extensions(resource, [UNREAD], unread)


def ended_state(ended: bool, date: str, by: str) -> dict[str, Any]:
    """The extension of a thread's first message that says how the thread is."""
    parts: list[dict[str, Any]] = [
        {"url": "ended", "valueBoolean": ended},
        {"url": "date", "valueDateTime": date},
    ]
    if by:
        parts.append({"url": "by", "valueReference": {"reference": by}})
    return {"url": THREAD_STATE, "extension": parts}


def _one_side(message: Message, answered: Message) -> bool:
    """Both are written by citizens (the person and a proxy) or by professionals."""
    return (kind(message.sender) in CITIZENS) == (kind(answered.sender) in CITIZENS)


_ORDER = (
    "identifier", "instantiatesCanonical", "instantiatesUri", "basedOn", "partOf", "inResponseTo",
    "status", "statusReason", "category", "priority", "medium", "subject", "topic", "about",
    "encounter", "sent", "received", "recipient", "sender", "reasonCode", "reasonReference",
    "payload", "note",
)  # fmt: skip


def with_element(resource: Resource, name: str, value: Any) -> Resource:
    """The resource with that element, where FHIR has it."""
    if name in resource:
        return {**resource, name: value}
    later = set(_ORDER[_ORDER.index(name) + 1 :])
    made: Resource = {}
    placed = False
    for each, given in resource.items():
        if not placed and each.lstrip("_") in later:
            made[name] = value
            placed = True
        made[each] = given
    if not placed:
        made[name] = value
    return made
