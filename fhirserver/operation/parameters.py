"""Reads what an operation is called with, and writes its answer
(https://hl7.org/fhir/R4/parameters.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid, Issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.interaction.context import Resource
    from fhirserver.operation.call import Call


def given(call: Call) -> Iterator[tuple[str, Any]]:
    """Each parameter's name and value: text from the URL, a JSON value or resource from a body."""
    yield from call.query
    if call.body is None:
        return
    if call.body.get("resourceType") != "Parameters":
        raise Invalid("The body must be a Parameters resource.")
    parameters = call.body.get("parameter", [])
    if not isinstance(parameters, list):
        raise Invalid("Parameters.parameter must be a list.")
    for place, parameter in enumerate(parameters):
        where = f"Parameters.parameter[{place}]"
        if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
            raise _invalid(where, "needs a name")
        values = [v for n, v in parameter.items() if n.startswith("value") or n == "resource"]
        if len(values) != 1:
            raise _invalid(where, "needs exactly one value")
        yield parameter["name"], values[0]


def answer(**values: tuple[str, Any]) -> Resource:
    """A Parameters resource: `name=("valueInteger", 3)`; None leaves a parameter out. An
    underscore at the end of a name (`return_`) is not part of it."""
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": name.rstrip("_"), value[0]: value[1]}
            for name, value in values.items()
            if value[1] is not None
        ],
    }


def _invalid(where: str, text: str) -> Invalid:
    return Invalid(issues=(Issue("error", "invalid", f"{where} {text}.", (where,)),))
