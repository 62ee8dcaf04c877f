"""The catalogue's own conformance resources are valid and name what the code uses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhirserver.access.decision import listing
from fhirserver.catalogue import names
from fhirserver.catalogue.rules import rules
from fhirserver.operation import OPERATIONS
from fhirserver.validation.validator import Validator

ROOT = Path(__file__).parents[3]
RESOURCES = [
    resource
    for file in sorted((ROOT / "profiles" / "catalogue").glob("*.json"))
    for resource in json.loads(file.read_text())
] + [
    json.loads(file.read_text())
    for file in sorted((ROOT / "terminology" / "catalogue").glob("*.json"))
]
URLS = {resource["url"]: resource for resource in RESOURCES}


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: f"{r['resourceType']}-{r['id']}")
def test_each_is_a_valid_resource(resource):
    assert [i for i in Validator().validate(resource) if i.severity == "error"] == []


def test_what_the_code_names_is_defined():
    own = (listing.REFERENCING, listing.CONVENTION, listing.ENTRY, listing.AGREED, names.REVIEW)
    systems = (names.FAMILY, names.VERDICT, names.INPUT, names.CHARACTERISTIC, names.CATEGORY,
               names.THEME, names.REGION, listing.PURPOSE, listing.TASK)  # fmt: skip
    assert URLS.keys() >= {*own, *systems}
    for code in ("apps", "app-activity"):
        definition = URLS[OPERATIONS[code].definition]
        assert definition["code"] == code


def test_the_states_of_the_rules_are_those_of_the_code_system():
    assert {s for s in rules().device if s} == names.codes("referencing-status").keys()
    for table in (rules().device, rules().task):
        for following in table.values():
            assert following.keys() <= table.keys()


def test_ce_marking_is_a_family_of_medical_devices_alone():
    every = names.families(medical_device=True)
    assert every - names.families(medical_device=False) == {names.CE_MARKING}
    assert len(every) == 5
