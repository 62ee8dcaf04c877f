"""Finding free slots: [ITI-115] of IHE Scheduling
(https://profiles.ihe.net/ITI/Scheduling/ITI-115.html).

What is proposed is not stored: a proposed Appointment has the id of its slot.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fhirserver.diary.appointment import slots
from fhirserver.diary.appointment.booking import proposed
from fhirserver.errors import Forbidden, Invalid
from fhirserver.interaction.search import search
from fhirserver.model.dates import instant, interval, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context

    Json = dict[str, Any]

_LONGEST = timedelta(days=366)
_MOST = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `find` is asked for: a span of time, who or where (references or ids), what for (tokens
    `system|code`), and for whom."""

    start: str
    end: str
    actors: tuple[str, ...] = ()
    specialties: tuple[str, ...] = ()
    visit_types: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    patient: str = ""
    count: int = 20


async def find(ctx: Context, wanted: Wanted) -> list[Json]:
    """Proposed Appointments for the free slots that begin in the span, soonest first."""
    begin, end = _span(wanted)
    now = microseconds(ctx.clock())
    if end <= now:
        return []
    parameters = [
        ("status", "free"),
        ("start", f"ge{instant(max(begin, now))}"),
        ("start", f"lt{instant(end)}"),
        ("_include", "Slot:schedule"),
        ("_sort", "start"),
        ("_count", str(min(wanted.count, _MOST))),
    ]
    if wanted.actors:
        actors = (*wanted.actors, *await _roles_of(ctx, wanted.actors))
        parameters.append(("schedule.actor", ",".join(actors)))
    if wanted.schedules:
        parameters.append(("schedule", ",".join(wanted.schedules)))
    # What a slot does not say of itself, its agenda says for it.
    parameters += [("_filter", _either("specialty", (token,))) for token in wanted.specialties]
    if wanted.visit_types:
        parameters.append(("_filter", _either("service-type", wanted.visit_types)))
    result = await search(ctx, ("Slot",), parameters, strict=True)
    schedules = {(v.type, v.id): decode_stored(v.content or b"{}") for v in result.included}
    found = []
    for version in result.matches:
        slot = decode_stored(version.content or b"{}")
        if not await slots.taken_by(ctx, version.id):  # nobody tells who has it
            named = identity(slot.get("schedule"), ctx.local_bases)
            found.append(proposed(slot, named and schedules.get(named), wanted.patient))
    return found


async def _roles_of(ctx: Context, actors: Sequence[str]) -> list[str]:
    """The roles of practitioners, under which an agenda may be kept; none when the caller's reach
    does not go to them."""
    practitioners = [actor for actor in actors if actor.split("/")[-2:-1] == ["Practitioner"]]
    if not practitioners:
        return []
    parameters = [("practitioner", ",".join(practitioners)), ("_count", str(_MOST))]
    try:
        result = await search(ctx, ("PractitionerRole",), parameters, strict=True)
    except Forbidden:
        return []
    return [f"PractitionerRole/{version.id}" for version in result.matches]


def _either(name: str, tokens: Sequence[str]) -> str:
    """A filter: one of the tokens is said of the slot or, when it says none, of its schedule."""
    values = [json.dumps(token, ensure_ascii=False) for token in tokens]
    own, general = (
        " or ".join(f"{path} eq {value}" for value in values) for path in (name, f"schedule.{name}")
    )
    return f"({own}) or ({name} pr false and ({general}))"


def _span(wanted: Wanted) -> tuple[int, int]:
    bounds = []
    for name, text in (("start", wanted.start), ("end", wanted.end)):
        if not text:
            raise Invalid(f"The parameter {name} is needed.", code="required")
        try:
            bounds.append(interval(text))
        except ValueError:
            raise Invalid(f"{name} is not a dateTime: {text[:80]}") from None
    (begin, _), (_, end) = bounds
    if len(wanted.end) > 10:
        end = bounds[1][0]
    if end < begin:
        raise Invalid("end is before start.")
    if end - begin > _LONGEST // timedelta(microseconds=1):
        raise Invalid(f"At most {_LONGEST.days} days can be asked for at once.")
    return begin, end
