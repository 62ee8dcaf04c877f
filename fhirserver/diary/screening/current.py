"""Keeps the CarePlan of each space current (docs/screening.md): after what can close an item, and
after what tells who the person is."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from fhirserver.diary.days import look_at_days
from fhirserver.diary.holding import holds
from fhirserver.diary.immunization.current import patients_told
from fhirserver.diary.immunization.person import observation_codes
from fhirserver.diary.kept import bring_current, guard, keep, patients_of
from fhirserver.diary.labelled import computed
from fhirserver.diary.screening.care_plan import PLAN_IDENTIFIER, programme_of
from fhirserver.diary.screening.events import TYPES
from fhirserver.diary.screening.programme import programme
from fhirserver.diary.screening.record import of_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Draft, Resource
    from fhirserver.model.version import Version

FOLLOWED = frozenset({*TYPES, "Condition", "Patient"})


async def refresh(ctx: Context, patient: str) -> Version | None:
    """Bring the stored CarePlan of a patient up to date; the version that holds now."""

    async def make(server: Context, resource: Resource) -> Resource | None:
        record = await of_record(server, patient)
        today = server.clock().date()
        try:
            return computed(record, lambda held: programme_of(resource, held, today), "activity")
        except ValueError:  # no birth date that can be read
            return None

    return await keep(ctx, patient, "CarePlan", PLAN_IDENTIFIER, make)


class ScreeningBehaviour:
    """Refreshes after the commit, before the caller has the answer."""

    types = FOLLOWED | {"CarePlan"}

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        await guard(drafts, ctx, "CarePlan", PLAN_IDENTIFIER)
        return drafts

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        await bring_current(ctx, await _concerned(ctx, versions), refresh)


async def step(ctx: Context, version: Version) -> None:
    """What a follower of commits does with one version."""
    for patient in sorted(await _concerned(ctx, [version])):
        await refresh(ctx, patient)


async def look_at_new_days(ctx: Context) -> None:
    ends = (("activity-date", "low"), ("activity-date", "high"))
    await look_at_days(ctx, "diary-screening", "CarePlan", ends, "subject", refresh)


async def _concerned(ctx: Context, versions: Sequence[Version]) -> set[str]:
    found = await patients_told(ctx, versions)
    return found | await patients_of(ctx, [v for v in versions if _looked_at(v)], "subject")


def _looked_at(version: Version) -> bool:
    """Whether the programme may read a version: most are passed over without being parsed."""
    if version.type == "Condition" or version.content is None:
        return version.type in FOLLOWED and version.type != "Patient"
    if version.type not in TYPES:
        return False
    return holds(version.content, _codes())


@cache
def _codes() -> frozenset[bytes]:
    return programme().codes | {code.encode() for code in observation_codes()}
