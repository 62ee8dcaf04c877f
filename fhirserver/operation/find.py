"""Appointment/$find: free times, as proposed appointments, IHE [ITI-115]
(https://profiles.ihe.net/ITI/Scheduling/ITI-115.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.diary.appointment import booking, finding
from fhirserver.errors import Invalid
from fhirserver.model.dates import instant, microseconds
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.operation.call import Call

#: Parameter -> resource type that a bare id means.
_ACTORS = {
    "practitioner": "Practitioner",
    "practitioner-role": "PractitionerRole",
    "healthcareservice": "HealthcareService",
    "location": "Location",
    "location-reference": "Location",
}
_TOKENS = ("specialty", "visit-type-coded-value", "visit-type")


async def find(ctx: Context, call: Call) -> Resource:
    """A searchset of proposed Appointments. On a Schedule: of that agenda alone."""
    single: dict[str, str] = {}
    actors: list[str] = []
    tokens: dict[str, list[str]] = {name: [] for name in _TOKENS}
    schedules: list[str] = [call.id] if call.type == "Schedule" and call.id else []
    for name, value in given(call):
        if name in _ACTORS:
            type = _ACTORS[name]
            actors += [e if "/" in e else f"{type}/{e}" for e in _texts(name, value)]
        elif name in tokens:
            tokens[name] += _texts(name, value)
        elif name == "schedule":
            schedules += _texts(name, value)
        elif name in ("start", "end", "patient-reference", "_count"):
            if name in single:
                raise Invalid(f"{name} is given more than once.")
            single[name] = _texts(name, value)[0]
        elif name not in ("_format", "_pretty"):
            raise Invalid(f"$find has no parameter {name[:80]}.", code="not-supported")
    count = single.get("_count", "20")
    if not count.isascii() or not count.isdecimal() or len(count) > 6:
        raise Invalid("_count must be a number.")
    patient = booking.patient_of(ctx, single.get("patient-reference", ""))
    found = await finding.find(
        ctx,
        finding.Wanted(
            single.get("start", ""),
            single.get("end", ""),
            tuple(actors),
            tuple(tokens["specialty"]),
            (*tokens["visit-type-coded-value"], *tokens["visit-type"]),
            tuple(schedules),
            patient,
            max(1, int(count)),
        ),
    )
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "timestamp": instant(microseconds(ctx.clock())),
        "total": len(found),
        **(
            {"entry": [{"resource": each, "search": {"mode": "match"}} for each in found]}
            if found
            else {}
        ),
    }


def _texts(name: str, value: Any) -> list[str]:
    """Text, a Reference, a Coding or a CodeableConcept as search values."""
    if isinstance(value, str) and value:
        return value.split(",")
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            return [value["reference"]]
        codings = value.get("coding", [value] if "code" in value else [])
        if isinstance(codings, list):
            found = [
                f"{coding['system']}|{coding['code']}" if coding.get("system") else coding["code"]
                for coding in codings
                if isinstance(coding, dict) and isinstance(coding.get("code"), str)
            ]
            if found:
                return found
    raise Invalid(f"The value of {name} cannot be read.")
