"""Brings up to date what a new day changes: a dose that becomes due or overdue, a window that
opens or closes. Once a day, only the resources with a date that has come."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from fhirserver.access.decision.build import any_of
from fhirserver.diary.kept import patients_of
from fhirserver.model.dates import DAY, microseconds
from fhirserver.search.expression import Both, Compare, Kind, Match, Query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhirserver.interaction.context import Context

_PAGE = 200
_EPOCH = date(1970, 1, 1).toordinal()


async def look_at_days(
    ctx: Context,
    name: str,
    type: str,
    params: tuple[tuple[str, str], ...],
    element: str,
    refresh: Callable[[Context, str], Awaitable[object]],
) -> None:
    """Refresh the patients of `type` with a date between the last look under this `name` and
    today. `params`: search parameters, with the end ("low" or "high") that is meant."""
    state = f"{name}-day"
    today = ctx.clock().date()
    known = (await ctx.store.get_state(state) or b"").decode()
    looked = date.fromisoformat(known) if known else today - timedelta(days=1)
    if looked >= today:
        return
    # From a day before: what may be given up to a day changes on the day after.
    low = (looked.toordinal() - _EPOCH) * DAY
    high = min(microseconds(ctx.clock()), (today.toordinal() - _EPOCH + 1) * DAY)
    between = [
        Match(param, Kind.DATE, Both((Compare(end, "ge", low), Compare(end, "le", high))))
        for param, end in params
    ]
    query = Query((type,), any_of(*between), count=_PAGE)
    while True:
        page = await ctx.store.search(query)
        for patient in sorted(await patients_of(ctx, page.versions, element)):
            await refresh(ctx, patient)
        if page.next is None:
            break
        query = replace(query, after=page.next)
    await ctx.store.set_state(state, today.isoformat().encode())
