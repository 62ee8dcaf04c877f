"""$prevention-programme: the screening and check-ups of a stored Patient, as a CarePlan
(docs/screening.md). It reads the record through the caller's eyes."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from fhirserver.diary.screening.care_plan import programme_of
from fhirserver.diary.screening.record import of_record
from fhirserver.errors import Invalid, Issue, Unprocessable
from fhirserver.interaction.read import read
from fhirserver.model.json import decode_stored
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.operation.call import Call


async def prevention_programme(ctx: Context, call: Call) -> Resource:
    """Parameter `date`: the day to look at, today when not given."""
    assert call.type is not None
    assert call.id is not None
    on = ctx.clock().date()
    for name, value in given(call):
        if name != "date":
            raise Invalid(f"$prevention-programme has no parameter {name[:80]}.")
        try:
            on = date.fromisoformat(str(value))
        except ValueError as error:
            raise Invalid("The parameter date must be a whole date.", code="value") from error
    version = await read(ctx, call.type, call.id)
    patient = decode_stored(version.content or b"{}")
    try:
        return programme_of(patient, await of_record(ctx, call.id), on)
    except ValueError as error:
        issue = Issue("error", "required", "The Patient has no birthDate.", ("Patient.birthDate",))
        raise Unprocessable(issues=(issue,)) from error
