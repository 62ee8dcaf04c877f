"""Spaces opened and documents fed, by department of residence and month: numbers alone.

The numbers are kept beside the resources together with how far in the commits they have come, in
one value: whoever counts on, and however often, comes to the same. They outlive the erasure of a
space. Who is told sees no number below the smallest (`smallest_count`), so that nobody is
recognised by being the only one of their department and month.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from fhirserver.model import shipped
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity
from fhirserver.space.residence import department

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version

NAME = "space-statistics"
OPENED, FED = "spaces-opened", "documents-fed"
UNKNOWN = "unknown"
_SYSTEM = "http://fhirserver.example/CodeSystem/space-statistic"
_POPULATION = "http://terminology.hl7.org/CodeSystem/measure-population"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_COUNTED = frozenset({"Patient", "DocumentReference"})
_AT_ONCE = 2000  # versions between two notes of the numbers
_HOMES = 10_000  # departments remembered while counting


class Numbers(msgspec.Struct):
    """`place`: the last commit counted; `counts`: by statistic and `month department`."""

    place: int = 0
    counts: dict[str, dict[str, int]] = {}

    def add(self, statistic: str, month: str, home: str) -> None:
        counts = self.counts.setdefault(statistic, {})
        name = f"{month} {home or UNKNOWN}"
        counts[name] = counts.get(name, 0) + 1


def measure() -> Resource:
    body = shipped.read("terminology", "space", "Measure-space-statistics.json")
    found: Resource = msgspec.json.decode(body)
    return found


async def count_on(ctx: Context) -> Numbers:
    """The numbers up to now. `ctx`: the server's own."""
    state = await ctx.store.get_state(NAME)
    numbers = msgspec.json.decode(state, type=Numbers) if state else Numbers()
    begun = numbers.place
    homes: dict[str, str] = {}
    end = await ctx.store.settled()
    async for version in ctx.store.changes(numbers.place, _COUNTED):
        await _count(ctx, version, numbers, homes)
        numbers.place = version.seq
        if numbers.place - begun >= _AT_ONCE:
            await _keep(ctx, numbers)
            begun = numbers.place
    numbers.place = max(numbers.place, end)
    if numbers.place != begun:
        await _keep(ctx, numbers)
    return numbers


async def count_job(ctx: Context) -> None:
    await count_on(ctx)


async def _keep(ctx: Context, numbers: Numbers) -> None:
    await ctx.store.set_state(NAME, msgspec.json.encode(numbers))


async def _count(ctx: Context, version: Version, numbers: Numbers, homes: dict[str, str]) -> None:
    if version.content is None:
        return
    month = datetime.fromtimestamp(version.updated / 1_000_000, UTC).strftime("%Y-%m")
    if version.type == "Patient":
        resource = decode_stored(version.content)
        homes.pop(version.id, None)
        if resource.get("active") is True and not await _was_open(ctx, version):
            numbers.add(OPENED, month, department(resource))
    elif version.version == 1:
        subject = decode_stored(version.content).get("subject")
        patient = identity(subject, ctx.local_bases, "Patient")
        if patient is not None:
            numbers.add(FED, month, await _home(ctx, patient[1], homes))


async def _was_open(ctx: Context, version: Version) -> bool:
    if version.version == 1:
        return False
    before = await ctx.store.vread("Patient", version.id, version.version - 1)
    if before is None or before.content is None:
        return False
    return decode_stored(before.content).get("active") is True


async def _home(ctx: Context, patient: str, homes: dict[str, str]) -> str:
    if patient not in homes:
        if len(homes) >= _HOMES:
            homes.clear()
        version = await ctx.store.read("Patient", patient)
        content = version.content if version is not None else None
        homes[patient] = department(decode_stored(content)) if content is not None else ""
    return homes[patient]


def report(numbers: Numbers, start: str, end: str, smallest: int, now: datetime) -> Resource:
    """The MeasureReport of the months from `start` to `end` (YYYY-MM-DD)."""
    groups = []
    for statistic in (OPENED, FED):
        strata = [
            _stratum(name[:7], name[8:], count, smallest)
            for name, count in sorted(numbers.counts.get(statistic, {}).items())
            if start[:7] <= name[:7] <= end[:7]
        ]
        group: Resource = {"code": {"coding": [{"system": _SYSTEM, "code": statistic}]}}
        if strata:
            group["stratifier"] = [{"code": [{"text": "month, department"}], "stratum": strata}]
        groups.append(group)
    return {
        "resourceType": "MeasureReport",
        "status": "complete",
        "type": "summary",
        "measure": f"{measure()['url']}|{measure()['version']}",
        "date": instant(microseconds(now)),
        "period": {"start": start, "end": end},
        "group": groups,
    }


def _stratum(month: str, home: str, count: int, smallest: int) -> Resource:
    population: Resource = {
        "code": {"coding": [{"system": _POPULATION, "code": "initial-population"}]}
    }
    if count < smallest:
        population["_count"] = {"extension": [{"url": _ABSENT, "valueCode": "masked"}]}
    else:
        population["count"] = count
    return {
        "component": [
            {"code": {"text": "month"}, "value": {"text": month}},
            {"code": {"text": "department"}, "value": {"text": home}},
        ],
        "population": [population],
    }
