"""What the programme reads of a person's record, through the eyes of whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, any_of, token
from fhirserver.diary.immunization.person import indications, observation_codes
from fhirserver.diary.immunization.record import of_patient, resources_of
from fhirserver.diary.screening.events import TYPES
from fhirserver.diary.screening.programme import programme

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context

_NEEDED = ("Condition", "Observation", "Procedure", "DiagnosticReport")


async def of_record(ctx: Context, patient: str) -> list[dict[str, Any]]:
    """Conditions, and what has one of the codes or forms the programme knows.

    Where most examinations are must be within reach: else it would ask for what was done."""
    for type in _NEEDED:
        ctx.store.demand("s", type)
    rules = programme()
    tests = sorted({code for _, code in rules.tests})
    instead = sorted({code for item in rules.items for _, code in item.instead})
    coded = any_of(
        token("code", *tests, *instead, *observation_codes(), *indications()),
        token("type", *tests),
        token("format", *sorted(rules.formats)),
    )
    found = await resources_of(ctx, ("Condition",), of_patient(patient))
    return found + await resources_of(ctx, TYPES, all_of(of_patient(patient), coded))
