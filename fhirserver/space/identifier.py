"""French numbers in `identifier`: their form, and their key where it is demanded.

terminology/space/identifiers.json says which, with its sources. A number is checked where it is
the resource's own (a Practitioner's RPPS), not where a document quotes somebody.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.model import shipped
from fhirserver.space.key import INS, is_ins, is_sirene
from fhirserver.space.refusal import issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.errors import Issue
    from fhirserver.interaction.context import Resource


class InsSystem(msgspec.Struct, frozen=True):
    system: str
    type: str
    official: bool


class Number(msgspec.Struct, frozen=True):
    """`luhn`: the whole number has a Luhn digit; `luhn_after`: what follows such a prefix has;
    `by_type`: how long it is under that code of identifier.type."""

    system: str
    types: frozenset[str]
    pattern: str
    says: str
    luhn: bool = False
    luhn_after: tuple[str, ...] = ()
    by_type: dict[str, int] = {}


class Identifiers(msgspec.Struct, frozen=True):
    version: str
    date: str
    source: str
    ins: tuple[InsSystem, ...]
    numbers: tuple[Number, ...]
    luhn_exceptions: frozenset[str]


@cache
def identifiers() -> Identifiers:
    return msgspec.json.decode(
        shipped.read("terminology", "space", "identifiers.json"), type=Identifiers
    )


@cache
def ins_systems() -> dict[str, InsSystem]:
    return {each.system: each for each in identifiers().ins}


@cache
def _numbers() -> dict[str, Number]:
    return {each.system: each for each in identifiers().numbers}


@cache
def checked_types() -> frozenset[str]:
    """The resource types whose own identifiers are looked at."""
    return frozenset({"Patient"}).union(*(each.types for each in identifiers().numbers))


def each_identifier(resource: Resource) -> Iterator[tuple[int, dict[str, Any]]]:
    listed = resource.get("identifier")
    for place, identifier in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(identifier, dict):
            yield place, identifier


def in_use(identifier: dict[str, Any]) -> bool:
    return identifier.get("use") != "old"


def is_national(identifier: dict[str, Any]) -> bool:
    """An INS in use, of whichever system."""
    return (
        identifier.get("system") in ins_systems()
        and isinstance(identifier.get("value"), str)
        and in_use(identifier)
    )


def identifier_issues(type: str, resource: Resource) -> list[Issue]:
    """What is wrong with the resource's own French numbers."""
    found: list[Issue] = []
    for place, identifier in each_identifier(resource):
        system, value = identifier.get("system"), identifier.get("value")
        if not isinstance(system, str):
            continue
        where = f"{type}.identifier[{place}].value"
        if type == "Patient" and system in ins_systems():
            said = _ins(ins_systems()[system], value)
        elif system in _numbers() and type in _numbers()[system].types:
            said = _number(_numbers()[system], identifier, value)
        else:
            continue
        if said:
            found.append(issue(said, where, code="value"))
    return found


def _ins(system: InsSystem, value: object) -> str:
    if not isinstance(value, str):
        return f"An identifier of the system {system.type} has a value."
    if not system.official:
        return ""
    if not INS.fullmatch(value):
        return (
            "The INS has 15 characters: sex, year and month of birth, department (digits, 2A or "
            "2B), commune and order, and a key of two digits."
        )
    return "" if is_ins(value) else "The key of this INS is wrong."


def _number(number: Number, identifier: dict[str, Any], value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(number.pattern, value, re.ASCII):
        return f"Not a number of this system: {number.says}."
    codes = {c.get("code") for c in (identifier.get("type") or {}).get("coding", [])}
    for code, length in number.by_type.items():
        if code in codes and len(value) != length:
            return f"A {code} has {length} digits."
    digits = value if number.luhn else ""
    if value.startswith(number.luhn_after or "-"):
        digits = value[1:]
    if digits and not is_sirene(digits, identifiers().luhn_exceptions):
        return "The last digit, which checks the others (Luhn), is wrong."
    return ""
