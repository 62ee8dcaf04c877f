"""The definitions that travel with the server are valid, and name what the server states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fhirserver.conformance.shipped_definitions import TYPES, definition, of_type
from fhirserver.model.json import decode_stored
from fhirserver.operation import OPERATIONS
from fhirserver.validation.validator import Validator

OWN = "http://fhirserver.example/"
SOURCE = Path(__file__).parents[3] / "fhirserver"
NAMED = re.compile(
    r"(?:http://fhirserver\.example|\{_?BASE\})"
    r"/((?:StructureDefinition|CodeSystem|ValueSet|Measure|SearchParameter)/[a-z][a-z-]+)\""
)
SHIPPED = [decode_stored(version.content) for type in sorted(TYPES) for version in of_type(type)]


@pytest.mark.parametrize("resource", SHIPPED, ids=lambda r: f"{r['resourceType']}-{r['id']}")
def test_each_is_a_valid_resource(resource):
    assert [i for i in Validator().validate(resource) if i.severity == "error"] == []


def test_no_two_have_the_same_url():
    urls = [resource["url"] for resource in SHIPPED]
    assert len(urls) == len(set(urls))


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS.values() if each.definition.startswith(OWN)],
    ids=lambda each: each.code,
)
def test_each_operation_of_our_own_is_defined_as_it_is_called(operation):
    version = definition("OperationDefinition", operation.code)
    assert version is not None
    defined = decode_stored(version.content)
    assert defined["url"] == operation.definition
    assert defined["code"] == operation.code
    called = (operation.system, operation.type, operation.instance, operation.affects_state)
    assert (
        defined["system"],
        defined["type"],
        defined["instance"],
        defined["affectsState"],
    ) == called
    if operation.types:
        assert set(defined["resource"]) == operation.types


def test_what_the_code_names_by_a_url_of_ours_is_shipped():
    named = {
        OWN + name
        for file in SOURCE.rglob("*.py")
        for name in NAMED.findall(file.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert named <= {resource["url"] for resource in SHIPPED}
