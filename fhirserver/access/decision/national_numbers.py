"""The national numbers of a person or structure, in each of the systems they are written in.

An RPPS number stands by itself or, with an 8 before it, as national id of a professional; likewise
ADELI, FINESS, SIREN and SIRET (terminology/access/national-numbers.json). Numbers of other systems
identify nobody here: who else uses such a system is not known. A citizen's number is the INS.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.access.decision.codes import INS
from fhirserver.model import shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

    Number = tuple[str, str]


class _Register(msgspec.Struct, frozen=True):
    national: str
    digit: str
    system: str
    length: int = 0


class _Registers(msgspec.Struct, frozen=True):
    version: str
    date: str
    source: str
    numbers: tuple[_Register, ...]


@cache
def _registers() -> tuple[_Register, ...]:
    text = shipped.read("terminology", "access", "national-numbers.json")
    return msgspec.json.decode(text, type=_Registers).numbers


def alike(system: str, value: str) -> frozenset[Number]:
    """The number in each system it may be written in; none when it is no national number."""
    if system in INS:
        return frozenset({(system, value)})
    found: set[Number] = set()
    for register in _registers():
        if system == register.national:
            found.add((system, value))
            if value.startswith(register.digit) and register.length in (0, len(value) - 1):
                found.add((register.system, value[1:]))
        elif system == register.system:
            found.add((system, value))
            if register.length in (0, len(value)):
                found.add((register.national, register.digit + value))
    return frozenset(found)


def numbers_of(resource: Mapping[str, Any]) -> frozenset[Number]:
    """Of a Practitioner, PractitionerRole, Organization or Patient."""
    found: set[Number] = set()
    listed = resource.get("identifier")
    for identifier in listed if isinstance(listed, list) else ():
        found |= number_of(identifier)
    return frozenset(found)


def number_of(identifier: Any) -> frozenset[Number]:
    if not isinstance(identifier, dict) or identifier.get("use") == "old":
        return frozenset()
    system, value = identifier.get("system"), identifier.get("value")
    if not (isinstance(system, str) and isinstance(value, str) and value):
        return frozenset()
    return alike(system, value)
