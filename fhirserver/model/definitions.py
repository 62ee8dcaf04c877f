"""FHIR R4's types and their elements, from the tables compiled out of StructureDefinitions.

https://hl7.org/fhir/R4/resourcelist.html, https://hl7.org/fhir/R4/datatypes.html,
https://hl7.org/fhir/R4/json.html

The table is read at first use and each type is built when it is asked for: a process that
handles Patients never pays for the other types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import msgspec

from fhirserver.model import shipped


@dataclass(frozen=True, slots=True)
class Element:
    """One element as JSON names it; a choice gives one of these for each of its types."""

    name: str  # in JSON: valueQuantity
    type: str  # string, HumanName, Patient.contact, Resource, xhtml
    min: int
    many: bool
    choice: str | None  # the choice's own name: value
    primitive: bool
    required_binding: str | None  # canonical URL of the value set
    targets: tuple[str, ...]  # types a Reference or canonical may point to; empty: any
    summary: bool
    modifier: bool
    attribute: bool  # an attribute in XML
    binding: str | None  # canonical URL of the value set, whatever the strength
    profile: str | None  # SimpleQuantity, or None


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """A resource type, data type or backbone element with its elements in order."""

    name: str
    kind: str  # resource | complex | backbone | primitive
    base: str | None
    abstract: bool
    elements: dict[str, Element]


class _ElementRow(msgspec.Struct):
    name: str
    types: list[str]
    min: int = 0
    max: str = "1"
    summary: bool = False
    modifier: bool = False
    attribute: bool = False
    binding: tuple[str, str] | None = None
    maximum: str | None = None  # value set that no code may leave, when the binding allows it


class _TypeRow(msgspec.Struct):
    kind: str
    base: str | None = None
    abstract: bool = False
    regex: str | None = None
    elements: list[_ElementRow] = []


class _KindRow(msgspec.Struct):
    kind: str
    abstract: bool = False
    regex: str | None = None


_TABLE: dict[str, msgspec.Raw] = msgspec.json.decode(
    shipped.read("profiles", "r4", "types.json"), type=dict[str, msgspec.Raw]
)
_kind_of = msgspec.json.Decoder(_KindRow).decode
_row_of = msgspec.json.Decoder(_TypeRow).decode
_KINDS = {name: _kind_of(row) for name, row in _TABLE.items()}

#: The 146 concrete resource types.
RESOURCE_TYPES: frozenset[str] = frozenset(
    name for name, row in _KINDS.items() if row.kind == "resource" and not row.abstract
)

#: Format of each primitive type, as the specification states it; to be used with `fullmatch`.
PRIMITIVES: dict[str, re.Pattern[str]] = {
    name: re.compile(row.regex or r"[\s\S]*")
    for name, row in _KINDS.items()
    if row.kind == "primitive"
}

_CODED = ("code", "Coding", "CodeableConcept", "Quantity", "string", "uri")


def type_names() -> tuple[str, ...]:
    """The name of every type: primitives, data types, resource types, backbone elements."""
    return tuple(_TABLE)


@cache
def type_definition(name: str) -> TypeDefinition:
    """The definition of type `name` (`Patient`, `HumanName`, `Patient.contact`); KeyError if
    R4 has no such type."""
    row = _row_of(_TABLE[name])
    elements: dict[str, Element] = {}
    for element_row in row.elements:
        for element in _elements(element_row):
            elements[element.name] = element
    return TypeDefinition(name, row.kind, row.base, row.abstract, elements)


def _required(row: _ElementRow, type_: str) -> str | None:
    if row.binding is None or type_ not in _CODED:
        return None
    if row.binding[0] == "required":
        return row.binding[1]
    return row.maximum if type_ == "code" else None


def _elements(row: _ElementRow) -> list[Element]:
    choice = row.name.removesuffix("[x]") if row.name.endswith("[x]") else None
    elements = []
    for stated in row.types:
        type_, _, rest = stated.partition("(")
        named = tuple(rest.rstrip(")").split("|")) if rest else ()
        is_pointer = type_ in ("Reference", "canonical")
        binding = row.binding if row.binding and type_ in _CODED else None
        elements.append(
            Element(
                name=choice + type_[0].upper() + type_[1:] if choice else row.name,
                type=type_,
                min=row.min,
                many=row.max != "1",
                choice=choice,
                primitive=type_ in PRIMITIVES,
                required_binding=_required(row, type_),
                targets=named if is_pointer else (),
                summary=row.summary,
                modifier=row.modifier,
                attribute=row.attribute,
                binding=binding[1] if binding else None,
                profile=named[0] if named and not is_pointer else None,
            )
        )
    return elements
