"""The compiled types say what the specification's pages say."""

from __future__ import annotations

import pytest

from fhirserver.model.definitions import (
    PRIMITIVES,
    RESOURCE_TYPES,
    type_definition,
    type_names,
)


def test_r4_has_146_resource_types() -> None:
    assert len(RESOURCE_TYPES) == 146
    assert {"Patient", "DocumentReference", "MedicinalProduct"} <= RESOURCE_TYPES
    assert not {"Resource", "DomainResource", "Citation", "SubscriptionTopic"} & RESOURCE_TYPES


def test_every_type_resolves_and_points_to_types_that_exist() -> None:
    names = set(type_names())
    for name in names:
        for element in type_definition(name).elements.values():
            assert element.type in names, (name, element)
            assert element.primitive == (type_definition(element.type).kind == "primitive")


def test_unknown_type_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        type_definition("Citation")


def test_choices_are_expanded_to_json_names_in_order() -> None:
    names = list(type_definition("Observation").elements)
    start = names.index("valueQuantity")
    assert names[start : start + 3] == ["valueQuantity", "valueCodeableConcept", "valueString"]
    value = type_definition("Observation").elements["valueDateTime"]
    assert (value.choice, value.type, value.primitive) == ("value", "dateTime", True)


def test_elements_of_a_resource_stand_in_the_order_of_the_specification() -> None:
    assert list(type_definition("Patient").elements)[:10] == [
        "id",
        "meta",
        "implicitRules",
        "language",
        "text",
        "contained",
        "extension",
        "modifierExtension",
        "identifier",
        "active",
    ]


def test_content_references_resolve_to_the_element_they_repeat() -> None:
    assert type_definition("Bundle.entry").elements["link"].type == "Bundle.link"
    part = type_definition("Parameters.parameter").elements["part"]
    assert (part.type, part.many) == ("Parameters.parameter", True)


def test_bindings_targets_flags_and_attributes() -> None:
    patient = type_definition("Patient").elements
    assert patient["gender"].required_binding == (
        "http://hl7.org/fhir/ValueSet/administrative-gender"
    )
    assert patient["maritalStatus"].required_binding is None
    assert patient["language"].required_binding == "http://hl7.org/fhir/ValueSet/all-languages"
    assert patient["managingOrganization"].targets == ("Organization",)
    assert patient["active"].modifier
    assert patient["active"].summary
    assert patient["id"].type == "id"
    assert not patient["id"].attribute
    assert type_definition("Extension").elements["url"].attribute
    assert type_definition("HumanName").elements["id"].attribute
    assert type_definition("Narrative").elements["div"].type == "xhtml"
    dose = type_definition("Dosage.doseAndRate").elements["doseQuantity"]
    assert (dose.type, dose.profile) == ("Quantity", "SimpleQuantity")


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("date", "2024-02", "2024-2"),
        ("dateTime", "2024-02-29T10:00:00Z", "2024-02-29T10:00:00"),
        ("id", "a-1.B", "a_1"),
        ("oid", "urn:oid:1.2.250", "1.2.250"),
        ("code", "a b", "a  b"),
    ],
)
def test_primitive_formats(type_: str, good: str, bad: str) -> None:
    assert PRIMITIVES[type_].fullmatch(good)
    assert not PRIMITIVES[type_].fullmatch(bad)
