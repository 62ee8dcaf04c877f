"""Which state may follow which, and by whom: the table `rules.json`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import msgspec

from fhirserver.access.caller import Role
from fhirserver.errors import Forbidden, Issue, Unprocessable

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context

Party = Literal["publisher", "operator", "anybody"]


class Validity(msgspec.Struct, frozen=True):
    first_years: int
    renewal_years: int
    remind_days: int


class Rules(msgspec.Struct, frozen=True):
    version: str
    device: dict[str, dict[str, tuple[str, ...]]]
    task: dict[str, dict[str, tuple[str, ...]]]
    needs_reason: dict[str, frozenset[str]]
    publisher_edits: dict[str, frozenset[str]]
    validity: Validity


@cache
def rules() -> Rules:
    body = files("fhirserver.catalogue").joinpath("rules.json").read_bytes()
    return msgspec.json.decode(body, type=Rules)


def party(ctx: Context) -> Party:
    """As whom the caller writes; `anybody`: the server itself, or --auth off. Raises Forbidden."""
    if ctx.server is None or ctx.caller.role is Role.OPEN:
        return "anybody"
    if ctx.caller.role is Role.OPERATOR:
        return "operator"
    if ctx.caller.role is Role.PUBLISHER:
        return "publisher"
    raise Forbidden("Entries of the catalogue are written by their publisher and the operator.")


def check_transition(
    what: Literal["device", "task"], before: str, after: str, who: Party, place: str
) -> None:
    """Raises Unprocessable when this state may not follow that one, or not by this party."""
    table: dict[str, dict[str, tuple[str, ...]]] = getattr(rules(), what)
    if after not in table:
        raise refused(f"“{after[:40]}” is none of {', '.join(s for s in table if s)}.", place)
    if before == after or (before == "" and who == "anybody"):
        return
    following = table.get(before, {})
    if after not in following:
        can = ", ".join(following) or "nothing"
        start = before or "nothing"
        raise refused(f"After {start} comes {can}, not {after}.", place)
    if who != "anybody" and who not in following[after]:
        by = " or ".join(following[after])
        raise refused(f"From {before or 'nothing'} to {after} leads the {by} alone.", place)


def refused(text: str, place: str) -> Unprocessable:
    return Unprocessable(issues=(Issue("error", "business-rule", text, (place,)),))
