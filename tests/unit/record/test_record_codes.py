"""The tables of document codes, and the script that makes them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fhirserver.errors import Unprocessable
from fhirserver.model import shipped
from fhirserver.record.compile import main
from fhirserver.record.document_codes import document_types, formats
from fhirserver.record.french import says_so
from fhirserver.record.metadata import completed, with_class

FRENCH = Path(__file__).parents[4] / "shared" / "data" / "french"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
LOINC = "http://loinc.org"
MORE = "https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
CLASSES = "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
FORMATS = "https://mos.esante.gouv.fr/NOS/TRE_A11-IheFormatCode/FHIR/TRE-A11-IheFormatCode"
FACILITIES = "https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite"
PRACTICES = "https://mos.esante.gouv.fr/NOS/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice"
ANS_LOINC = "https://mos.esante.gouv.fr/NOS/TRE_A04-Loinc/FHIR/TRE-A04-Loinc"


def test_the_script_makes_the_tables_that_are_shipped(tmp_path):
    if not FRENCH.is_dir():
        pytest.skip(f"there is no reference data at {FRENCH}")
    assert main([str(FRENCH), str(tmp_path)]) == 0
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = shipped.folder("terminology") / "record"
    assert made == {name: (kept / name).read_bytes() for name in made}
    assert len(made) == 3


def test_there_are_the_types_of_the_dmp_each_with_a_class():
    types = document_types()
    assert len(types.class_of) >= 120
    assert sum(found is None for found in types.class_of.values()) < 10
    assert {found[1] for found in types.class_of.values() if found} <= {
        *types.classes,
        "urn:oid:1.3.6.1.4.1.19376.1.2.1.1.1",
    }


@pytest.mark.parametrize(
    ("system", "code", "of"),
    [
        (LOINC, "11488-4", "10"),
        (LOINC, "60591-5", "11"),
        (LOINC, "18748-4", "31"),
        (LOINC, "57833-6", "42"),
        (LOINC, "60593-1", "43"),
        (LOINC, "18776-5", "44"),
        (LOINC, "80565-5", "45"),
        (LOINC, "11369-6", "52"),
        (MORE, "REMB", "60"),
        (MORE, "EXPPAT_3", "90"),
        (MORE, "ATTEST-RESID", "95"),
        (MORE, "DOCPAT04", "31"),
    ],
)
def test_the_class_of_a_type(system, code, of):
    assert document_types().class_of[(system, code)] == (CLASSES, of)
    (category,) = with_class(None, (system, code))
    assert category["coding"][0]["code"] == of
    assert category["coding"][0]["display"] == document_types().classes[of]


def test_a_class_is_added_kept_or_put_right():
    own = {"coding": [{"system": "urn:x", "code": "y"}]}
    right = {"coding": [{"system": CLASSES, "code": "10"}]}
    wrong = {"coding": [{"system": "urn:x", "code": "y"}, {"system": CLASSES, "code": "11"}]}
    type = (LOINC, "11488-4")
    assert with_class([own], type)[0] == own
    assert with_class([own], type)[1]["coding"][0]["code"] == "10"
    assert with_class([right], type) == [right]
    (put_right,) = with_class([wrong], type)
    assert [c["code"] for c in put_right["coding"]] == ["y", "10"]
    with pytest.raises(Unprocessable):
        with_class([{"coding": [{"system": CLASSES, "code": "03"}]}], type)


def test_formats_are_those_of_the_documents():
    assert formats().by_template["1.2.250.1.213.1.1.1.39"][1] == "urn:ihe:pharm:pre:2010"
    assert formats().by_media_type["application/pdf"][1] == "urn:ihe:iti:xds-sd:pdf:2008"


def document(**more):
    return {
        "resourceType": "DocumentReference",
        "type": {"coding": [{"system": LOINC, "code": "11488-4"}]},
        "subject": {"reference": "Patient/1"},
        "author": [{"reference": "Practitioner/1"}],
        "content": [{"attachment": {}}],
    } | more


@pytest.mark.parametrize(
    "change",
    [
        {
            "content": [
                {
                    "attachment": {},
                    "format": {
                        "system": FORMATS,
                        "code": "x",
                    },
                }
            ]
        },
        {
            "context": {
                "facilityType": {
                    "coding": [
                        {
                            "system": FACILITIES,
                            "code": "SA00",
                        }
                    ]
                }
            }
        },
        {
            "context": {
                "practiceSetting": {
                    "coding": [
                        {
                            "system": PRACTICES,
                            "code": "x",
                        }
                    ]
                }
            }
        },
        {"type": {"coding": [{"system": LOINC, "code": "34108-1"}]}},
        {"type": {"coding": [{"system": MORE, "code": "x"}]}},
        {"author": []},
    ],
    ids=["format", "facility", "practice", "type", "complementary type", "author"],
)
def test_codes_that_an_ans_system_does_not_have_are_refused(change):
    assert completed(document(), NOW)["date"] == "2026-11-24T00:00:00.000Z"
    with pytest.raises(Unprocessable):
        completed(document(**change), NOW)


def test_codes_of_other_systems_are_left_alone():
    snomed = {"coding": [{"system": "http://snomed.info/sct", "code": "22232009"}]}
    found = completed(document(context={"facilityType": snomed}), NOW)
    assert found["context"]["facilityType"] == snomed


@pytest.mark.parametrize(
    ("resource", "french"),
    [
        ({"type": {"coding": [{"system": LOINC, "code": "11488-4"}]}}, True),
        ({"type": {"coding": [{"system": ANS_LOINC, "code": "anything"}]}}, True),
        ({"type": {"coding": [{"system": MORE, "code": "anything"}]}}, True),
        ({"category": [{"coding": [{"system": CLASSES, "code": "10"}]}]}, True),
        (
            {
                "meta": {
                    "profile": ["https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/x"]
                }
            },
            True,
        ),
        ({"type": {"coding": [{"system": LOINC, "code": "34108-1"}]}}, False),
        ({"type": {"coding": [{"system": "urn:x", "code": "11488-4"}]}}, False),
        ({"type": {"text": "Compte rendu"}}, False),
        (
            {
                "meta": {
                    "profile": [
                        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-documentreference"
                    ]
                }
            },
            False,
        ),
        ({}, False),
    ],
)
def test_which_documents_are_of_the_record(resource, french):
    assert says_so(resource) is french
