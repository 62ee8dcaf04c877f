"""The place of an app in the catalogue, as it is stored on its Device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision import listing
from fhirserver.catalogue.rules import rules
from fhirserver.model.dates import instant, interval, microseconds
from fhirserver.model.extensions import extensions, value, with_extensions

if TYPE_CHECKING:
    from datetime import datetime

    Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Referencing:
    """`since`: when the status was reached. `start`, `end`: the time it is referenced for; set
    at the first listing. `due`: it ends soon, so a renewal should be asked for."""

    status: str
    reason: str = ""
    since: str = ""
    start: str = ""
    end: str = ""
    due: bool = False

    def covers(self, now: datetime) -> bool:
        return bool(self.end) and self.start <= text(now) < self.end


def referencing_of(device: Json) -> Referencing:
    (placed, *_) = extensions(device, listing.REFERENCING)
    valid = value(placed, "period", "valuePeriod") or {}
    return Referencing(
        status=str(value(placed, "status", "valueCode") or ""),
        reason=str(value(placed, "reason", "valueString") or "").strip(),
        since=str(value(placed, "since", "valueDateTime") or ""),
        start=str(valid.get("start", "")),
        end=str(valid.get("end", "")),
        due=value(placed, "renewalDue", "valueBoolean") is True,
    )


def element(place: Referencing) -> Json:
    parts: list[Json] = [{"url": "status", "valueCode": place.status}]
    if place.reason:
        parts.append({"url": "reason", "valueString": place.reason})
    if place.since:
        parts.append({"url": "since", "valueDateTime": place.since})
    if place.start or place.end:
        valid = {"start": place.start, "end": place.end}
        parts.append({"url": "period", "valuePeriod": {k: v for k, v in valid.items() if v}})
    if place.due:
        parts.append({"url": "renewalDue", "valueBoolean": True})
    return {"url": listing.REFERENCING, "extension": parts}


def placed(device: Json, place: Referencing, convention: Json | None) -> Json:
    """The Device with its place written into it. Its status follows: active while listed."""
    status = "active" if place.status == listing.LISTED else "inactive"
    ours = [element(place)] if convention is None else [element(place), convention]
    urls = (listing.REFERENCING, listing.CONVENTION)
    return with_extensions({**device, "status": status}, urls, ours)


def text(moment: datetime) -> str:
    """A dateTime in UTC; texts of this form compare as the times do."""
    return instant(microseconds(moment))


def first_period(now: datetime) -> tuple[str, str]:
    return text(now), text(years_after(now, rules().validity.first_years))


def years_after(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:  # 29 February
        return moment.replace(year=moment.year + years, month=3, day=1)


def instant_of(text: str) -> int | None:
    try:
        return interval(text)[0]
    except ValueError:
        return None
