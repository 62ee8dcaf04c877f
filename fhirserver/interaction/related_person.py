"""RelatedPersons beside the one that is being written, for rules on how many there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.store import Selects
from fhirserver.model.dates import microseconds, period
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fhirserver.interaction.context import Context, Draft, Resource
    from fhirserver.search.expression import Expression

_MOST = 1000  # looked through


async def beside(
    ctx: Context,
    draft: Draft,
    where: Expression,
    drafts: Sequence[Draft],
    fits: Callable[[Resource], bool],
) -> tuple[Selects, list[Resource]]:
    """Those there are beside this one, with those written together with it, that fit and whose
    time is not over; and what must hold of them at commit.

    The time is not in the query, so that two who ask for the same wait for each other.
    """
    query = Query(("RelatedPerson",), where, count=_MOST)
    found = (await ctx.as_server.store.search(query)).versions
    written = {each.id: each.resource for each in drafts if each.type == "RelatedPerson"}
    others = [decode_stored(v.content or b"{}") for v in found if v.id not in written]
    others += [each for id, each in written.items() if id != draft.id and each is not None]
    ids = frozenset((version.type, version.id) for version in found)
    held = Selects(query, ids, server=True)
    return held, [other for other in others if fits(other) and lasts(ctx, other)]


def lasts(ctx: Context, related: Resource) -> bool:
    """Its time is not over; one that is to come counts."""
    bounds = period(related.get("period") or {})
    return bounds is None or bounds[1] > microseconds(ctx.clock())
