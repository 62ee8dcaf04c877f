"""Reading Parameters resources."""

from __future__ import annotations

import pytest

from fhirserver.errors import Invalid
from fhirserver.model.parameters import one, read, value


def parameters(*items):
    return {"resourceType": "Parameters", "parameter": list(items)}


def test_values_resources_and_parts_are_read_with_their_types_and_places():
    found = read(
        parameters(
            {"name": "a", "valueString": "x", "_valueString": {"id": "i"}},
            {"name": "b", "resource": {"resourceType": "Patient"}},
            {"name": "c", "part": [{"name": "d", "valueCoding": {"code": "e"}}]},
            {"name": "f"},
            {"name": "g", "_valueCode": {"id": "h"}},
        )
    )
    assert [(p.name, p.type, p.value) for p in found] == [
        ("a", "string", "x"), ("b", "Patient", {"resourceType": "Patient"}), ("c", "", None),
        ("f", "", None), ("g", "code", None),
    ]  # fmt: skip
    assert found[0].about == {"id": "i"}
    part = found[2].part("d")
    assert (part.type, part.value, part.expression) == (
        "Coding", {"code": "e"}, "Parameters.parameter[2].part[0]",
    )  # fmt: skip
    assert found[2].part("nothing") is None


def test_a_value_is_found_by_name_and_type():
    found = read(parameters({"name": "a", "valueInteger": 0}, {"name": "b", "valueCode": "c"}))
    assert value(found, "a", "integer", "positiveInt") == 0
    assert value(found, "b") == "c"
    assert value(found, "c", "string") is None
    with pytest.raises(Invalid) as error:
        value(found, "a", "string")
    assert error.value.issues[0].expression == ("Parameters.parameter[0]",)


def test_a_parameter_that_must_be_single_is():
    found = read(parameters({"name": "a"}, {"name": "a"}))
    with pytest.raises(Invalid, match="only once"):
        one(found, "a")


def nested(depth):
    item = {"name": "x"}
    for _ in range(depth):
        item = {"name": "x", "part": [item]}
    return parameters(item)


@pytest.mark.parametrize(
    "resource",
    [
        None, [], {}, {"resourceType": "Patient"}, {"resourceType": "Parameters", "parameter": {}},
        parameters(3), parameters({}), parameters({"name": 1}), parameters({"name": ""}),
        parameters({"name": "a", "valueCode": "x", "valueString": "y"}),
        parameters({"name": "a", "valueCode": "x", "part": []}),
        parameters({"name": "a", "resource": {}}), parameters({"name": "a", "resource": 1}),
        parameters({"name": "a", "part": 3}), parameters({"name": "a", "part": [{}]}), nested(30),
    ],
)  # fmt: skip
def test_what_is_no_parameters_resource_is_invalid(resource):
    with pytest.raises(Invalid):
        read(resource)


def test_a_resource_without_parameters_is_empty():
    assert read({"resourceType": "Parameters"}) == ()
