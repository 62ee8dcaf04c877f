"""$summary: the International Patient Summary of a record
(http://hl7.org/fhir/uv/ips/OperationDefinition/summary, docs/medical-profile.md).

On a Patient, or on the type with an identifier. It holds what the caller may see and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import Invalid, NotFound, NotSupported, Unprocessable
from fhirserver.interaction.search import search
from fhirserver.operation.call import Made
from fhirserver.operation.parameters import given
from fhirserver.record.profile.kind import table
from fhirserver.record.profile.summary import summarise

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.operation.call import Call


async def summary(ctx: Context, call: Call) -> Made:
    """Parameters: `profile` (one of IPS), and on the type `identifier` (`system|value`)."""
    identifier = None
    for name, value in given(call):
        match name:
            case "profile":
                _check_profile(str(value))
            case "identifier" if call.id is None:
                identifier = _token(value)
            case _:
                raise Invalid(f"$summary has no parameter {name[:80]} here.")
    patient = call.id or await _found(ctx, identifier)
    made = await summarise(ctx, patient)
    return Made(made.bundle, made.versions)


async def _found(ctx: Context, identifier: str | None) -> str:
    if not identifier:
        raise Invalid("$summary on the type needs the parameter identifier.", code="required")
    parameters = (("identifier", identifier), ("_count", "2"))
    found = (await search(ctx, ("Patient",), parameters, strict=True)).matches
    if not found:
        raise NotFound("No Patient has this identifier.")
    if len(found) > 1:
        raise Unprocessable("More than one Patient has this identifier.", code="multiple-matches")
    return found[0].id


def _token(value: object) -> str:
    """`system|value` from the text of a URL, or from an Identifier."""
    if isinstance(value, dict):
        system, number = value.get("system") or "", value.get("value") or ""
        return f"{system}|{number}" if system else str(number)
    return str(value)


def _check_profile(profile: str) -> None:
    about = table().composition
    url, bar, version = profile.partition("|")
    known = url in (*about.profiles, *about.bundle_profiles)
    if not known or (bar and version not in about.versions):
        raise NotSupported(f"Summaries are made by {about.profiles[0]} only.")
