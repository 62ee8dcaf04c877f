"""What a portal says when it launches an app.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#launch-context-arrives-with-your-access_token
"""

from __future__ import annotations

from typing import Any

import msgspec
from authlib.oauth2.rfc6749.errors import InvalidRequestError

from fhirserver.model.definitions import RESOURCE_TYPES


class Reference(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """An item of fhirContext."""

    reference: str = ""
    canonical: str = ""
    identifier: dict[str, Any] | None = None
    type: str = ""
    role: str | None = None


class LaunchRequest(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    client_id: str
    patient: str = ""
    encounter: str = ""
    intent: str = ""
    need_patient_banner: bool = True
    fhirContext: list[Reference] = []


def read_launch(body: bytes) -> tuple[str, str, dict[str, Any]]:
    """The app, the patient's id and the further context. Raises InvalidRequestError."""
    try:
        asked = msgspec.json.decode(body, type=LaunchRequest)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequestError("The body is not a launch request") from None
    context: dict[str, Any] = {"need_patient_banner": asked.need_patient_banner}
    patient = asked.patient.removeprefix("Patient/")
    if asked.encounter:
        context["encounter"] = asked.encounter.removeprefix("Encounter/")
    if asked.intent:
        context["intent"] = asked.intent
    if asked.fhirContext:
        context["fhirContext"] = [_checked(item) for item in asked.fhirContext]
    return asked.client_id, patient, context


def _checked(item: Reference) -> dict[str, Any]:
    named = [bool(item.reference), bool(item.canonical), item.identifier is not None]
    if sum(named) != 1:
        raise InvalidRequestError("An item of fhirContext has a reference, canonical or identifier")
    if item.role is not None and not item.role:
        raise InvalidRequestError("A role of fhirContext is not empty")
    type = item.type or item.reference.partition("/")[0]
    if type and type not in RESOURCE_TYPES:
        raise InvalidRequestError("An item of fhirContext is of no resource type")
    if type in ("Patient", "Encounter") and item.role in (None, "launch"):
        raise InvalidRequestError("Patient and Encounter in fhirContext need another role")
    found: dict[str, Any] = msgspec.to_builtins(item)
    return {name: value for name, value in found.items() if value not in ("", None)}
