"""The value in an operation of a FHIRPath Patch, and whether it fits the element it is for.

https://hl7.org/fhir/R4/fhirpatch.html: a value has one of FHIR's types, or, for types without
a name (backbone elements), is built from parts named as its elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid, Issue, Unprocessable
from fhirserver.model.definitions import (
    PRIMITIVES,
    RESOURCE_TYPES,
    Element,
    type_definition,
)
from fhirserver.model.fhirpath import is_type
from fhirserver.model.parameters import VALUE_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

# A text may stand where another kind of text belongs, as many clients send valueString for a
# code; its format is still checked.
_TEXTS = frozenset(
    ("string", "markdown", "code", "id", "uri", "url", "canonical", "oid", "uuid", "xhtml")
)
_INTEGERS = frozenset(("integer", "positiveInt", "unsignedInt"))
_WIDER = {"dateTime": ("date", "instant"), "decimal": tuple(_INTEGERS)}


@dataclass(frozen=True, slots=True)
class Given:
    """A value as the patch has it. `type`: string, HumanName, …; "" when made of `parts`;
    Resource. `about`: a primitive's id and extensions."""

    type: str
    value: Any
    about: Any = None
    parts: tuple[tuple[str, Given], ...] = ()


def given_value(part: dict[str, Any], where: str) -> Given:
    """Read the value, the resource or the parts of one parameter."""
    extra = {"_" + name for name in VALUE_TYPES}
    names = [name for name in part if name in VALUE_TYPES or name in extra]
    for name in part:
        known = name in ("name", "id", "extension", "part", "resource", "_name")
        if not known and name not in names:
            raise _invalid(where, f"{name[:60]!r} is no value of a parameter")
    kinds = {name.removeprefix("_") for name in names}
    if len(kinds) + ("resource" in part) + ("part" in part) != 1:
        raise _invalid(where, "exactly one value, resource or list of parts is expected")
    if "resource" in part:
        resource = part["resource"]
        if type(resource) is not dict or resource.get("resourceType") not in RESOURCE_TYPES:
            raise _invalid(where, "the resource has no known resourceType")
        return Given(resource["resourceType"], resource)
    if "part" in part:
        return Given("", None, parts=_parts(part["part"], where))
    name = kinds.pop()
    return Given(VALUE_TYPES[name], part.get(name), part.get("_" + name))


def _parts(parts: Any, where: str) -> tuple[tuple[str, Given], ...]:
    if type(parts) is not list or not parts:
        raise _invalid(where, "the list of parts is empty")
    found = []
    for number, part in enumerate(parts):
        inside = f"{where}.part[{number}]"
        if type(part) is not dict or type(part.get("name")) is not str:
            raise _invalid(inside, "a part needs a name")
        found.append((part["name"], given_value(part, inside)))
    return tuple(found)


def element_for(elements: Mapping[str, Element], name: str, given: Given, place: str) -> Element:
    """The element called `name` (or the choice of that name that has the value's type)."""
    choices = [element for element in elements.values() if element.choice == name]
    for element in choices:
        if element.type == given.type or (
            given.type not in PRIMITIVES and given.type and is_type(element.type, given.type)
        ):
            return element
    if choices:
        types = ", ".join(element.type for element in choices[:12])
        raise _unprocessable(
            f"{name} cannot have the type {given.type or 'of the parts given'}, but {types}", place
        )
    if name not in elements:
        raise _unprocessable(f"There is no element {name[:80]!r} here", place)
    return elements[name]


def value_for(element: Element, given: Given, place: str) -> tuple[Any, Any]:
    """The JSON value for `element`, and the id and extensions if it is a primitive."""
    if given.parts:
        if element.primitive or element.type in ("Resource", "DomainResource"):
            raise _unprocessable(f"{element.name} is not made of parts", place)
        return _built(element.type, given, place), None
    if element.type in ("Resource", "DomainResource"):
        if given.type not in RESOURCE_TYPES:
            raise _unprocessable(f"{element.name} must be a resource", place)
        return given.value, None
    if not _fits(element.type, given.type):
        raise _unprocessable(
            f"{element.name} has the type {element.type}, but the value is of type {given.type}",
            place,
        )
    if not element.primitive:
        if type(given.value) is not dict:
            raise _unprocessable(f"The value of {element.name} must be an object", place)
        return given.value, None
    _check_primitive(element, given, place)
    return given.value, given.about


def _fits(wanted: str, given: str) -> bool:
    if wanted == given or given in _WIDER.get(wanted, ()):
        return True
    if wanted in _TEXTS or wanted in _INTEGERS:
        return (given in _TEXTS and wanted in _TEXTS) or (
            given in _INTEGERS and wanted in _INTEGERS
        )
    # Age, Duration and the like are Quantities and come as valueQuantity.
    return given not in PRIMITIVES and is_type(wanted, given)


def _check_primitive(element: Element, given: Given, place: str) -> None:
    value = given.value
    if value is None:
        if type(given.about) is not dict:
            raise _unprocessable(f"{element.name} is given no value", place)
        return
    if element.type == "boolean":
        right = type(value) is bool
    elif element.type in _INTEGERS:
        right = type(value) is int
    elif element.type == "decimal":
        right = type(value) is not bool and not isinstance(value, (str, dict, list))
    else:
        right = type(value) is str and PRIMITIVES[element.type].fullmatch(value) is not None
    if not right:
        raise _unprocessable(f"The value of {element.name} is no {element.type}", place)


def _built(type_: str, given: Given, place: str) -> dict[str, Any]:
    """An object from parts, which are named as the elements of its type."""
    elements = type_definition(type_).elements
    built: dict[str, Any] = {}
    for name, part in given.parts:
        element = element_for(elements, name, part, place)
        value, about = value_for(element, part, f"{place}.{name}")
        if not element.many:
            if element.name in built or "_" + element.name in built:
                raise _unprocessable(f"{name} may occur only once", f"{place}.{name}")
            if value is not None:
                built[element.name] = value
            if about is not None:
                built["_" + element.name] = about
            continue
        built.setdefault(element.name, []).append(value)
        if about is not None or "_" + element.name in built:
            abouts = built.setdefault("_" + element.name, [])
            abouts.extend([None] * (len(built[element.name]) - 1 - len(abouts)))
            abouts.append(about)
    return built


def _invalid(where: str, text: str) -> Invalid:
    return Invalid(issues=(Issue("error", "invalid", text, (where,)),))


def _unprocessable(text: str, place: str) -> Unprocessable:
    return Unprocessable(issues=(Issue("error", "processing", text, (place,)),))
