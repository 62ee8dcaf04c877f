"""One JSON schema for every resource type, generated from the element tables.

https://hl7.org/fhir/R4/json.html

The schema only ever accepts. It is stricter than FHIR in rare places (null in a list beside
`_name`, a required primitive that has only extensions): what it refuses, `structure.py` judges.
An instance is given as `{type: resource}`, so that the type selects its definition in one step.
Resources inside resources are objects here; each is validated on its own.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from fhirserver.model.definitions import (
    PRIMITIVES,
    RESOURCE_TYPES,
    Element,
    TypeDefinition,
    type_definition,
    type_names,
)
from fhirserver.terminology import expansion
from fhirserver.validation.primitives import schema_of

Schema = dict[str, Any]
_NESTED: Schema = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {"resourceType": {"type": "string"}},
}


def compile_validator() -> Any:
    """The validator of the schema (a jsonschema_rs.Validator)."""
    return jsonschema_rs.validator_for(
        build(), pattern_options=jsonschema_rs.RegexOptions(), validate_formats=False
    )


def build() -> Schema:
    """The schema as JSON."""
    definitions: Schema = {f"p-{name}": schema_of(name) for name in PRIMITIVES}
    for name in type_names():
        definition = type_definition(name)
        if (definition.kind != "primitive" and not definition.abstract) or name == "Element":
            definitions[name] = _of_type(definition, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": definitions,
        "type": "object",
        "properties": {name: {"$ref": f"#/$defs/{name}"} for name in sorted(RESOURCE_TYPES)},
        "additionalProperties": False,
    }


def _of_type(definition: TypeDefinition, definitions: Schema) -> Schema:
    properties: Schema = {}
    if definition.kind == "resource":
        properties["resourceType"] = {"const": definition.name}
    for element in definition.elements.values():
        value = _of_element(element, definitions)
        if element.many:
            properties[element.name] = {"type": "array", "items": value, "minItems": 1}
        else:
            properties[element.name] = value
            if element.primitive and not element.attribute and element.type != "xhtml":
                properties["_" + element.name] = {"$ref": "#/$defs/Element"}
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
    }
    required = [e.name for e in definition.elements.values() if e.min and e.choice is None]
    if required:
        schema["required"] = required
    return schema


def _of_element(element: Element, definitions: Schema) -> Schema:
    if element.type == "Resource":
        return _NESTED
    if not element.primitive:
        return {"$ref": f"#/$defs/{element.type}"}
    if element.required_binding and element.type == "code":
        codes = _codes(element.required_binding)
        if codes is not None:
            name = "vs-" + element.required_binding.rpartition("/")[2]
            definitions.setdefault(name, {"enum": codes})
            return {"$ref": f"#/$defs/{name}"}
    return {"$ref": f"#/$defs/p-{element.type}"}


def _codes(value_set: str) -> list[str] | None:
    known = expansion(value_set)
    if known is None or not known.closed:
        return None
    return sorted({code for codes in known.codes.values() for code in codes})
