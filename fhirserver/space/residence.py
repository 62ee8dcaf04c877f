"""Where somebody lives: the department of a French address, by INSEE code or postal code.

A commune's INSEE code names its department. A postal code does nearly always; the few communes
served from the next department need the INSEE code. Overseas departments have three digits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fhirserver.space.traits import insee_code

if TYPE_CHECKING:
    from fhirserver.interaction.context import Resource

_CODE = re.compile(r"\d[0-9AB]\d{3}", re.ASCII)
_USES = ("home", None, "temp", "billing", "work")
_FRANCE = frozenset({"", "FR", "FRA", "FRANCE"})


def department(patient: Resource) -> str:
    """The department of residence; empty when no address tells it."""
    addresses = [a for a in patient.get("address") or [] if isinstance(a, dict)]
    for use in _USES:
        for address in addresses:
            if address.get("use") == use:
                found = _department(address)
                if found:
                    return found
    return ""


def _department(address: dict[str, Any]) -> str:
    if str(address.get("country") or "").strip().upper() not in _FRANCE:
        return ""
    insee = insee_code(address)
    code = insee or str(address.get("postalCode") or "").strip()
    if not _CODE.fullmatch(code):
        return ""
    if code[:2] in ("97", "98"):
        return code[:3]
    if not insee and code[:2] == "20":
        return "2A" if code[2] in "01" else "2B"
    return code[:2]
