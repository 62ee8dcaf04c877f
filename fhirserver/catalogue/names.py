"""Systems and canonical URLs of the catalogue, and what its code systems hold."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from fhirserver.access.decision import listing
from fhirserver.model import shipped

BASE = listing.BASE
IDENTIFIER = listing.IDENTIFIER
REVIEW = f"{BASE}/StructureDefinition/catalogue-review"


def system(name: str) -> str:
    return f"{BASE}/CodeSystem/catalogue-{name}"


FAMILY = system("criteria-family")
VERDICT = system("verdict")
INPUT = system("input")
CHARACTERISTIC = system("characteristic")
CATEGORY = system("data-category")
THEME = system("theme")
REGION = system("region")

COMPLIANT = "compliant"
NOT_COMPLIANT = "not-compliant"
CE_MARKING = "ce-marking"
MEDICAL_DEVICE = "medical-device"
EXCHANGE = "exchange"


class _Property(msgspec.Struct):
    code: str
    valueCode: str = ""
    valueBoolean: bool = False


class _Concept(msgspec.Struct):
    code: str
    display: str = ""
    property: list[_Property] = []


class _CodeSystem(msgspec.Struct):
    concept: list[_Concept]


@cache
def _concepts(name: str) -> dict[str, _Concept]:
    body = shipped.read("terminology", "catalogue", f"CodeSystem-catalogue-{name}.json")
    return {c.code: c for c in msgspec.json.decode(body, type=_CodeSystem).concept}


def codes(name: str) -> dict[str, str]:
    """The codes of one of the catalogue's code systems, with their displays."""
    return {code: concept.display for code, concept in _concepts(name).items()}


@cache
def families(*, medical_device: bool) -> frozenset[str]:
    """The criteria families that are reviewed."""
    return frozenset(
        code
        for code, concept in _concepts("criteria-family").items()
        if medical_device
        or not any(p.code == "medical-device-only" and p.valueBoolean for p in concept.property)
    )


@cache
def categories() -> dict[str, frozenset[str]]:
    """The resource types of each category of data."""
    return {
        code: frozenset(p.valueCode for p in concept.property if p.code == "type")
        for code, concept in _concepts("data-category").items()
    }


def codes_in(concepts: Any, of: str) -> set[str]:
    """The codes of system `of` in CodeableConcepts."""
    listed = concepts if isinstance(concepts, list) else [concepts]
    return {
        str(coding.get("code", ""))
        for concept in listed
        if isinstance(concept, dict)
        for coding in concept.get("coding", [])
        if isinstance(coding, dict) and coding.get("system") == of
    }


def name_of(device: dict[str, Any]) -> str:
    """What people call the app."""
    for name in device.get("deviceName", []):
        if name.get("name"):
            return str(name["name"])
    return str(device.get("id", ""))


def reference_of(value: Any) -> str:
    return str(value.get("reference", "")) if isinstance(value, dict) else ""
