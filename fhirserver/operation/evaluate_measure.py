"""$evaluate-measure (https://hl7.org/fhir/R4/measure-operation-evaluate-measure.html) of the one
measure this server has: spaces opened and documents fed, by department and month.

`GET Measure/space-statistics/$evaluate-measure?periodStart=…&periodEnd=…`, or on the type with
`measure` (its canonical URL). For operators and backend services; the numbers hold no personal data
and none below the setting `smallest_count` (docs/space.md).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.errors import Forbidden, Invalid, NotFound
from fhirserver.operation.parameters import given
from fhirserver.space.statistics import NAME, count_on, measure, report

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.operation.call import Call

_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])(-\d\d)?", re.ASCII)
_ALLOWED = frozenset({Role.OPERATOR, Role.SYSTEM, Role.OPEN})


async def evaluate_measure(ctx: Context, call: Call) -> Resource:
    if ctx.caller.role not in _ALLOWED:
        raise Forbidden("Statistics are for operators and backend services.")
    ctx.store.demand("r", "Measure")
    asked: dict[str, str] = {}
    for name, value in given(call):
        if name not in ("periodStart", "periodEnd", "measure", "reportType"):
            raise Invalid(f"$evaluate-measure has no parameter {name[:80]} here.")
        asked[name] = str(value)
    if call.id is None and asked.get("measure", "").partition("|")[0] != measure()["url"]:
        raise NotFound(f"The measure this server has is {measure()['url']}.")
    if call.id is not None and call.id != NAME:
        raise NotFound(f"Measure/{call.id[:64]} is not one this server evaluates.")
    if asked.get("reportType", "summary") not in ("summary", "population"):
        raise Invalid("There is no report of single persons: reportType is summary.", code="value")
    for name in ("periodStart", "periodEnd"):
        if not _DATE.fullmatch(asked.get(name, "")):
            raise Invalid(f"{name} is a date: YYYY-MM or YYYY-MM-DD.", code="value")
    start, end = asked["periodStart"], asked["periodEnd"]
    if start > end:
        raise Invalid("periodStart is after periodEnd.", code="value")
    numbers = await count_on(ctx.as_server)
    return report(numbers, start, end, ctx.limits.smallest_count, ctx.clock())
