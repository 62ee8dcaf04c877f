"""Reminders to the citizen: the day before an appointment, and when a vaccination or a preventive
examination is due.

Each is a notice (`access/notice`): a Communication in the space, and an e-mail where mail is set
up. Its id follows from what it reminds of, so it is given once, whichever process gives it and
however often it is looked at. An appointment that is moved is reminded of anew.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fhirserver.access.every import every
from fhirserver.access.notice.notice import (
    APPOINTMENT,
    PREVENTION,
    VACCINATION,
    Notice,
    notice_id,
)
from fhirserver.diary.labelled import is_secret
from fhirserver.diary.screening.care_plan import ITEM, PLAN_IDENTIFIER
from fhirserver.diary.space import holder_of_open_space
from fhirserver.interaction.service import Job, follow
from fhirserver.model.dates import instant, interval, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity
from fhirserver.search.parse import criteria

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from fhirserver.access.notice.notifier import Notifier
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

SECONDS = 20.0
BEFORE = timedelta(days=1)
#: An overdue dose is not reminded of when it has been so for longer.
LATEST = timedelta(days=366)

_TYPES = frozenset({"Appointment", "ImmunizationRecommendation", "CarePlan"})
_LOOKED_TO = "diary-reminders-until"  # appointments that start before it have been looked at
_LOOKED_ON = "diary-reminders-day"  # doses recommended up to this day too
#: Forecasts that ask the citizen for something.
_ASKING = frozenset({"due", "overdue"})
_RECOMMENDED = "30980-7"  # LOINC


def reminding(notifier: Notifier) -> Job:
    async def step(ctx: Context, version: Version) -> None:
        notices = notices_of(ctx, version)
        # What a later version says comes with that one.
        if notices and await _is_current(ctx, version):
            mailed: set[str] = set()  # what comes up together is one e-mail
            for notice in notices:
                if await _has_open_space(ctx, notice.patient):
                    by_mail = notice.patient not in mailed
                    if await notifier.tell(notice, by_mail=by_mail):
                        mailed.add(notice.patient)

    async def run(ctx: Context) -> None:
        # What was written since, then what has come near as time went on.
        await follow(ctx, "diary-reminders", _TYPES, step)
        now = ctx.clock()
        await _appointments(ctx, now, step)
        await _doses(ctx, now, step)
        await notifier.retry()

    return Job("diary-reminders", SECONDS, run)


def notices_of(ctx: Context, version: Version) -> list[Notice]:
    """What is to be reminded of now because of this resource."""
    if version.content is None:
        return []
    resource = decode_stored(version.content)
    now = ctx.clock()
    if version.type == "Appointment":
        return _of_appointment(ctx, version.id, resource, now)
    if version.type == "CarePlan":
        return _of_programme(ctx, version.id, resource, now)
    return _of_recommendation(ctx, version.id, resource, now)


def _of_appointment(ctx: Context, id: str, resource: dict[str, Any], now: datetime) -> list[Notice]:
    start = resource.get("start")
    if resource.get("status") != "booked" or not isinstance(start, str) or is_secret(resource):
        return []
    begins = interval(start)[0]
    if not microseconds(now) < begins <= microseconds(now + BEFORE):
        return []
    found = []
    for participant in resource.get("participant", []):
        patient = _patient(ctx, participant.get("actor"))
        if patient and participant.get("status") != "declined":
            reason = (id, str(begins))
            found.append(_notice(patient, APPOINTMENT, reason, now, f"Appointment/{id}"))
    return found


def _of_recommendation(
    ctx: Context, id: str, resource: dict[str, Any], now: datetime
) -> list[Notice]:
    """One notice for all doses that have become due by now, and one more when further do."""
    patient = _patient(ctx, resource.get("patient"))
    due = [day for day in _due(resource) if day <= f"{now:%Y-%m-%d}"]
    oldest = f"{now - LATEST:%Y-%m-%d}"
    if not patient or not due or max(due) < oldest or is_secret(resource):
        return []
    about = f"ImmunizationRecommendation/{id}"
    return [_notice(patient, VACCINATION, (max(due),), now, about)]


def _of_programme(ctx: Context, id: str, resource: dict[str, Any], now: datetime) -> list[Notice]:
    """One for each window that is open: a new day, which opens one, makes a new version."""
    patient = _patient(ctx, resource.get("subject"))
    systems = {one.get("system") for one in resource.get("identifier", [])}
    if not patient or PLAN_IDENTIFIER not in systems or is_secret(resource):
        return []
    found = []
    for activity in resource.get("activity", []):
        detail = activity["detail"]
        if "due" in _own_codes(detail["statusReason"]):
            window = (*_own_codes(detail["code"]), detail["scheduledPeriod"]["start"])
            found.append(_notice(patient, PREVENTION, window, now, f"CarePlan/{id}"))
    return found


def _own_codes(concept: dict[str, Any]) -> tuple[str, ...]:
    return tuple(one["code"] for one in concept["coding"] if one["system"] == ITEM)


def _due(resource: dict[str, Any]) -> list[str]:
    """The days on which the doses that are asked for are recommended."""
    found = []
    for one in resource.get("recommendation", []):
        codings = one.get("forecastStatus", {}).get("coding", [])
        if not _ASKING.intersection(str(coding.get("code")) for coding in codings):
            continue
        for criterion in one.get("dateCriterion", []):
            codes = [coding.get("code") for coding in criterion.get("code", {}).get("coding", [])]
            if _RECOMMENDED in codes and isinstance(criterion.get("value"), str):
                found.append(criterion["value"][:10])
    return found


def _notice(patient: str, kind: str, reason: tuple[str, ...], now: datetime, about: str) -> Notice:
    return Notice(notice_id(patient, kind, *reason), kind, patient, microseconds(now), about)


def _patient(ctx: Context, reference: Any) -> str:
    return (identity(reference, ctx.local_bases, "Patient") or ("", ""))[1]


async def _is_current(ctx: Context, version: Version) -> bool:
    now = await ctx.store.read(version.type, version.id)
    return now is not None and now.version == version.version


async def _has_open_space(ctx: Context, patient: str) -> bool:
    holder = await holder_of_open_space(ctx, patient)
    if holder is None:
        return False
    return holder.get("deceasedBoolean") is not True and "deceasedDateTime" not in holder


async def _appointments(ctx: Context, now: datetime, step: Any) -> None:
    """Those that have come within a day since the last look."""
    until = instant(microseconds(now + BEFORE))
    looked = (await ctx.store.get_state(_LOOKED_TO) or b"").decode()
    since = looked if looked else instant(microseconds(now))
    if since < until:
        query = f"status=booked&date=ge{since}&date=lt{until}"
        async for version in _selected(ctx, "Appointment", query, now):
            await step(ctx, version)
        await ctx.store.set_state(_LOOKED_TO, until.encode())


async def _doses(ctx: Context, now: datetime, step: Any) -> None:
    """Once a day, those that have become due since the last look."""
    today = f"{now:%Y-%m-%d}"
    looked = (await ctx.store.get_state(_LOOKED_ON) or b"").decode()
    since = looked if looked else f"{now - LATEST:%Y-%m-%d}"
    if since < today:
        query = f"recommended=ge{since}&recommended=le{today}"
        async for version in _selected(ctx, "ImmunizationRecommendation", query, now):
            await step(ctx, version)
        await ctx.store.set_state(_LOOKED_ON, today.encode())


def _selected(ctx: Context, type: str, text: str, now: datetime) -> AsyncIterator[Version]:
    return every(ctx.store, replace(criteria(ctx.registry, type, text, now=now), count=500))
