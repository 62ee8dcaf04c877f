"""FHIR history interaction: of a resource, a type or the system
(https://hl7.org/fhir/R4/http.html#history)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid
from fhirserver.interaction.identity import unknown
from fhirserver.interaction.own_cursor import OwnCursor
from fhirserver.model import dates
from fhirserver.model.version import HistorySelection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

_OWN_CURSOR = OwnCursor("history")


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """A page of history, newest first.

    `total` is the number of versions of the whole history, the same on every page. For a type or
    the system it is left out when there are more than a page should take the time to count,
    unless `_count=0` asks for it alone.
    `next`: cursor of the next page. `applied`: the parameters for the self link, without the
    cursor.
    """

    versions: list[Version]
    total: int | None
    next: str | None
    applied: tuple[tuple[str, str], ...]


async def history(
    ctx: Context, type: str | None, id: str | None, parameters: Sequence[tuple[str, str]]
) -> HistoryResult:
    """The versions that `parameters` (`_since`, `_at`, `_count`, `_cursor`) ask for.

    Raises NotFound for a resource that never was, Invalid for any other parameter.
    """
    selection = _selection(ctx, type, id, parameters)
    if type is not None and id is not None and await ctx.store.read(type, id) is None:
        raise unknown(type, id)
    applied = tuple((name, value) for name, value in parameters if name != "_cursor")
    if selection.count == 0:
        return HistoryResult([], await ctx.store.history_count(selection), None, applied)
    with _OWN_CURSOR:
        page = await ctx.store.history(selection)
    total: int | None
    if selection.after is None and page.next is None:
        total = len(page.versions)
    else:
        total = await _total(ctx, replace(selection, after=None))
    return HistoryResult(page.versions, total, page.next, applied)


async def _total(ctx: Context, selection: HistorySelection) -> int | None:
    if selection.id is not None:
        return await ctx.store.history_count(selection)
    most = ctx.limits.history_total
    total = await ctx.store.history_count(selection, most + 1)
    return None if total > most else total


def _selection(
    ctx: Context, type: str | None, id: str | None, parameters: Sequence[tuple[str, str]]
) -> HistorySelection:
    selection = HistorySelection(type, id, count=ctx.limits.default_count)
    seen: set[str] = set()
    for name, value in parameters:
        if name in seen:
            raise Invalid(f"{name} is given more than once.")
        seen.add(name)
        match name:
            case "_since":
                selection = replace(selection, since=_interval(name, value)[0])
            case "_at":
                selection = replace(selection, at=_interval(name, value))
            case "_count":
                selection = replace(selection, count=_count(ctx, value))
            case "_cursor":
                selection = replace(selection, after=value)
            case "_sort":
                if value != "-_lastUpdated":
                    raise Invalid("History is always in the order _sort=-_lastUpdated.")
            case _:
                raise Invalid(
                    f"History has no parameter {name[:80]}; it takes _since, _at and _count."
                )
    return selection


def _interval(name: str, value: str) -> dates.Interval:
    try:
        # A `+` that was not percent-encoded arrives as a space.
        return dates.interval(value.replace(" ", "+"))
    except ValueError as error:
        raise Invalid(f"{name} is no date or time: {value[:80]}", code="value") from error


def _count(ctx: Context, value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 9:
        raise Invalid(f"_count is no number: {value[:80]}", code="value")
    return min(int(value), ctx.limits.max_count)
