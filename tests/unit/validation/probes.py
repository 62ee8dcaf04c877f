"""Reads `probes.json`: what R4 accepts and refuses.

Cases are `[resource type, members, verdict]`. The members are added to the least resource of the
type. The verdict is null for a right resource, else the place of an issue, perhaps with words of
its text after `: `.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

decode = msgspec.json.Decoder(float_hook=Decimal).decode
_TABLE = decode(Path(__file__).with_suffix(".json").read_bytes())
LEAST: dict[str, Any] = _TABLE["least"]
CASES: list[tuple[str, Any, str | None]] = [
    tuple(case) for section in _TABLE["cases"].values() for case in section
]


def resource_of(type_: str, members: dict[str, Any]) -> dict[str, Any]:
    """A fresh copy of the case's resource."""
    encoded = msgspec.json.Encoder(decimal_format="number").encode(LEAST[type_] | members)
    return {"resourceType": type_} | decode(encoded)
