"""What a wrong name was perhaps meant to be."""

from __future__ import annotations

import difflib
import re
from typing import Any

from fhirserver.model.definitions import RESOURCE_TYPES, TypeDefinition
from fhirserver.terminology import expansion
from fhirserver.validation.primitives import json_kind

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def step(path: str, name: str) -> str:
    """The FHIRPath of member `name`; a name that is no identifier is quoted."""
    if _IDENTIFIER.fullmatch(name):
        return f"{path}.{name}"
    return f"{path}.`{_clean(name)}`"


def _clean(name: str) -> str:
    printable = "".join(c if c.isprintable() and c not in "`\\" else "?" for c in name[:64])
    return printable + ("…" if len(name) > 64 else "")


def unknown(definition: TypeDefinition, name: str) -> str:
    """Says that `definition` has no `name`, and what it has instead."""
    text = f"{definition.name} has no element '{_clean(name)}'"
    if name == "resourceType":
        return f"{text}: 'resourceType' stands on resources only"
    if name == "fhir_comments":
        return f"{text}: comments are no part of R4's JSON"
    elements = definition.elements
    plain = name.removeprefix("_")
    if name.startswith("_") and plain in elements:
        return f"{text}: only a primitive element has a member with '_'"
    if any(element.choice == plain for element in elements.values()):
        return f"{text}: it is a choice, {choice(definition, plain)}"
    folded = {known.lower(): known for known in elements}
    if plain.lower() in folded:
        return f"{text}; names are case-sensitive: '{folded[plain.lower()]}'"
    near = difflib.get_close_matches(plain[:64], elements, n=1, cutoff=0.7)
    return f"{text}; did you mean '{near[0]}'?" if near else text


def choice(definition: TypeDefinition, name: str) -> str:
    """The members a choice may be written as."""
    named = [e.name for e in definition.elements.values() if e.choice == name]
    shown = ", ".join(named[:12])
    return f"one of {shown}" + (" and others" if len(named) > 12 else "")


def wrong_type(resource: dict[str, Any]) -> str:
    """Says what is wrong with `resourceType`."""
    if "resourceType" not in resource:
        return "a resource needs 'resourceType'"
    type_ = resource["resourceType"]
    if not isinstance(type_, str):
        return f"'resourceType' must be a string, not {json_kind(type_)}"
    text = f"'{_clean(type_)}' is not a resource type of FHIR R4"
    near = [t for t in RESOURCE_TYPES if t.lower() == type_.lower()]
    near = near or difflib.get_close_matches(type_[:64], sorted(RESOURCE_TYPES), n=1, cutoff=0.7)
    return f"{text}; did you mean '{near[0]}'?" if near else text


def nearest_code(url: str, code: str) -> str:
    """`; did you mean ...?` when the value set has a code like it."""
    known = expansion(url)
    codes = sorted({c for found in known.codes.values() for c in found}) if known else []
    folded = [c for c in codes if c.lower() == code.lower()]
    near = folded or difflib.get_close_matches(code[:64], codes, n=1, cutoff=0.75)
    return f"; did you mean '{near[0]}'?" if near else ""
