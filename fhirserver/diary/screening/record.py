"""What the programme reads of a person's record, through the eyes of whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, any_of, token
from fhirserver.diary.immunization.person import indications, observation_codes
from fhirserver.diary.immunization.record import of_patient, resources_of
from fhirserver.diary.screening.programme import programme

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context


async def of_record(ctx: Context, patient: str) -> list[dict[str, Any]]:
    """Conditions, Procedures, and what has one of the codes or forms the programme knows."""
    rules = programme()
    codes = tuple(sorted({code for _, code in rules.tests}))
    looked_at = (*codes, *observation_codes(), *indications())
    wanted = {
        "Condition": None,
        "Procedure": None,
        "Observation": token("code", *looked_at),
        "DiagnosticReport": token("code", *codes),
        "DocumentReference": any_of(token("type", *codes), token("format", *sorted(rules.formats))),
        "Composition": token("type", *codes),
        "Encounter": token("type", *codes),
    }
    found = []
    for type, where in wanted.items():
        selected = of_patient(patient) if where is None else all_of(of_patient(patient), where)
        found += [resource async for resource in resources_of(ctx, type, selected)]
    return found
