"""Screening and check-ups: what is due for a person on a day, by hand from the lines of the
programme (terminology/screening/programme-fr-2026.json)."""

from __future__ import annotations

import random
from datetime import date

import pytest

from fhirserver.diary.screening.care_plan import programme_of
from fhirserver.diary.screening.programme import programme
from fhirserver.validation.validator import Validator

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
CCAM, ICD = "urn:oid:1.2.250.1.213.2.5", "http://hl7.org/fhir/sid/icd-10"
TESTS = {
    "mammography": ("Procedure", CCAM, "QEQK004"),
    "mammography-report": ("DiagnosticReport", LOINC, "24606-6"),
    "stool": ("Observation", LOINC, "29771-3"),
    "colonoscopy": ("Procedure", SNOMED, "73761001"),
    "cytology": ("Observation", LOINC, "10524-7"),
    "hpv": ("Observation", LOINC, "21440-3"),
    "child": ("DocumentReference", LOINC, "59283-2"),
    "prevention": ("DocumentReference", LOINC, "83869-8"),
    "dental": ("Procedure", SNOMED, "34043003"),
    "breast-cancer": ("Condition", ICD, "C50.9"),
    "hysterectomy": ("Procedure", SNOMED, "116140006"),
}


def resource(text, number):
    day, name, *more = text.split()
    type, system, code = TESTS[name]
    concept = {"coding": [{"system": system, "code": code}]}
    status = more[0] if more else None
    found = {"resourceType": type, "id": f"r{number}"}
    match type:
        case "Procedure":
            found |= {"status": status or "completed", "code": concept, "performedDateTime": day}
        case "Observation":
            found |= {"status": status or "final", "code": concept, "effectiveDateTime": day}
        case "DiagnosticReport":
            found |= {"status": status or "final", "code": concept, "effectiveDateTime": day}
        case "DocumentReference":
            period = {"start": day}
            found |= {"status": status or "current", "type": concept, "context": {"period": period}}
        case "Condition":
            found |= {"code": concept, "recordedDate": day}
    return found


def record(history):
    parts = [part.strip() for part in history.split(";") if part.strip()]
    return [resource(part, number) for number, part in enumerate(parts)]


def plan_of(birth, sex, history, on, more=()):
    patient = {"resourceType": "Patient", "id": "p", "birthDate": birth, "gender": sex}
    return programme_of(patient, [*record(history), *more], date.fromisoformat(on))


def items(plan, item):
    found = []
    for activity in plan.get("activity", []):
        detail = activity["detail"]
        codes = [coding["code"] for coding in detail["code"]["coding"]]
        if codes[0] == item:
            period = detail.get("scheduledPeriod", {})
            state = detail["statusReason"]["coding"][0]["code"]
            found.append((state, period.get("start", "-"), period.get("end", "-")))
    return found


F, M = "female", "male"
CASES = [
    # breast: 50 to 74 years, every two years
    ("breast", "1976-06-02", F, "", "2026-06-01", [("upcoming", "2026-06-02", "2051-06-01")]),
    ("breast", "1976-06-01", F, "", "2026-06-01", [("due", "2026-06-01", "2051-05-31")]),
    ("breast", "1976-06-01", M, "", "2026-06-01", []),
    ("breast", "1970-01-10", F, "2024-06-02 mammography", "2026-06-01",
     [("done", "2024-06-02", "2024-06-02"), ("upcoming", "2026-06-02", "2045-01-09")]),
    ("breast", "1970-01-10", F, "2024-06-01 mammography-report", "2026-06-01",
     [("done", "2024-06-01", "2024-06-01"), ("due", "2026-06-01", "2045-01-09")]),
    ("breast", "1970-01-10", F, "2024-06-02 mammography entered-in-error", "2026-06-01",
     [("due", "2020-01-10", "2045-01-09")]),
    ("breast", "1951-06-02", F, "", "2026-06-01", [("due", "2001-06-02", "2026-06-01")]),
    ("breast", "1951-06-01", F, "", "2026-06-01", []),
    ("breast", "1951-12-01", F, "2025-01-10 mammography", "2026-06-01",
     [("done", "2025-01-10", "2025-01-10")]),
    ("breast", "1970-01-10", F, "2020-01-01 breast-cancer", "2026-06-01",
     [("follow-up", "-", "-")]),
    ("breast", "1984-02-29", F, "", "2034-02-28", [("upcoming", "2034-03-01", "2059-02-28")]),
    # colorectal: 50 to 74 years, every two years, not within five years of a colonoscopy
    ("colorectal", "1970-01-10", M, "", "2026-06-01", [("due", "2020-01-10", "2045-01-09")]),
    ("colorectal", "1970-01-10", M, "2024-06-02 stool", "2026-06-01",
     [("done", "2024-06-02", "2024-06-02"), ("upcoming", "2026-06-02", "2045-01-09")]),
    ("colorectal", "1970-01-10", M, "2022-03-03 colonoscopy", "2026-06-01",
     [("upcoming", "2027-03-03", "2045-01-09")]),
    ("colorectal", "1970-01-10", M, "2021-06-01 colonoscopy", "2026-06-01",
     [("due", "2026-06-01", "2045-01-09")]),
    ("colorectal", "1970-01-10", M, "2024-06-02 stool cancelled", "2026-06-01",
     [("due", "2020-01-10", "2045-01-09")]),
    # cervix: cytology at 25 and 26, three years later; HPV test from 30, every five years
    ("cervix", "2001-06-02", F, "", "2026-06-01", [("upcoming", "2026-06-02", "2031-06-01")]),
    ("cervix", "2001-06-01", F, "", "2026-06-01", [("due", "2026-06-01", "2031-05-31")]),
    ("cervix", "2000-01-10", F, "2025-02-01 cytology", "2026-01-31",
     [("done", "2025-02-01", "2025-02-01"), ("upcoming", "2026-02-01", "2030-01-09")]),
    ("cervix", "2000-01-10", F, "2025-02-01 cytology; 2026-02-01 cytology", "2026-06-01",
     [("done", "2026-02-01", "2026-02-01"), ("upcoming", "2029-02-01", "2030-01-09")]),
    ("cervix", "2000-01-10", F, "2026-02-01 cytology; 2027-05-01 cytology", "2027-06-01",
     [("done", "2027-05-01", "2027-05-01"), ("upcoming", "2030-05-01", "2066-01-09")]),
    ("cervix", "1995-01-10", F, "2023-05-01 cytology", "2026-06-01",
     [("done", "2023-05-01", "2023-05-01"), ("due", "2026-05-01", "2061-01-09")]),
    ("cervix", "1995-01-10", F, "2025-05-01 hpv", "2026-06-01",
     [("done", "2025-05-01", "2025-05-01"), ("upcoming", "2030-05-01", "2061-01-09")]),
    ("cervix", "1960-06-02", F, "", "2026-06-01", [("due", "1990-06-02", "2026-06-01")]),
    ("cervix", "1960-06-01", F, "", "2026-06-01", []),
    ("cervix", "1980-01-10", F, "2015-01-01 hysterectomy", "2026-06-01",
     [("follow-up", "-", "-")]),
    ("cervix", "2000-01-10", M, "", "2026-06-01", []),
    # child examinations
    ("child-examination", "2026-05-24", F, "", "2026-05-31",
     [("due", "2026-05-24", "2026-06-01"), ("due", "2026-05-31", "2026-06-07"),
      ("upcoming", "2026-06-24", "2026-07-23")]),
    ("child-examination", "2026-05-24", F, "2026-05-26 child; 2026-06-02 child", "2026-06-02",
     [("done", "2026-05-24", "2026-06-01"), ("done", "2026-05-31", "2026-06-07"),
      ("upcoming", "2026-06-24", "2026-07-23")]),
    ("child-examination", "2022-06-01", M, "", "2026-06-01",
     [("missed", "2024-06-01", "2025-05-31"), ("missed", "2025-06-01", "2026-05-31"),
      ("due", "2026-06-01", "2027-05-31"), ("upcoming", "2027-06-01", "2028-05-31")]),
    ("child-examination", "2015-01-10", F, "", "2026-06-01",
     [("missed", "2023-01-10", "2025-01-09"), ("due", "2026-01-10", "2029-01-09"),
      ("upcoming", "2030-01-10", "2032-01-09")]),
    ("child-examination", "2009-06-01", F, "", "2026-06-01",
     [("missed", "2024-06-01", "2026-05-31")]),
    # Mon bilan prévention: once in each band
    ("prevention-check-up", "1981-06-01", F, "", "2026-05-31",
     [("upcoming", "2026-06-01", "2032-05-31")]),
    ("prevention-check-up", "1981-06-01", F, "2026-07-01 prevention", "2026-08-01",
     [("done", "2026-06-01", "2032-05-31"), ("upcoming", "2041-06-01", "2047-05-31")]),
    ("prevention-check-up", "1950-01-01", F, "", "2026-06-01",
     [("missed", "2020-01-01", "2025-12-31")]),
    ("prevention-check-up", "2000-06-02", M, "", "2026-06-01",
     [("due", "2018-06-02", "2026-06-01"), ("upcoming", "2045-06-02", "2051-06-01")]),
    # M'T dents: every year from 3 to 24
    ("dental-examination", "2023-06-01", F, "", "2026-06-01",
     [("due", "2026-06-01", "2027-05-31"), ("upcoming", "2027-06-01", "2028-05-31")]),
    ("dental-examination", "2023-06-01", F, "2026-09-01 dental", "2026-10-01",
     [("done", "2026-06-01", "2027-05-31"), ("upcoming", "2027-06-01", "2028-05-31")]),
    ("dental-examination", "2001-06-01", F, "", "2026-06-01",
     [("missed", "2025-06-01", "2026-05-31")]),
]  # fmt: skip


@pytest.mark.parametrize(("item", "birth", "sex", "history", "on", "wanted"), CASES)
def test_item_of_the_programme(item, birth, sex, history, on, wanted):
    plan = plan_of(birth, sex, history, on)
    # M'T dents and child examinations of earlier years are looked at elsewhere.
    seen = items(plan, item)
    assert [
        one for one in seen if one[1] == "-" or wanted == [] or one[1] >= wanted[0][1]
    ] == wanted
    Validator().check(plan)


def lmp(day):
    code = {"coding": [{"system": LOINC, "code": "8665-2"}]}
    return {"resourceType": "Observation", "status": "final", "code": code, "valueDateTime": day}


def test_dental_examination_in_pregnancy_from_the_fourth_month():
    early = plan_of("1995-01-01", F, "", "2026-05-14", [lmp("2026-02-15")])
    assert items(early, "dental-pregnancy") == [("upcoming", "2026-05-15", "2026-12-05")]
    later = plan_of("1995-01-01", F, "", "2026-05-15", [lmp("2026-02-15")])
    assert items(later, "dental-pregnancy") == [("due", "2026-05-15", "2026-12-05")]
    done = plan_of("1995-01-01", F, "2026-06-01 dental", "2026-06-02", [lmp("2026-02-15")])
    assert items(done, "dental-pregnancy")[0][0] == "done"
    assert items(plan_of("1995-01-01", F, "", "2026-05-15"), "dental-pregnancy") == []


def test_there_are_twenty_child_examinations_three_with_a_certificate():
    (child,) = [item for item in programme().items if item.id == "child-examination"]
    assert len(child.windows) == 20
    assert [w.certificate for w in child.windows if w.certificate] == [
        "CSE-CS8", "CSE-CS9", "CSE-CS24",
    ]  # fmt: skip
    assert child.mandatory


def test_what_closes_an_item_is_referenced_and_its_line_cited():
    plan = plan_of("1970-01-10", F, "2025-06-02 mammography", "2026-06-01")
    done = plan["activity"][0]
    assert done["outcomeReference"] == [{"reference": "Procedure/r0"}]
    assert done["detail"]["status"] == "completed"
    assert done["detail"]["reasonCode"][0]["coding"][0]["code"] == "recommended"
    assert "every two years" in done["detail"]["description"]
    assert plan["extension"][0]["valueCanonical"].endswith("|2026.1")


def test_document_of_a_certificate_closes_by_its_format():
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "date": "2026-05-26T10:00:00+02:00",
        "content": [{"format": {"code": "urn:asip:ci-sis:cse-cs8:2017"}, "attachment": {}}],
    }
    plan = plan_of("2026-05-24", F, "", "2026-05-30", [document])
    assert items(plan, "child-examination")[0] == ("done", "2026-05-24", "2026-06-01")


def test_order_of_the_record_does_not_matter():
    history = "2025-02-01 cytology; 2026-02-01 cytology; 2026-03-01 dental; 2025-01-01 prevention"
    patient = {"resourceType": "Patient", "id": "p", "birthDate": "2000-01-10", "gender": F}
    held = record(history)
    plans = set()
    for seed in range(6):
        random.Random(seed).shuffle(held)
        plans.add(str(programme_of(patient, held, date(2026, 6, 1))))
    assert len(plans) == 1


def test_nothing_is_asked_of_the_dead():
    patient = {"resourceType": "Patient", "birthDate": "1970-01-10", "deceasedBoolean": True}
    plan = programme_of(patient, [], date(2026, 6, 1))
    assert "activity" not in plan
    assert plan["status"] == "completed"


def test_without_a_birth_date_there_is_no_programme():
    with pytest.raises(ValueError, match="birthDate"):
        programme_of({"resourceType": "Patient"}, [], date(2026, 6, 1))
