"""The parameters that $hold and $book share: which slot or appointment, for whom, IHE Scheduling
(https://profiles.ihe.net/ITI/Scheduling/index.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Resource
    from fhirserver.operation.call import Call


class SlotRequest:
    """`reference`: a Slot or Appointment; `resource`: an Appointment as it is to be (for $book)."""

    def __init__(self, call: Call, operation: str, *, resource: bool = False) -> None:
        self.reference = f"Slot/{call.id}" if call.type == "Slot" and call.id else ""
        if call.type == "Appointment" and call.id:
            self.reference = f"Appointment/{call.id}"
        self.patient = ""
        self.resource: Resource | None = None
        for name, value in given(call):
            if name in ("appointment-reference", "slot-reference"):
                self.reference = _reference(name, value)
            elif name == "patient-reference":
                self.patient = _reference(name, value)
            elif name == "appointment-resource" and resource and isinstance(value, dict):
                self.resource = value
            elif name not in ("_format", "_pretty", "comment"):
                raise Invalid(
                    f"${operation} has no parameter {name[:80]} of this kind.",
                    code="not-supported",
                )


def _reference(name: str, value: Any) -> str:
    text = value.get("reference") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        raise Invalid(f"{name} must be a Reference.")
    if name == "slot-reference" and "/" not in text:
        return f"Slot/{text}"
    return text
