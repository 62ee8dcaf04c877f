"""Which state of an appointment follows which, and what each makes of its slot
(https://hl7.org/fhir/R4/valueset-appointmentstatus.html); the table is states.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _table() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("states.json").read_text())
    return loaded


def slot_status(appointment_status: str) -> str | None:
    """The status of the slot that such an appointment takes; None when it takes none."""
    found: dict[str, str] = _table()["slot"]
    return found.get(appointment_status)


def occupying() -> tuple[str, ...]:
    """The statuses with which an appointment takes its slots."""
    return tuple(_table()["slot"])


def follows(before: str, after: str) -> bool:
    """Whether an appointment may go from one status to another."""
    return before == after or after in _table()["changes"].get(before, (after,))


def for_citizens(status: str) -> bool:
    """Whether a citizen may give an appointment this status."""
    return status in _table()["citizen"]
