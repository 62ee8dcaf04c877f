"""Which converter makes the entries of a value: by parameter type and the value's FHIR type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.conformance.implied_system import implied_system
from fhirserver.search.expression import Kind
from fhirserver.search.types import (
    Converter,
    date,
    number,
    position,
    quantity,
    reference,
    string,
    token,
    uri,
)

if TYPE_CHECKING:
    from fhirserver.model.definitions import Element
    from fhirserver.search.entries import Entry

_TABLES: dict[str, tuple[dict[str, Converter], Converter]] = {
    "string": (string.CONVERT, string.presence),
    "token": (token.CONVERT, token.presence),
    "date": (date.CONVERT, date.presence),
    "number": (number.CONVERT, number.presence),
    "quantity": (quantity.CONVERT, quantity.presence),
    "uri": (uri.CONVERT, uri.presence),
}

#: The kind of entry that each parameter type has.
KINDS: dict[str, Kind] = {
    "string": Kind.STRING,
    "token": Kind.TOKEN,
    "reference": Kind.REFERENCE,
    "date": Kind.DATE,
    "number": Kind.NUMBER,
    "quantity": Kind.QUANTITY,
    "uri": Kind.URI,
    "special": Kind.POSITION,
}


def converter(
    parameter_type: str, value_type: str, element: Element | None, bases: tuple[str, ...]
) -> Converter:
    """The converter of values of FHIR type `value_type` for a parameter of `parameter_type`.

    What has no searchable form leaves its presence. `element`, where known, tells a code's system.
    """
    if parameter_type == "reference":
        return reference.converters(bases).get(value_type, reference.presence)
    if parameter_type == "special":
        return _position
    if parameter_type == "token" and value_type == "code":
        binding = element.required_binding if element is not None else None
        return token.coded(implied_system(binding) if binding else "")
    table, presence = _TABLES[parameter_type]
    return table.get(value_type, presence)


def _position(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    for param in params:
        position.entries(param, value, out)
