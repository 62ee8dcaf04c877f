"""Reading a Parameters resource (https://hl7.org/fhir/R4/parameters.html)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhirserver.errors import Invalid, Issue
from fhirserver.model.definitions import RESOURCE_TYPES, type_definition

MAX_DEPTH = 20

#: JSON name of a value (valueString) -> its FHIR type.
VALUE_TYPES = {
    element.name: element.type
    for element in type_definition("Parameters.parameter").elements.values()
    if element.choice == "value"
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `type`: FHIR type of `value` (string, Coding, Patient …), "" when it has
    only `parts`. `about`: id and extensions of a primitive value. `expression`: its place."""

    name: str
    type: str
    value: Any
    parts: tuple[Parameter, ...]
    expression: str
    about: Any = None

    def part(self, name: str) -> Parameter | None:
        """The part of that name; Invalid when there are several."""
        return one(self.parts, name)


def read(resource: Any) -> tuple[Parameter, ...]:
    """The parameters of a Parameters resource, in order; Invalid when it is none."""
    if type(resource) is not dict or resource.get("resourceType") != "Parameters":
        raise Invalid("A Parameters resource is expected here", code="structure")
    return _read(resource.get("parameter", []), "Parameters.parameter", 1)


def one(parameters: tuple[Parameter, ...], name: str) -> Parameter | None:
    """The parameter of that name, None if there is none; Invalid when there are several."""
    found = [parameter for parameter in parameters if parameter.name == name]
    if len(found) > 1:
        raise _invalid(found[1].expression, f"the parameter {name} may occur only once")
    return found[0] if found else None


def value(parameters: tuple[Parameter, ...], name: str, *types: str) -> Any:
    """The value of the one parameter of that name, None if there is none; Invalid when it is not
    of one of `types`."""
    found = one(parameters, name)
    if found is None:
        return None
    if types and found.type not in types:
        wanted = " or ".join(types)
        raise _invalid(found.expression, f"the parameter {name} must be a {wanted}")
    return found.value


def _read(items: Any, where: str, depth: int) -> tuple[Parameter, ...]:
    if type(items) is not list:
        raise _invalid(where, "this must be a list")
    if depth > MAX_DEPTH:
        raise _invalid(where, "parts are nested too deep")
    return tuple(_parameter(item, f"{where}[{n}]", depth) for n, item in enumerate(items))


def _parameter(item: Any, where: str, depth: int) -> Parameter:
    if type(item) is not dict:
        raise _invalid(where, "a parameter is an object")
    name = item.get("name")
    if type(name) is not str or not name:
        raise _invalid(where, "a parameter needs a name")
    kinds = {member.removeprefix("_") for member in item}.intersection(VALUE_TYPES)
    if len(kinds) + ("resource" in item) + ("part" in item) > 1:
        raise _invalid(where, f"the parameter {name[:80]} has more than one value")
    if "part" in item:
        return Parameter(name, "", None, _read(item["part"], f"{where}.part", depth + 1), where)
    if "resource" in item:
        resource = item["resource"]
        type_ = resource.get("resourceType") if type(resource) is dict else None
        if type_ not in RESOURCE_TYPES:
            raise _invalid(f"{where}.resource", "the resource has no known resourceType")
        return Parameter(name, type_, resource, (), where)
    if not kinds:
        return Parameter(name, "", None, (), where)
    kind = kinds.pop()
    return Parameter(name, VALUE_TYPES[kind], item.get(kind), (), where, item.get("_" + kind))


def _invalid(where: str, text: str) -> Invalid:
    return Invalid(issues=(Issue("error", "invalid", text, (where,)),))
