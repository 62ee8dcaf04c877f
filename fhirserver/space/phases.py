"""From when spaces are opened where: pilot departments first, then everywhere.

terminology/space/opening-phases.json has the French roll-out with its sources; the setting
`opening_phases` replaces it (`31:2026-01-01,*:2027-01-01`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from fhirserver.model import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EVERYWHERE = "*"
_PHASE = re.compile(r"(\*|\d[0-9AB]|9[78]\d):(\d{4}-\d\d-\d\d)", re.ASCII)


class _Phase(msgspec.Struct, frozen=True):
    department: str
    name: str
    from_: date = msgspec.field(name="from")


class _Phases(msgspec.Struct, frozen=True):
    version: str
    date: str
    source: str
    objection_weeks: int
    kept_years: int
    phases: tuple[_Phase, ...]


@dataclass(frozen=True, slots=True)
class Phases:
    """`since`: by department, and `*` for the rest."""

    since: Mapping[str, date] = field(default_factory=dict)

    def open_since(self, department: str) -> date | None:
        """The day from which residents get a space; None when no phase is for them."""
        days = [self.since[each] for each in (department, EVERYWHERE) if each in self.since]
        return min(days, default=None)

    def closed_reason(self, department: str, today: date) -> str:
        """Why residents get no space today; empty when they do."""
        since = self.open_since(department)
        if since is not None and since <= today:
            return ""
        place = f"department {department}" if department else "an unknown department"
        if since is None:
            return f"No space is opened for residents of {place}: no phase is for it."
        text = f"No space is opened for residents of {place} before {since.isoformat()}"
        now = sorted(d for d, day in self.since.items() if day <= today and d != EVERYWHERE)
        return f"{text}; the pilot phase is for {', '.join(now) or 'none yet'}."


@cache
def shipped_phases() -> _Phases:
    return msgspec.json.decode(
        shipped.read("terminology", "space", "opening-phases.json"), type=_Phases
    )


def french() -> Phases:
    return Phases({each.department: each.from_ for each in shipped_phases().phases})


def parse(texts: Iterable[str]) -> Phases:
    """Phases from `department:date` texts. Raises ValueError."""
    since = {}
    for text in texts:
        match = _PHASE.fullmatch(text)
        if match is None:
            raise ValueError(f"'{text[:40]}' is not department:YYYY-MM-DD (or *:YYYY-MM-DD)")
        since[match[1]] = date.fromisoformat(match[2])
    return Phases(since)
