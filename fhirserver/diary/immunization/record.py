"""What vaccination reads of a person's record, through the eyes of whoever asks."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.access.every import every
from fhirserver.diary.immunization.person import indications, observation_codes
from fhirserver.errors import Forbidden, TooCostly
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.search.expression import Expression

    Json = dict[str, Any]

_PAGE = 500
_MOST = 10_000  # far more than a life has


async def of_record(ctx: Context, patient: str) -> tuple[list[Json], list[Json]]:
    """Immunizations; and Conditions, allergies and the Observations that can change a forecast.

    Without the vaccinations there is none, so they must be within reach; the rest is read as far as
    the caller is authorised to."""
    ctx.store.demand("s", "Immunization")
    types = ("Immunization", "Condition", "AllergyIntolerance")
    found = await resources_of(ctx, types, of_patient(patient))
    codes = token("code", *observation_codes(), *indications())
    with suppress(Forbidden):
        found += await resources_of(ctx, ("Observation",), all_of(of_patient(patient), codes))
    given = [one for one in found if one["resourceType"] == "Immunization"]
    return given, [one for one in found if one["resourceType"] != "Immunization"]


def of_patient(patient: str) -> Expression:
    return refers("patient", (("Patient", patient),))


async def resources_of(ctx: Context, types: tuple[str, ...], where: Expression) -> list[Json]:
    """Every resource of the types that is selected, as far as the caller may see."""
    query = Query(types, where, count=_PAGE)
    found: list[Json] = []
    async for version in every(ctx.store, query):
        if len(found) >= _MOST:
            raise TooCostly(f"The record has more than {_MOST} resources to look at.")
        found.append(decode_stored(version.content or b"{}"))
    return found
