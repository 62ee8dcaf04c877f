"""Whose data a resource is."""

from __future__ import annotations

import json

import pytest

from fhirserver.access.audit.subject import Subjects
from fhirserver.conformance.registry import Registry
from fhirserver.model.version import Version


@pytest.fixture(scope="module")
def subjects():
    return Subjects(Registry(), ("https://here.example/fhir",))


def version(kind, /, **elements):
    resource = {"resourceType": kind, "id": "1", **elements}
    return Version(kind, "1", 1, 0, "PUT", json.dumps(resource).encode())


def ref(text):
    return {"reference": text}


@pytest.mark.parametrize(
    ("type", "elements", "patients"),
    [
        ("Patient", {"link": [{"other": ref("Patient/2"), "type": "seealso"}]}, ("1",)),
        ("Observation", {"subject": ref("Patient/a")}, ("a",)),
        ("Observation", {"subject": ref("Patient/a/_history/3")}, ("a",)),
        ("Observation", {"subject": ref("https://here.example/fhir/Patient/a")}, ("a",)),
        ("Observation", {"subject": ref("https://there.example/fhir/Patient/a")}, ()),
        ("Observation", {"subject": ref("Group/a")}, ()),
        ("Observation", {"subject": ref("#p")}, ()),
        # Who measured for somebody else is not told.
        ("Observation", {"subject": ref("Patient/a"), "performer": [ref("Patient/b")]}, ("a",)),
        ("Observation", {"performer": [ref("Patient/b")]}, ("b",)),
        ("Observation", {"subject": ref("Patient/a"), "focus": [ref("Patient/b")]}, ("a",)),
        ("AllergyIntolerance", {"patient": ref("Patient/a")}, ("a",)),
        ("Condition", {"subject": ref("Patient/a"), "asserter": ref("Patient/b")}, ("a",)),
        (
            "Appointment",
            {"participant": [{"actor": ref("Patient/a")}, {"actor": ref("Patient/b")}]},
            ("a", "b"),
        ),
        ("Group", {"member": [{"entity": ref("Patient/a")}]}, ("a",)),
        ("Coverage", {"beneficiary": ref("Patient/a"), "payor": [ref("Patient/b")]}, ("a",)),
        (
            "AuditEvent",
            {"agent": [{"who": ref("Patient/b")}], "entity": [{"what": ref("Patient/a")}]},
            ("a",),
        ),
        (
            "Bundle",
            {
                "type": "document",
                "entry": [
                    {"resource": {"resourceType": "Composition", "subject": ref("Patient/a")}},
                    {"resource": {"resourceType": "Composition", "subject": ref("Patient/b")}},
                ],
            },
            ("a",),
        ),
        ("Organization", {"name": "x"}, ()),
        ("Observation", {"subject": "Patient/a"}, ()),
        ("Observation", {"subject": {"reference": 7}}, ()),
    ],
)
def test_the_patient_is_whom_the_resource_is_about(subjects, type, elements, patients):
    assert subjects.of(version(type, **elements))[0] == patients


def test_a_deletion_tells_of_nobody(subjects):
    assert subjects.of(Version("Observation", "1", 2, 0, "DELETE", None)) == ((), ())


def test_labels_that_hide_are_told(subjects):
    security = [{"code": "MASQUE_PS"}, {"code": "INVISIBLE_PATIENT"}, {"code": "R"}]
    made = version("Observation", subject=ref("Patient/a"), meta={"security": security})
    assert subjects.of(made) == (("a",), ("INVISIBLE_PATIENT",))


def test_the_words_of_a_label_elsewhere_hide_nothing(subjects):
    made = version("Observation", subject=ref("Patient/a"), note=[{"text": "INVISIBLE_PATIENT"}])
    assert subjects.of(made) == (("a",), ())


def test_every_type_of_the_compartment_has_paths(subjects):
    for type in Registry().compartment("Patient"):
        about, others = subjects._compiled(type)
        assert about or others, type
