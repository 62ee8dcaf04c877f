"""The registry of search parameters and compartments."""

from __future__ import annotations

from typing import Any

import pytest

from fhirserver.conformance.registry import Registry
from fhirserver.errors import Invalid
from fhirserver.model.definitions import RESOURCE_TYPES

EYES: dict[str, Any] = {
    "resourceType": "SearchParameter",
    "url": "http://example.org/SearchParameter/eyes",
    "name": "eyes",
    "status": "active",
    "description": "Colour of the eyes",
    "code": "eyes",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension('http://example.org/eyes').value",
}


def test_each_type_has_its_own_parameters_and_those_of_every_resource() -> None:
    registry = Registry()
    patient = registry.parameters("Patient")
    for code in ("name", "birthdate", "_id", "_lastUpdated", "_tag", "_profile", "_security"):
        assert code in patient
    assert "_text" in patient
    assert "_source" in patient
    assert "_text" not in registry.parameters("Bundle")
    assert registry.parameter("Patient", "code") is None
    assert "name" not in registry.parameters("Resource")
    with pytest.raises(KeyError):
        registry.parameters("Nothing")


def test_every_parameter_of_every_type_is_there() -> None:
    registry = Registry()
    urls = {p.url for type in RESOURCE_TYPES for p in registry.parameters(type).values()}
    own = {url for url in urls if not url.startswith("http://hl7.org/")}
    assert len(urls - own) == 1374  # _query is not a parameter of a search here
    assert "http://fhirserver.example/SearchParameter/Consent-provision-type" in own


def test_shared_parameter_keeps_its_targets_and_type() -> None:
    patient = Registry().parameter("Observation", "patient")
    assert patient is not None
    assert (patient.type, patient.targets) == ("reference", ("Patient", "Group"))


def test_compartments_name_parameters_that_exist() -> None:
    registry = Registry()
    assert set(registry.compartments()) == {
        "Patient",
        "Encounter",
        "RelatedPerson",
        "Practitioner",
        "Device",
    }
    assert registry.compartment("Patient")["Observation"] == ("subject", "performer")
    for name in registry.compartments():
        for type, codes in registry.compartment(name).items():
            for code in codes:
                parameter = registry.parameter(type, code)
                assert parameter is not None, (name, type, code)
                assert parameter.type == "reference"
    with pytest.raises(KeyError):
        registry.compartment("Location")


def test_runtime_parameter_is_known_at_once_and_forgotten_again() -> None:
    registry = Registry()
    epoch = registry.epoch
    registry.put(EYES)
    assert registry.epoch > epoch
    parameter = registry.parameter("Patient", "eyes")
    assert parameter is not None
    assert parameter.runtime
    assert registry.parameter("Practitioner", "eyes") is None
    epoch = registry.epoch
    registry.remove(EYES["url"])
    assert registry.epoch > epoch
    assert registry.parameter("Patient", "eyes") is None


@pytest.mark.parametrize("status", ["draft", "retired", "unknown"])
def test_only_an_active_parameter_is_searched_by(status: str) -> None:
    registry = Registry()
    registry.put({**EYES, "status": status})
    assert registry.parameter("Patient", "eyes") is None


def test_runtime_parameter_stands_for_the_specification_s_of_the_same_url() -> None:
    registry = Registry()
    before = registry.parameter("Patient", "birthdate")
    assert before is not None
    replacement = {
        **EYES,
        "url": before.url,
        "code": "birthdate",
        "type": "date",
        "expression": "Patient.deceased.as(dateTime)",
    }
    registry.put(replacement)
    now = registry.parameter("Patient", "birthdate")
    assert now is not None
    assert now.expression == replacement["expression"]
    registry.put({**replacement, "status": "retired"})
    assert registry.parameter("Patient", "birthdate") is None
    registry.remove(before.url)
    assert registry.parameter("Patient", "birthdate") == before


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"resourceType": "Patient"}, "resourceType"),
        ({"url": None}, "url"),
        ({"code": None}, "code"),
        ({"code": "a:b"}, "code"),
        ({"code": "a.b"}, "code"),
        ({"code": "_count"}, "code"),
        ({"code": "_id"}, "code"),
        ({"status": "x"}, "status"),
        ({"base": []}, "base"),
        ({"base": ["Nothing"]}, "base[0]"),
        ({"base": ["Patient", "Thing"]}, "base[1]"),
        ({"type": "text"}, "type"),
        ({"type": "special"}, "type"),
        ({"expression": None}, "expression"),
        ({"expression": "Patient.("}, "expression"),
        ({"expression": "Observation.code"}, "expression"),
        ({"expression": "Patient.nothing"}, "expression"),
        ({"target": ["Nothing"]}, "target[0]"),
        ({"target": "Patient"}, "target"),
        ({"type": "composite"}, "component"),
        ({"component": [{"definition": "x", "expression": "y"}]}, "component"),
        (
            {"type": "composite", "component": [{"definition": "x", "expression": "a"}] * 2},
            "component[0].definition",
        ),
        (
            {
                "type": "composite",
                "component": [
                    {"definition": "http://hl7.org/fhir/SearchParameter/clinical-code"},
                    {},
                ],
            },
            "component[0].expression",
        ),
    ],
)
def test_parameter_that_cannot_be_searched_by_is_refused_with_its_place(
    change: dict[str, Any], place: str
) -> None:
    registry = Registry()
    resource = {k: v for k, v in {**EYES, **change}.items() if v is not None}
    with pytest.raises(Invalid) as refusal:
        registry.put(resource)
    assert refusal.value.issues[0].expression == (f"SearchParameter.{place}",)
    assert registry.epoch == Registry().epoch


def test_code_of_another_parameter_is_refused() -> None:
    registry = Registry()
    with pytest.raises(Invalid, match="already has"):
        registry.put({**EYES, "code": "birthdate"})
    registry.put(EYES)
    with pytest.raises(Invalid, match="already has"):
        registry.put({**EYES, "url": "http://example.org/other"})
    registry.put({**EYES, "expression": "Patient.gender"})


def test_parameter_of_every_resource_reaches_each_type() -> None:
    registry = Registry()
    registry.put(
        {**EYES, "base": ["Resource"], "code": "tongue", "expression": "Resource.language"}
    )
    assert registry.parameter("Bundle", "tongue") is not None
    assert registry.parameter("Patient", "tongue") is not None


def test_other_registries_are_not_touched() -> None:
    registry = Registry()
    registry.put(EYES)
    assert Registry().parameter("Patient", "eyes") is None
