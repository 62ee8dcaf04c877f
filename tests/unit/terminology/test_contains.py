"""What `contains` knows, denies and leaves open."""

from __future__ import annotations

import pytest

from fhirserver.model.definitions import type_definition, type_names
from fhirserver.terminology import contains, expansion

VS = "http://hl7.org/fhir/ValueSet/"
GENDER = "http://hl7.org/fhir/administrative-gender"
V3 = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


@pytest.mark.parametrize(
    ("value_set", "system", "code", "verdict"),
    [
        ("administrative-gender", None, "male", True),
        ("administrative-gender", GENDER, "male", True),
        ("administrative-gender|4.0.1", None, "male", True),
        ("administrative-gender", None, "Male", False),
        ("administrative-gender", "http://example.org", "male", False),
        ("administrative-gender", None, "", False),
        ("resource-types", None, "Patient", True),
        ("resource-types", None, "Citation", False),
        ("all-types", None, "HumanName", True),
        ("currencies", None, "EUR", True),
        ("currencies", None, "FRF", False),
        ("mimetypes", None, "application/fhir+json", True),
        ("mimetypes", None, "text/plain; charset=utf-8", True),
        ("mimetypes", None, "garbage", False),
        ("all-languages", None, "fr-FR", True),
        ("all-languages", None, "fr_FR", False),
        ("languages", None, "fr", True),
        ("ucum-units", "http://unitsofmeasure.org", "mg", None),
        ("ucum-units", "http://example.org", "mg", False),
        ("clinical-findings", "http://snomed.info/sct", "38341003", None),
        ("no-such-set", None, "x", None),
        ("v3-ActEncounterCode", V3, "AMB", True),
        ("v3-ActEncounterCode", V3, "_ActNoSuch", False),
        ("units-of-time", None, "min", True),
    ],
)
def test_contains(value_set: str, system: str | None, code: str, verdict: bool | None) -> None:
    prefix = "http://terminology.hl7.org/ValueSet/" if value_set.startswith("v3-") else VS
    assert contains(prefix + value_set, system, code) is verdict


def test_every_required_binding_is_known_but_for_those_that_cannot_be_listed() -> None:
    bound = {
        element.required_binding
        for name in type_names()
        for element in type_definition(name).elements.values()
        if element.required_binding
    }
    unlisted = {url for url in bound if (e := expansion(url)) is None or not e.closed}
    assert len(bound) > 200
    assert unlisted == {
        VS + "mimetypes",
        VS + "ucum-units",
        VS + "all-languages",
        "http://loinc.org/vs/LL379-9",
        "http://www.rfc-editor.org/bcp/bcp13.txt",
    }


def test_value_set_expansions_are_never_empty_for_required_bindings() -> None:
    for name in type_names():
        for element in type_definition(name).elements.values():
            found = expansion(element.required_binding or "")
            if found is not None and found.closed:
                assert any(found.codes.values()), element
