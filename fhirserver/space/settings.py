"""What the operator sets of the space; `app` fills it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirserver.space.phases import Phases, french, shipped_phases


@dataclass(frozen=True, slots=True)
class SpaceSettings:
    """`phases`: from when spaces are opened where; `objection_weeks`: how long one may object;
    `kept_years`: how long a closed space is kept; `seconds`: how often jobs look for work."""

    phases: Phases = field(default_factory=french)
    objection_weeks: int = field(default_factory=lambda: shipped_phases().objection_weeks)
    kept_years: int = field(default_factory=lambda: shipped_phases().kept_years)
    seconds: float = 60.0
