"""What citizens write in the medical profile can be true, and what a summary shows of it."""

from __future__ import annotations

import pytest

from fhirserver.model.dates import interval
from fhirserver.record.profile.entry import adult, faults
from fhirserver.record.profile.kind import fits, table, when

NOW = interval("2026-11-24T12:00:00Z")[0]
NAMED = {"text": "x"}
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def entry(type, **elements):
    return {"resourceType": type, **elements}


def status(code):
    return {"coding": [{"system": CLINICAL, "code": code}]}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (entry("Condition", code=NAMED, onsetDateTime="1999-03"), []),
        (entry("Condition"), ["Condition.code"]),
        (entry("Condition", code={"coding": [{"system": "urn:x"}]}), ["Condition.code"]),
        (entry("Condition", code={"coding": [{"display": "Asthme"}]}), []),
        (entry("Condition", code=NAMED, onsetDateTime="2027"), ["Condition.onsetDateTime"]),
        (entry("Condition", code=NAMED, onsetDateTime="2026"), []),
        (entry("Condition", code=NAMED, onsetDateTime="2026-11-25"), []),
        (entry("Condition", code=NAMED, onsetDateTime="1960"), ["Condition.onsetDateTime"]),
        (entry("Condition", code=NAMED, onsetDateTime="1961"), []),
        (
            entry("Condition", code=NAMED, onsetPeriod={"start": "1950-01-01"}),
            ["Condition.onsetPeriod"],
        ),
        (entry("Procedure", status="completed", code=NAMED, performedDateTime="2030-01-01"),
         ["Procedure.performedDateTime"]),
        (entry("Procedure", status="preparation", code=NAMED, performedDateTime="2030-01-01"), []),
        (entry("AllergyIntolerance", code=NAMED, lastOccurrence="2028-01-01"),
         ["AllergyIntolerance.lastOccurrence"]),
        (entry("MedicationStatement", medicationCodeableConcept={}),
         ["MedicationStatement.medicationCodeableConcept"]),
        (entry("MedicationStatement", medicationReference={"reference": "Medication/1"}), []),
        (entry("Immunization", status="completed", vaccineCode=NAMED,
               occurrenceDateTime="1950-01-01"), ["Immunization.occurrenceDateTime"]),
        (entry("FamilyMemberHistory", relationship=NAMED, date="1950"), []),
        (entry("Encounter"), []),
    ],
)  # fmt: skip
def test_entries_are_judged(resource, expected):
    assert [i.expression[0] for i in faults(resource, "1961-05-09", NOW)] == expected


def test_without_a_birth_date_nothing_lies_before_it():
    resource = entry("Condition", code=NAMED, onsetDateTime="1500")
    assert list(faults(resource, None, NOW)) == []


@pytest.mark.parametrize(
    ("birth", "expected"),
    [("2008-11-24", True), ("2008-11-25", False), ("2020", False), (None, True), ("x", True)],
)
def test_majority(birth, expected):
    assert adult(birth, NOW) is expected


@pytest.mark.parametrize(
    ("kind", "resource", "expected"),
    [
        ("problem", entry("Condition"), True),
        ("problem", entry("Condition", clinicalStatus=status("relapse")), True),
        ("problem", entry("Condition", abatementDateTime="2020"), False),
        ("past-problem", entry("Condition", abatementDateTime="2020"), True),
        ("past-problem", entry("Condition"), False),
        ("past-problem", entry("Condition", clinicalStatus=status("remission")), True),
        ("problem", entry("Condition", verificationStatus=status("entered-in-error")), False),
        ("problem", entry("Condition", verificationStatus=status("differential")), True),
        ("flag", entry("Flag", status="active", period={"end": "2020"}), False),
        ("flag", entry("Flag", status="active", period={"end": "2030"}), True),
        ("flag", entry("Flag", status="active", period={"start": "x", "end": "x"}), True),
        ("immunization", entry("Condition"), False),
        (
            "directive-consent",
            entry("Consent", status="active", category=[{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes",
                "code": "acd"}]}]),
            True,
        ),
        ("directive-consent", entry("Consent", status="active"), False),
    ],
)  # fmt: skip
def test_kinds_are_told_by_status(kind, resource, expected):
    assert fits(table().kinds[kind], resource, NOW) is expected


def test_first_date_that_is_there_counts():
    kind = table().kinds["problem"]
    assert when(kind, entry("Condition", recordedDate="2020")) == interval("2020")[0]
    both = entry("Condition", onsetPeriod={"start": "2010"}, recordedDate="2020")
    assert when(kind, both) == interval("2010")[0]
    assert when(kind, entry("Condition", onsetDateTime="x")) < 0
    assert when(kind, entry("Condition")) < when(kind, entry("Condition", onsetDateTime="1900"))


def test_every_kind_of_every_section_is_there():
    for section in table().sections:
        for name in section.kinds:
            assert table().kinds[name].date
