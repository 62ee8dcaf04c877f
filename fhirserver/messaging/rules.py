"""Who may write to whom, and in which thread.

Only professionals and establishments open a first exchange. A citizen answers, or writes anew to
a professional who wrote before and has not ended the exchange, or to a pharmacy they have been to;
never to another citizen. A professional ends a thread, and opens it again by writing in it. Whom
the citizen has blocked cannot write.

Source: rules of the national secure messaging of citizens (Mon espace santé), as published by the
Agence du numérique en santé and the health insurance, read in 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.errors import Forbidden, Issue, Unprocessable
from fhirserver.messaging import thread
from fhirserver.messaging.codes import CITIZENS, PROFESSIONALS
from fhirserver.messaging.message import came_after, kind, pair, thread_state
from fhirserver.messaging.visited import takes_first_message
from fhirserver.messaging.writer import capacities, is_blocked, is_principal_blocked
from fhirserver.model.json import decode_stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.access.store import Selects
    from fhirserver.interaction.context import Context
    from fhirserver.messaging.message import Message
    from fhirserver.messaging.writer import Writer

    #: Messages that are written together, by reference.
    Together = Mapping[str, Message]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which thread a message goes. `root`: the first message, "" when it is that itself;
    `previous`: the message answered."""

    root: str = ""
    first: Message | None = None
    previous: Message | None = None
    previous_reference: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """`selects`: what must still hold when the message is committed."""

    selects: tuple[Selects, ...] = ()


def refused(text: str, *places: str) -> Unprocessable:
    issue = Issue("error", "business-rule", text, tuple(f"Communication.{p}" for p in places))
    return Unprocessable(issues=(issue,))


async def place_of(ctx: Context, message: Message, writer: Writer, together: Together) -> Place:
    """The thread a message is to be in. What the writer has no part in is not known to them."""
    named = message.part_of or message.in_response_to
    if not named:
        return Place()
    where = "partOf[0]" if message.part_of else "inResponseTo[0]"
    first = await _look(ctx, named, together)
    if first is None or kind(named) != "Communication":
        if writer.open:  # resources may come in any order
            return Place(message.part_of or named)
        raise _unknown(named, where)
    root = named
    if first.part_of:
        root = first.part_of
        above = await _look(ctx, root, together)
        if above is None:
            if writer.open:
                return Place(root)
            raise _unknown(named, where)
        first = above
    if not writer.open and not await _has_part(ctx, root, first, writer, together):
        raise _unknown(named, where)
    if message.subject and first.subject != message.subject:
        raise refused("The subject of a message is that of the thread it answers in.", "subject")
    answered = message.in_response_to
    previous = None
    if answered:
        previous = await _look(ctx, answered, together)
        strange = previous is None or (answered != root and previous.part_of != root)
        if strange and not (writer.open and previous is None):
            raise _unknown(answered, "inResponseTo[0]")
    return Place(root, first, previous, answered)


async def check_citizen(
    ctx: Context, message: Message, place: Place, writer: Writer, together: Together
) -> Allowed:
    """A citizen, or who acts for them, writes. Raises Unprocessable with the reason."""
    for number, recipient in enumerate(message.recipients):
        if kind(recipient) in CITIZENS:
            raise refused(
                "Citizens do not write to each other here; a message goes to professionals.",
                f"recipient[{number}]",
            )
        if kind(recipient) not in PROFESSIONALS:
            raise refused(
                "A message goes to a Practitioner, a PractitionerRole or an Organization.",
                f"recipient[{number}]",
            )
        if await is_blocked(ctx, recipient, message.subject):
            raise refused(
                f"You have blocked {recipient}; take that back to write to them.",
                f"recipient[{number}]",
            )
    if place.root:
        return await _answers(ctx, message, place, writer, together)
    return await _writes_anew(ctx, message, together)


async def _answers(
    ctx: Context, message: Message, place: Place, writer: Writer, together: Together
) -> Allowed:
    if place.first is None:
        return Allowed()
    state = thread_state(place.first.resource)
    if state.ended and writer.open and message.sent and came_after(state.date, message.sent):
        return Allowed()  # a conversation that is loaded as it was
    if state.ended:
        reason = f" ({state.reason})" if state.reason else ""
        raise refused(
            "The professional has ended this thread; it takes no answer until they write "
            f"again{reason}.",
            "partOf[0]",
        )
    for number, recipient in enumerate(message.recipients):
        same = await capacities(ctx, recipient)
        if not await _takes_part(ctx, place, same, together):
            raise refused(
                f"{recipient} has no part in this thread; only professionals bring others in.",
                f"recipient[{number}]",
            )
    return Allowed((thread.while_open(place.root),))


async def _writes_anew(ctx: Context, message: Message, together: Together) -> Allowed:
    selects = []
    for number, recipient in enumerate(message.recipients):
        same = await capacities(ctx, recipient)
        if any(m.sender in same and m.subject == message.subject for m in together.values()):
            continue
        root = await thread.open_thread(ctx, message.subject, same)
        if root is not None:
            selects.append(thread.while_open(root))
            continue
        if await takes_first_message(ctx, recipient, message.subject):
            continue
        if await thread.wrote(ctx, message.subject, same):
            text = f"{recipient} has ended the exchange; you can write once they write again."
        else:
            text = (
                "Only professionals open a first exchange; you can write to "
                f"{recipient} once they have written to you."
            )
        raise refused(text, f"recipient[{number}]")
    return Allowed(tuple(dict.fromkeys(selects)))


async def check_professional(ctx: Context, id: str, message: Message, place: Place) -> Allowed:
    """A professional or an establishment writes. Who is blocked gets the answer that a space
    gives which takes nothing from them."""
    blocked = await is_blocked(ctx, message.sender, message.subject)
    if kind(message.on_behalf_of) in PROFESSIONALS and not blocked:
        blocked = await is_principal_blocked(ctx, message.on_behalf_of, message.subject)
    if blocked:
        raise Forbidden(f"Communication/{id} may not be written like this.")
    for number, recipient in enumerate(message.recipients):
        if kind(recipient) == "Patient" and recipient != message.subject:
            raise refused(
                "A message is in one citizen's space: its subject's.", f"recipient[{number}]"
            )
        if kind(recipient) == "RelatedPerson":
            await _check_proxy(ctx, recipient, message, number)
        if kind(recipient) in PROFESSIONALS and not await _is_known(ctx, recipient):
            raise _unknown(recipient, f"recipient[{number}]")
    return Allowed()


async def check_end(ctx: Context, reference: str, subject: str, signs: tuple[str, ...]) -> None:
    """Who ends a thread has part in it, and may write to the citizen. Raises Forbidden."""
    if not await thread.has_part(ctx, reference, signs):
        raise Forbidden("Only a professional who has part in a thread ends it.")
    if await is_blocked(ctx, next(iter(signs), ""), subject):
        raise Forbidden(f"{reference} may not be written like this.")


async def _is_known(ctx: Context, recipient: str) -> bool:
    if ctx.caller.role == Role.OPEN:  # resources may come in any order
        return True
    version = await ctx.as_server.store.read(*pair(recipient))
    return version is not None and version.content is not None


async def _check_proxy(ctx: Context, recipient: str, message: Message, number: int) -> None:
    version = await ctx.as_server.store.read(*pair(recipient))
    person = decode_stored((version and version.content) or b"{}")
    whose = (person.get("patient") or {}).get("reference")
    if whose != message.subject and not (ctx.caller.role == Role.OPEN and not person):
        raise _unknown(recipient, f"recipient[{number}]")


async def _look(ctx: Context, reference: str, together: Together) -> Message | None:
    if reference in together:
        return together[reference]
    found = await thread.stored(ctx, reference)
    if found is None or found[1].is_draft:
        return None
    return found[1]


async def _has_part(
    ctx: Context, root: str, first: Message, writer: Writer, together: Together
) -> bool:
    if writer.citizen:
        return first.subject == writer.patient
    if any(writer.is_party((m.sender, *m.recipients)) for m in _in(root, together)):
        return True
    return await thread.has_part(ctx, root, (*writer.signs, *writer.principals))


async def _takes_part(
    ctx: Context, place: Place, same: tuple[str, ...], together: Together
) -> bool:
    for message in _in(place.root, together):
        if any(party in same for party in (message.sender, *message.recipients)):
            return True
    return await thread.has_part(ctx, place.root, same)


def _in(root: str, together: Together) -> list[Message]:
    return [m for name, m in together.items() if name == root or m.part_of == root]


def _unknown(reference: str, where: str) -> Unprocessable:
    return refused(f"{reference} is not known.", where)
