"""The appointments of a citizen as a calendar that other programs subscribe to (RFC 5545,
https://www.rfc-editor.org/rfc/rfc5545), at a private address that can be withdrawn.

Whoever has the address sees the calendar, so it is a secret like a token: the server keeps its
hash alone, in a Basic of the citizen's space. Withdrawing deletes that. An address given to a
representative shows what a representative may see, and only as long as they are one: the Basic says
who asked (`author`).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Caller, Role
from fhirserver.access.every import every
from fhirserver.diary.space import holder_of_open_space
from fhirserver.interaction.context import Draft
from fhirserver.interaction.write import attempts, commit
from fhirserver.model.dates import instant, interval, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.version import ABSENT
from fhirserver.search.parse import criteria

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

_KIND = {"system": "http://fhirserver.example/CodeSystem/diary", "code": "calendar-feed"}
_SECRET = "http://fhirserver.example/sid/calendar-feed-sha256"
#: How far back a calendar goes.
PAST = timedelta(days=60)
_MOST = 2_000
_PAGE = 500

_STATUS = {
    "pending": "TENTATIVE",
    "booked": "CONFIRMED",
    "arrived": "CONFIRMED",
    "checked-in": "CONFIRMED",
    "fulfilled": "CONFIRMED",
    "cancelled": "CANCELLED",
}


async def open_feed(ctx: Context, patient: str) -> str:
    """A new secret for the calendar of a patient; addresses given before stay good."""
    secret = secrets.token_urlsafe(32)
    resource = {
        "resourceType": "Basic",
        "identifier": [{"system": _SECRET, "value": _hash(secret)}],
        "code": {"coding": [_KIND]},
        "subject": {"reference": f"Patient/{patient}"},
        "created": f"{ctx.clock():%Y-%m-%d}",
    }
    if ctx.caller.role is Role.PROXY:
        resource["author"] = {"reference": ctx.caller.fhir_user}
    await commit(ctx, [Draft("POST", "Basic", ctx.new_id(), resource, ABSENT, server=True)])
    return secret


async def close_feeds(ctx: Context, patient: str) -> int:
    """Withdraw every address of a patient's calendar; how many there were."""
    text = f"code={_KIND['system']}|{_KIND['code']}&subject=Patient/{patient}"
    found = await _selected(ctx.as_server, "Basic", text)
    for version in found:

        async def attempt(id: str = version.id) -> None:
            current = await ctx.as_server.store.read("Basic", id)
            if current is not None and not current.deleted:
                draft = Draft("DELETE", "Basic", id, None, current.version, server=True)
                await commit(ctx, [draft])

        await attempts(ctx, attempt)
    return len(found)


async def reader_of_feed(ctx: Context, secret: str) -> Caller | None:
    """Whose calendar a secret opens, and as whom; None when it opens none, or no longer."""
    if not 20 <= len(secret) <= 100:
        return None
    found = await _selected(ctx.as_server, "Basic", f"identifier={_SECRET}|{_hash(secret)}")
    if len(found) != 1:
        return None
    feed = decode_stored(found[0].content or b"{}")
    patient = feed.get("subject", {}).get("reference", "").removeprefix("Patient/")
    if await holder_of_open_space(ctx, patient) is None:
        return None
    author = feed.get("author", {}).get("reference", "")
    return Caller(
        Role.PROXY if author else Role.CITIZEN,
        client="calendar",
        fhir_user=author or f"Patient/{patient}",
        patient=patient,
        scopes=("patient/Patient.r", "patient/Appointment.rs"),
    )


async def appointments(ctx: Context, patient: str) -> list[Version]:
    """The appointments of a patient that the caller may see, from `PAST` ago on."""
    since = instant(microseconds(ctx.clock() - PAST))
    statuses = ",".join(_STATUS)
    text = f"patient=Patient/{patient}&status={statuses}&date=ge{since}"
    return await _selected(ctx, "Appointment", text)


def written(versions: Sequence[Version], host: str) -> bytes:
    """The calendar as text/calendar. `host`: makes the events' identities those of this server."""
    from icalendar import Calendar, Event, vText  # not needed to start the server

    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//fhirserver//diary//FR")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", vText("Mon espace santé"))
    calendar.add("refresh-interval", vText("PT1H"), parameters={"VALUE": "DURATION"})
    for version in versions:
        resource = decode_stored(version.content or b"{}")
        start = resource.get("start")
        if not isinstance(start, str):
            continue
        event = Event()
        event.add("uid", f"{version.id}@{host}")
        event.add("dtstamp", _moment(version.updated))
        event.add("last-modified", _moment(version.updated))
        event.add("sequence", version.version)
        event.add("dtstart", _moment(interval(start)[0]))
        if isinstance(resource.get("end"), str):
            event.add("dtend", _moment(interval(resource["end"])[0]))
        elif isinstance(minutes := resource.get("minutesDuration"), int):
            event.add("duration", timedelta(minutes=minutes))
        event.add("status", _STATUS[str(resource.get("status"))])
        event.add("summary", _summary(resource))
        event.add("class", "PRIVATE")
        if location := _named(resource, "Location"):
            event.add("location", location)
        notes = [resource.get("description"), resource.get("patientInstruction")]
        if text := "\n".join(note for note in notes if isinstance(note, str)):
            event.add("description", text)
        calendar.add_component(event)
    made: bytes = calendar.to_ical()
    return made


def _summary(resource: dict[str, Any]) -> str:
    who = _named(resource, "Practitioner", "PractitionerRole", "HealthcareService", "Organization")
    return f"Rendez-vous : {who}" if who else "Rendez-vous"


def _named(resource: dict[str, Any], *types: str) -> str:
    names = []
    for participant in resource.get("participant", []):
        actor = participant.get("actor", {})
        if str(actor.get("reference", "")).split("/")[-2:-1] in [[type] for type in types]:
            names.append(str(actor.get("display") or ""))
    return ", ".join(dict.fromkeys(name for name in names if name))


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def _selected(ctx: Context, type: str, text: str) -> list[Version]:
    query = replace(criteria(ctx.registry, type, text, now=ctx.clock()), count=_PAGE)
    found: list[Version] = []
    async for version in every(ctx.store, query):
        found.append(version)
        if len(found) >= _MOST:
            break
    return found
