"""What the store knows of a thread: its messages, who has part in it, whether it was ended.

Looked at by the server's own view, but for `seen`, `messages` and `waiting`; the rules
(`rules.py`) say what of it the caller is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import all_of, any_of, negate, refers, token
from fhirserver.access.every import every
from fhirserver.access.store import Selects
from fhirserver.errors import NotFound
from fhirserver.messaging.codes import SENT
from fhirserver.messaging.message import message_of, pair
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Chain, Identity, Kind, Present, Query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhirserver.interaction.context import Context
    from fhirserver.messaging.message import Message
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Expression

_PAGE = 100
_TYPE = ("Communication",)
_IS_SENT = token("status", *sorted(SENT))
_IS_ENDED = token("thread-ended", "true")


async def stored(ctx: Context, reference: str) -> tuple[Version, Message] | None:
    """The message `Communication/id`, if there is one."""
    version = await ctx.as_server.store.read(*pair(reference))
    if version is None or version.content is None:
        return None
    return version, message_of(decode_stored(version.content), ctx.local_bases)


async def seen(ctx: Context, id: str) -> tuple[Version, Message]:
    """The message as the caller sees it. Raises NotFound."""
    version = await ctx.store.read("Communication", id)
    if version is None or version.content is None:
        raise NotFound(f"Communication/{id} is not known.")
    return version, message_of(decode_stored(version.content), ctx.local_bases)


def within(root: str) -> Expression:
    """The sent messages of the thread that begins with `root`."""
    whole = any_of(Identity((pair(root)[1],)), refers("part-of", (pair(root),)))
    return all_of(_IS_SENT, whole)


def parties(references: Iterable[str]) -> Expression:
    pairs = tuple(map(pair, references))
    return any_of(*(refers(code, pairs) for code in ("sender", "on-behalf-of", "recipient")))


async def has_part(ctx: Context, root: str, references: Iterable[str]) -> bool:
    """Whether one of `references` has sent or received a message of the thread, or somebody sent
    one in their name."""
    query = Query(_TYPE, all_of(within(root), parties(references)))
    return await ctx.as_server.store.count(query, 1) > 0


async def wrote(ctx: Context, patient: str, professional: Iterable[str]) -> bool:
    """Whether the professional has ever written to the citizen."""
    where = all_of(_IS_SENT, refers("subject", (pair(patient),)), _by(professional))
    return await ctx.as_server.store.count(Query(_TYPE, where), 1) > 0


async def open_thread(ctx: Context, patient: str, professional: Iterable[str]) -> str | None:
    """The first message of a thread in which the professional wrote to the citizen and that
    was not ended."""
    still_open = negate(_IS_ENDED)
    where = all_of(
        _IS_SENT,
        refers("subject", (pair(patient),)),
        _by(professional),
        any_of(
            all_of(negate(Present("part-of", Kind.REFERENCE)), still_open),
            Chain("part-of", _TYPE, still_open),
        ),
    )
    page = await ctx.as_server.store.search(Query(_TYPE, where, count=1))
    for version in page.versions:
        message = message_of(decode_stored(version.content or b"{}"), ctx.local_bases)
        return message.part_of or f"Communication/{version.id}"
    return None


def while_open(root: str) -> Selects:
    """What holds as long as nobody ends the thread: the commit of an answer depends on it."""
    return Selects(_ended(root), frozenset(), server=True)


def while_as_it_is(root: str, ended: bool) -> Selects:
    """For the commit that ends a thread or opens it again: it waits for answers under way."""
    ids = frozenset({pair(root)}) if ended else frozenset()
    return Selects(_ended(root), ids, server=True)


async def messages(ctx: Context, root: str) -> list[Version]:
    """Every sent message of the thread that the caller sees, in order of creation."""
    return await _all(ctx, within(root))


async def waiting(ctx: Context, mailboxes: Iterable[str]) -> list[Version]:
    """Every message that waits to be read in one of the mailboxes and that the caller sees, in
    order of creation."""
    pairs = tuple(map(pair, mailboxes))
    return await _all(ctx, all_of(_IS_SENT, refers("unread", pairs))) if pairs else []


async def _all(ctx: Context, where: Expression) -> list[Version]:
    return [version async for version in every(ctx.store, Query(_TYPE, where, count=_PAGE))]


def _ended(root: str) -> Query:
    return Query(_TYPE, all_of(Identity((pair(root)[1],)), _IS_ENDED))


def _by(references: Iterable[str]) -> Expression:
    pairs = tuple(map(pair, references))
    return any_of(refers("sender", pairs), refers("on-behalf-of", pairs))
