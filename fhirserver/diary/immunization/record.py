"""What vaccination reads of a person's record, through the eyes of whoever asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.diary.immunization.person import indications, observation_codes
from fhirserver.errors import TooCostly
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fhirserver.interaction.context import Context
    from fhirserver.search.expression import Expression

_PAGE = 200
_MOST = 5000  # resources of one type; far more than a life has


async def immunizations(ctx: Context, patient: str) -> list[dict[str, Any]]:
    return [found async for found in resources_of(ctx, "Immunization", of_patient(patient))]


async def circumstances(ctx: Context, patient: str) -> list[dict[str, Any]]:
    """Conditions, allergies, and the Observations that can change a forecast."""
    found = [c async for c in resources_of(ctx, "Condition", of_patient(patient))]
    found += [a async for a in resources_of(ctx, "AllergyIntolerance", of_patient(patient))]
    where = all_of(of_patient(patient), token("code", *observation_codes(), *indications()))
    found += [o async for o in resources_of(ctx, "Observation", where)]
    return found


def of_patient(patient: str) -> Expression:
    return refers("patient", (("Patient", patient),))


async def resources_of(ctx: Context, type: str, where: Expression) -> AsyncIterator[dict[str, Any]]:
    """Every resource of a type that is selected, as far as the caller may see."""
    query = Query((type,), where, count=_PAGE)
    seen = 0
    while True:
        page = await ctx.store.search(query)
        for version in page.versions:
            yield decode_stored(version.content or b"{}")
        seen += len(page.versions)
        if page.next is None:
            return
        if seen >= _MOST:
            raise TooCostly(f"The record has more than {_MOST} resources of type {type}.")
        query = replace(query, after=page.next)
