"""The sample resources are valid, hang together, and are recognisably invented."""

import base64
import hashlib
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from fhirserver.model import json as fhir_json
from fhirserver.model.references import links, parse
from fhirserver.validation.validator import Validator

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.json"))
BUNDLES = {file.stem: fhir_json.decode(file.read_bytes()) for file in FILES}
RESOURCES = {
    f"{entry['resource']['resourceType']}/{entry['resource']['id']}": entry["resource"]
    for bundle in BUNDLES.values()
    for entry in bundle["entry"]
}
INS_TEST = "urn:oid:1.2.250.1.213.1.4.10"


@pytest.fixture(scope="module")
def validator():
    return Validator()


def of_type(type):
    return [r for r in RESOURCES.values() if r["resourceType"] == type]


@pytest.mark.parametrize("name", BUNDLES)
def test_bundle_and_each_of_its_resources_is_valid(validator, name):
    bundle = BUNDLES[name]
    assert validator.validate(bundle) == []
    for entry in bundle["entry"]:
        issues = validator.validate(entry["resource"])
        assert issues == [], entry["fullUrl"]


@pytest.mark.parametrize("name", BUNDLES)
def test_entries_are_puts_under_their_own_ids(name):
    for entry in BUNDLES[name]["entry"]:
        identity = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        assert entry["request"] == {"method": "PUT", "url": identity}
        assert entry["fullUrl"] == f"https://espace-sante.example/fhir/{identity}"


def test_no_resource_stands_twice():
    assert len(RESOURCES) == sum(len(bundle["entry"]) for bundle in BUNDLES.values())


def test_every_reference_leads_to_a_sample_resource():
    for name, resource in RESOURCES.items():
        for link in links(resource):
            if link.type == "reference":
                reference = parse(link.value)
                assert reference.kind == "literal", (name, link)
                assert reference.literal in RESOURCES, (name, link)


def test_there_are_twelve_citizens_with_a_file_each():
    patients = {resource["id"] for resource in of_type("Patient")}
    assert len(patients) == 12
    assert patients | {"directory", "catalogue"} == BUNDLES.keys()


def test_ins_numbers_are_test_numbers_with_a_valid_key_that_agree_with_the_traits():
    for patient in of_type("Patient"):
        (number,) = [i["value"] for i in patient["identifier"] if i["system"] == INS_TEST]
        assert re.fullmatch(r"\d{15}", number)
        assert int(number[13:]) == 97 - int(number[:13]) % 97
        assert number[0] == {"male": "1", "female": "2"}[patient["gender"]]
        year, month, _ = patient["birthDate"].split("-")
        assert number[1:5] == year[2:] + month
        place = next(e for e in patient["extension"] if e["url"].endswith("patient-birthPlace"))
        assert number[5:10] == place["valueAddress"]["extension"][0]["valueCoding"]["code"]


def luhn(digits):
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        total += digit if place % 2 == 0 else sum(divmod(2 * digit, 10))
    return total % 10 == 0


def test_numbers_of_practitioners_and_organizations_have_a_valid_key():
    for resource in [*of_type("Practitioner"), *of_type("Organization")]:
        for identifier in resource["identifier"]:
            if identifier["system"] in (
                "https://rpps.esante.gouv.fr",
                "https://finess.esante.gouv.fr",
                "https://sirene.fr",
            ):
                assert luhn(identifier["value"]), resource["id"]


def test_network_names_are_reserved_ones():
    text = json.dumps(list(RESOURCES.values()), default=str)
    for address in re.findall(r"[\w.+-]+@([\w.-]+)", text):
        assert address.endswith(".example")


def test_attachments_have_the_size_and_hash_of_their_binary():
    documents = of_type("DocumentReference")
    assert len(documents) >= 15
    kinds = set()
    for document in documents:
        attachment = document["content"][0]["attachment"]
        binary = RESOURCES[attachment["url"]]
        data = base64.b64decode(binary["data"], validate=True)
        assert attachment["size"] == len(data)
        assert attachment["hash"] == base64.b64encode(hashlib.sha1(data).digest()).decode()
        assert attachment["contentType"] == binary["contentType"]
        kinds.add(data[:5])
    assert {b"%PDF-", b"<?xml"} <= kinds


def test_all_four_services_are_there():
    types = {resource["resourceType"] for resource in RESOURCES.values()}
    assert types >= {
        "DocumentReference",
        "Binary",
        "Appointment",
        "Schedule",
        "Slot",
        "Immunization",
        "ImmunizationRecommendation",
        "Communication",
        "Consent",
        "Device",
        "DeviceDefinition",
        "Endpoint",
        "HealthcareService",
        "RelatedPerson",
        "AuditEvent",
        "Provenance",
    }


def test_quantities_are_ucum_and_keep_their_digits():
    values = [q["valueQuantity"] for q in of_type("Observation") if "valueQuantity" in q]
    assert len(values) > 40
    assert {value["system"] for value in values} == {"http://unitsofmeasure.org"}
    assert Decimal("8.10") in {v["value"] for v in values}
    assert "8.10" in {str(v["value"]) for v in values}


def test_table_of_the_readme_lists_every_file():
    told = re.findall(r"^\| `(.+?)\.json`", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(BUNDLES)
