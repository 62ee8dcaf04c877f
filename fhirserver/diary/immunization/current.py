"""Keeps the ImmunizationRecommendation of each space current (docs/vaccination.md).

A space has one when its Patient bears a national health identity (INS): the calendar is that of
France. It follows every Immunization, and what else changes it: the Patient's birth date, sex,
address and death, Conditions, allergies, and the Observations the calendar looks at.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fhirserver.diary.days import look_at_days
from fhirserver.diary.holding import holds
from fhirserver.diary.immunization.assess import assess
from fhirserver.diary.immunization.codes import (
    INDICATION,
    RECOMMENDATION_IDENTIFIER,
)
from fhirserver.diary.immunization.person import observation_codes
from fhirserver.diary.immunization.recommendation import kept, recommendation
from fhirserver.diary.immunization.record import of_record
from fhirserver.diary.kept import (
    bring_current,
    guard,
    has_national_identity,
    keep,
    patients_of,
)
from fhirserver.diary.labelled import computed
from fhirserver.model.json import decode_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.diary.immunization.calendar import Settings
    from fhirserver.interaction.context import Context, Draft, Resource
    from fhirserver.model.version import Version

_TYPE = "ImmunizationRecommendation"
FOLLOWED = frozenset({"Immunization", "Patient", "Condition", "AllergyIntolerance", "Observation"})
_TELLING = ("birthDate", "gender", "address", "deceasedBoolean", "deceasedDateTime", "identifier")


async def refresh(ctx: Context, patient: str) -> Version | None:
    """Bring the stored recommendation of a patient up to date; the version that holds now, None
    when there is none (not a national health identity, no birth date)."""

    async def make(server: Context, resource: Resource) -> Resource | None:
        given, others = await of_record(server, patient)
        today, settings = server.clock().date(), settings_of(ctx)

        def forecast(record: Sequence[Resource]) -> Resource:
            doses = [one for one in record if one["resourceType"] == "Immunization"]
            more = [one for one in record if one["resourceType"] != "Immunization"]
            return recommendation(kept(assess(resource, doses, more, today, settings)), resource)

        try:
            return computed([*given, *others], forecast, "recommendation")
        except ValueError:  # no birth date that can be read
            return None

    return await keep(ctx, patient, _TYPE, RECOMMENDATION_IDENTIFIER, make)


class VaccinationBehaviour:
    """Refreshes after the commit, before the caller has the answer. `settings`: the choices that
    the calendar leaves open."""

    types = FOLLOWED | {_TYPE}

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        await guard(drafts, ctx, _TYPE, RECOMMENDATION_IDENTIFIER)
        return drafts

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        await bring_current(ctx, await _concerned(ctx, versions), refresh)


def settings_of(ctx: Context) -> Settings | None:
    """The choices this server has made."""
    return next((b.settings for b in ctx.behaviours if isinstance(b, VaccinationBehaviour)), None)


async def step(ctx: Context, version: Version) -> None:
    """What a follower of commits does with one version."""
    for patient in sorted(await _concerned(ctx, [version])):
        await refresh(ctx, patient)


async def look_at_new_days(ctx: Context) -> None:
    await look_at_days(ctx, "diary-vaccination", _TYPE, (("turning", "low"),), "patient", refresh)


async def _concerned(ctx: Context, versions: Sequence[Version]) -> set[str]:
    """The patients whose recommendation may have changed."""
    by_patient = [v for v in versions if v.type in ("Immunization", "AllergyIntolerance")]
    by_subject = [v for v in versions if v.type == "Condition" or _looked_at(v)]
    found = await patients_of(ctx, by_patient, "patient")
    found |= await patients_of(ctx, by_subject, "subject")
    return found | await patients_told(ctx, versions)


async def patients_told(ctx: Context, versions: Sequence[Version]) -> set[str]:
    """The Patients of whom something new is told that the diary reads."""
    return {
        version.id
        for version in versions
        if version.type == "Patient" and await _told_something(ctx, version)
    }


def _looked_at(version: Version) -> bool:
    if version.type != "Observation":
        return False
    return holds(version.content or b"", _codes())


@cache
def _codes() -> frozenset[bytes]:
    """What stands in an Observation that is read."""
    return frozenset(text.encode() for text in (INDICATION, *observation_codes()))


async def _told_something(ctx: Context, version: Version) -> bool:
    """Whether a Patient's new version differs in what the calendar reads. A new Patient has
    nothing to follow yet, unless given a national identity, which opens the calendar."""
    if version.content is None:
        return False
    now: dict[str, Any] = decode_stored(version.content)
    if not has_national_identity(now):
        return False
    if version.version == 1:
        return True
    before = await ctx.as_server.store.vread("Patient", version.id, version.version - 1)
    was = decode_stored(before.content) if before is not None and before.content else {}
    return any(was.get(name) != now.get(name) for name in _TELLING)
