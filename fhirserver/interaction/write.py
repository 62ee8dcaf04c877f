"""The one way changes reach the store: drafts, behaviours, content and entries, commit.

Every writing interaction is a transaction of one (or of many) through `commit`; those that look
before they write do so in `attempts`, which tries again when somebody else was faster.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from fhirserver.access.store import SelectionChanged, TransactionsUnavailable, VersionConflict
from fhirserver.errors import Conflict, Issue, NotSupported
from fhirserver.interaction.shipped_definitions import refuse_shipped
from fhirserver.model.content import content
from fhirserver.model.version import Change

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeVar

    from fhirserver.access.store import Selects
    from fhirserver.interaction.context import Context, Draft, Resource
    from fhirserver.model.version import Version

    T = TypeVar("T")

_PAUSE = 0.002  # seconds; grows with each attempt, times a random factor
_LONGEST_PAUSE = 0.1


def validated(ctx: Context, resource: Resource) -> tuple[Issue, ...]:
    """Refuse an invalid resource; give the warnings of a valid one."""
    return tuple(ctx.validator.check(resource) or ())


def change_of(ctx: Context, draft: Draft) -> Change:
    resource = draft.resource
    if resource is None:
        return Change(draft.method, draft.type, draft.id, None, (), draft.expect, draft.server)
    return Change(
        draft.method,
        draft.type,
        draft.id,
        content(resource, draft.id),
        ctx.indexer.entries(resource),
        draft.expect,
        draft.server,
    )


async def commit(
    ctx: Context, drafts: Sequence[Draft], selects: Sequence[Selects] = ()
) -> list[Version]:
    """Write all drafts or none; the versions made, in their order.

    Raises VersionConflict and SelectionChanged for the caller to look again.
    """
    asked = len(drafts)
    refuse_shipped((draft.type, draft.id) for draft in drafts)
    for behaviour in ctx.behaviours:
        if not behaviour.types or any(draft.type in behaviour.types for draft in drafts):
            drafts = await behaviour.before_commit(ctx, drafts)
    changes = []
    selects = [*selects, *(each for draft in drafts for each in draft.selects)]
    for number, draft in enumerate(drafts, 1):
        changes.append(change_of(ctx, draft))
        if number % 50 == 0:
            await asyncio.sleep(0)  # let other requests run beside a large Bundle
    log: Sequence[bytes] = ()
    if ctx.audit is not None:
        before = [await ctx.store.current(change.type, change.id) for change in changes]
        log = ctx.audit.writing(ctx.caller, changes, before)
    try:
        versions = await ctx.store.commit(changes, selects, log)
    except TransactionsUnavailable as error:
        raise NotSupported(
            ctx.store.capabilities.reason or "This server's store has no transactions."
        ) from error
    for behaviour in ctx.behaviours:
        told = [v for v in versions if not behaviour.types or v.type in behaviour.types]
        if told:
            await behaviour.after_commit(ctx, told)
    return versions[:asked]


async def attempts(ctx: Context, attempt: Callable[[], Awaitable[T]]) -> T:
    """Run `attempt` until nobody interferes, a bounded number of times."""
    for number in range(ctx.limits.attempts):
        try:
            return await attempt()
        except (VersionConflict, SelectionChanged):
            pause = min(_PAUSE * 2**number, _LONGEST_PAUSE)
            await asyncio.sleep(pause * random.random())
    raise Conflict(
        f"Others changed the same resources {ctx.limits.attempts} times meanwhile; try again later."
    )
