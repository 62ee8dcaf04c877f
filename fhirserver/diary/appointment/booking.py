"""Holding a free slot for a while, booking it: [ITI-116] and [ITI-117] of IHE Scheduling
(https://profiles.ihe.net/ITI/Scheduling/index.html).

`hold` stores what was proposed (`finding.py`) as pending, for `HOLD` and no longer; `book` makes it
booked, held before or not. Of many who hold or book one slot at the same moment, one gets it
(`behaviour.py`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.diary.appointment import slots
from fhirserver.diary.appointment.behaviour import taken_already
from fhirserver.errors import Conflict, Invalid, Issue, NotFound, Unprocessable
from fhirserver.interaction.create import create
from fhirserver.interaction.read import read
from fhirserver.interaction.update import update
from fhirserver.model.dates import instant, interval, microseconds
from fhirserver.model.extensions import with_extensions
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

    Json = dict[str, Any]

HELD_UNTIL = "http://fhirserver.example/StructureDefinition/appointment-held-until"
HOLD = timedelta(minutes=10)
_FROM_SLOT = ("serviceCategory", "serviceType", "specialty")


async def hold(ctx: Context, reference: str, patient: str) -> Version:
    """Keep a proposed Appointment for somebody; a held one is kept for as long again."""
    held = await _known(ctx, reference)
    if held is None:
        return await _stored(ctx, await _slot(ctx, reference), patient, "pending")
    resource = decode_stored(held.content or b"{}")
    if resource.get("status") not in ("proposed", "pending"):
        raise Conflict(f"{reference} is {resource.get('status')}; it cannot be held.")
    changed = _until(ctx, {**resource, "status": "pending"})
    return (await update(ctx, "Appointment", held.id, changed, if_match=held.version)).version


async def book(ctx: Context, reference: str, given: Json | None, patient: str) -> Version:
    """Book what `reference` names (proposed, held, or a stored request), or the Appointment given.

    Raises Conflict when the slot is somebody else's by now.
    """
    if given is not None:
        return await _book_given(ctx, given, patient)
    known = await _known(ctx, reference)
    if known is None:
        return await _stored(ctx, await _slot(ctx, reference), patient, "booked")
    resource = decode_stored(known.content or b"{}")
    if resource.get("status") not in ("proposed", "pending", "waitlist"):
        raise Conflict(f"{reference} is {resource.get('status')}; it cannot be booked.")
    changed = _accepted(released({**resource, "status": "booked"}))
    return (await update(ctx, "Appointment", known.id, changed, if_match=known.version)).version


async def _book_given(ctx: Context, given: Json, patient: str) -> Version:
    if given.get("resourceType") != "Appointment":
        raise Invalid("appointment-resource must be an Appointment.")
    id = given.get("id")
    stored = await _known(ctx, f"Appointment/{id}") if isinstance(id, str) else None
    status = given.get("status")
    if stored is not None:  # to change or cancel one that exists
        wanted = "booked" if status in ("proposed", "pending") else status
        changed = released({**given, "status": wanted})
        return (await update(ctx, "Appointment", stored.id, changed)).version
    if status not in ("proposed", "pending", "booked"):
        raise Unprocessable(
            issues=(
                Issue(
                    "error",
                    "business-rule",
                    f"An appointment to book is proposed or pending, not {status}.",
                    ("Appointment.status",),
                ),
            )
        )
    if patient:
        await _check_known(ctx, patient)
    for slot in slots.slots_of(ctx, given):
        await _slot(ctx, f"Slot/{slot}")
    made = _accepted(_with_patient({**given, "status": "booked"}, patient))
    made.pop("id", None)
    return (await create(ctx, "Appointment", made)).version


async def _stored(ctx: Context, slot: Json, patient: str, status: str) -> Version:
    if not patient:
        raise Invalid("patient-reference is needed: for whom is the appointment?", code="required")
    await _check_known(ctx, patient)
    schedule = None
    named = identity(slot.get("schedule"), ctx.local_bases, "Schedule")
    if named is not None:
        version = await ctx.as_server.store.read(*named)
        schedule = decode_stored(version.content) if version and version.content else None
    made = proposed(slot, schedule, patient)
    del made["id"]
    made["status"] = status
    made["created"] = instant(microseconds(ctx.clock()))
    made = _until(ctx, made) if status == "pending" else _accepted(made)
    return (await create(ctx, "Appointment", made)).version


async def _check_known(ctx: Context, patient: str) -> None:
    """Refuse to take a slot for nobody. With access control the write itself is refused, and in the
    same way as for a space that is closed to the caller."""
    if ctx.caller.role is Role.OPEN:
        version = await ctx.store.read("Patient", patient.removeprefix("Patient/"))
        if version is None or version.deleted:
            raise NotFound(f"{patient} is not known.")


async def _known(ctx: Context, reference: str) -> Version | None:
    """The stored Appointment that a reference names, if the caller may know of it."""
    named = identity(reference, ctx.local_bases, "Appointment")
    if named is None:
        return None
    ctx.store.demand("c", "Appointment")
    version = await ctx.store.current(*named)
    return None if version is None or version.deleted else version


async def _slot(ctx: Context, reference: str) -> Json:
    """The free slot that a proposed Appointment, or a reference to the slot itself, names."""
    named = identity(reference, ctx.local_bases)
    if named is None or named[0] not in ("Appointment", "Slot"):
        raise Invalid(f"{reference[:200]} names no Appointment or Slot of this server.")
    id = named[1]
    try:
        version = await read(ctx, "Slot", id)
    except NotFound:
        raise NotFound(f"{reference[:200]} is not known.") from None
    slot = decode_stored(version.content or b"{}")
    if slot.get("status") != "free" or await slots.taken_by(ctx, id):
        raise taken_already(id)
    if interval(str(slot["start"]))[0] < microseconds(ctx.clock()):
        raise Conflict(f"Slot/{id} has begun.")
    return slot


def proposed(slot: Json, schedule: Json | None, patient: str) -> Json:
    minutes = (interval(slot["end"])[0] - interval(slot["start"])[0]) // 60_000_000
    actors: Sequence[Json] = (schedule or {}).get("actor", [])
    participants: list[Json] = [{"actor": a, "status": "needs-action"} for a in actors]
    if patient:
        participants.append({"actor": {"reference": patient}, "status": "needs-action"})
    made: Json = {"resourceType": "Appointment", "id": slot["id"], "status": "proposed"}
    for name in _FROM_SLOT:
        values = slot.get(name) or (schedule or {}).get(name)
        if values:
            made[name] = values
    if slot.get("appointmentType"):
        made["appointmentType"] = slot["appointmentType"]
    made |= {"start": slot["start"], "end": slot["end"]}
    if minutes > 0:
        made["minutesDuration"] = minutes
    made["slot"] = [{"reference": f"Slot/{slot['id']}"}]
    made["participant"] = participants or [{"status": "needs-action", "type": _PATIENT}]
    return made


#: Who it is for is not said yet, and an Appointment has a participant.
_PATIENT = [
    {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                "code": "SBJ",
            }
        ]
    }
]


def _with_patient(appointment: Json, patient: str) -> Json:
    participants = list(appointment.get("participant", []))
    named = {each.get("actor", {}).get("reference") for each in participants}
    if patient and patient not in named:
        participants.append({"actor": {"reference": patient}, "status": "accepted"})
    return {**appointment, "participant": participants}


def _accepted(appointment: Json) -> Json:
    """Booked: everybody who had not answered has accepted."""
    participants = [
        {**each, "status": "accepted"} if each.get("status") == "needs-action" else each
        for each in appointment.get("participant", [])
    ]
    return {**appointment, "participant": participants}


def _until(ctx: Context, appointment: Json) -> Json:
    until = instant(microseconds(ctx.clock() + HOLD))
    return with_extensions(appointment, [HELD_UNTIL], [{"url": HELD_UNTIL, "valueInstant": until}])


def released(appointment: Json) -> Json:
    """Without the time it is held until."""
    return with_extensions(appointment, [HELD_UNTIL])


def patient_of(ctx: Context, given: str) -> str:
    """For whom: as given, or the citizen whose space the caller is in."""
    if given:
        patient = identity(given, ctx.local_bases, "Patient")
        if patient is None:
            raise Invalid(f"patient-reference {given[:200]} names no Patient of this server.")
        return f"Patient/{patient[1]}"
    if ctx.caller.patient:
        return f"Patient/{ctx.caller.patient}"
    role, user = ctx.caller.role, ctx.caller.fhir_user
    return user if role is Role.CITIZEN and user.startswith("Patient/") else ""
