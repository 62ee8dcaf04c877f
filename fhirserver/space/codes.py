"""Names that the space is written with; the codes are in terminology/space/."""

from __future__ import annotations

from fhirserver.access.decision.registrar import TASK

_BASE = "http://fhirserver.example"

REASON = f"{_BASE}/CodeSystem/space-reason"
OPENING, ERASURE = "opening", "erasure"

#: On an opening Task, valueCode: the department of residence it was decided by.
DEPARTMENT = f"{_BASE}/StructureDefinition/space-department"
#: Identifies an erasure Task by the id of the Patient who was.
ERASED = f"{_BASE}/space-erasure"

#: On an erasure Task, the fingerprint of the INS of a person who does not want a space.
OPPOSED = f"{_BASE}/space-opposition"

WAITING = "requested"
OPENED = "completed"
OBJECTED = "rejected"
WITHDRAWN = "cancelled"


def reason(code: str) -> dict[str, object]:
    return {"coding": [{"system": REASON, "code": code}]}


__all__ = [
    "DEPARTMENT",
    "ERASED",
    "ERASURE",
    "OBJECTED",
    "OPENED",
    "OPENING",
    "OPPOSED",
    "REASON",
    "TASK",
    "WAITING",
    "WITHDRAWN",
    "reason",
]
