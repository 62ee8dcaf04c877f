"""What the result of a screening examination demands, by hand from the lines of the programme
(terminology/screening/programme-fr-2026.json)."""

from __future__ import annotations

import itertools
from datetime import date
from decimal import Decimal

import pytest

from fhirserver.diary.screening.care_plan import programme_of
from fhirserver.diary.screening.programme import programme
from fhirserver.validation.validator import Validator

SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
ITEM = "http://fhirserver.example/CodeSystem/prevention-item"


def concept(system, code):
    return {"coding": [{"system": system, "code": code}]}


CODES = {
    "fit": ("Observation", concept(LOINC, "29771-3")),
    "fit-amount": ("Observation", concept(LOINC, "58453-2")),
    "colonoscopy": ("Procedure", concept(SNOMED, "73761001")),
    "mammography": ("DiagnosticReport", concept(LOINC, "24606-6")),
    "ultrasound": ("Procedure", concept(SNOMED, "47079000")),
    "biopsy": ("Procedure", concept(SNOMED, "122548005")),
    "hpv": ("Observation", concept(LOINC, "21440-3")),
    "cytology": ("Observation", concept(LOINC, "10524-7")),
    "colposcopy": ("Procedure", concept(SNOMED, "392003006")),
}
RESULTS = {
    "pos": concept(SNOMED, "10828004"),
    "neg": concept(SNOMED, "260385009"),
    "normal": concept(SNOMED, "373887005"),
    "bad": concept(SNOMED, "125154007"),
    "asc-us": concept(SNOMED, "441087007"),
    "lsil": concept(SNOMED, "62051000119105"),
    "hsil": concept(SNOMED, "62061000119107"),
    "acr0": concept(SNOMED, "397138000"),
    "acr2": concept(SNOMED, "397141009"),
    "acr3": concept(ITEM, "acr-3"),
    "acr4": concept(SNOMED, "397144001"),
    "acr5": concept(SNOMED, "397145000"),
    "acr6": concept(ITEM, "acr-6"),
}


def resource(text, number):
    day, name, *result = text.split()
    type, code = CODES[name]
    found = {"resourceType": type, "id": f"r{number}", "code": code}
    when = "performedDateTime" if type == "Procedure" else "effectiveDateTime"
    found |= {"status": "completed" if type == "Procedure" else "final", when: day}
    if result:
        told = RESULTS[result[0]]
        match type:
            case "Observation":
                found["valueCodeableConcept"] = told
            case "DiagnosticReport":
                found["conclusionCode"] = [told]
            case "Procedure":
                found["outcome"] = told
    return found


def plan_of(birth, record, on):
    patient = {"resourceType": "Patient", "id": "p", "birthDate": birth, "gender": "female"}
    return programme_of(patient, record, date.fromisoformat(on))


def wanted(plan, item):
    """What is not done yet: state, test, first day."""
    found = []
    for activity in plan["activity"]:
        detail = activity["detail"]
        codes = [coding["code"] for coding in detail["code"]["coding"] if coding["system"] == ITEM]
        state = detail["statusReason"]["coding"][0]["code"]
        if codes[0] == item and state != "done":
            period = detail.get("scheduledPeriod", {})
            found.append(" ".join((state, *codes[1:], period.get("start", "-"))))
    return found


FIFTY, FORTY, YOUNG = "1970-01-10", "1985-01-10", "1999-01-10"
CASES = [
    # blood in the stool: colonoscopy, which no later test of the stool takes the place of
    ("colorectal", FIFTY, "2026-05-01 fit neg", "upcoming stool-blood-test 2028-05-01"),
    ("colorectal", FIFTY, "2026-05-01 fit pos", "due colonoscopy 2026-05-01"),
    ("colorectal", FIFTY, "2020-05-01 fit pos; 2022-05-01 fit neg", "due colonoscopy 2020-05-01"),
    ("colorectal", FIFTY, "2024-03-01 fit pos; 2026-05-01 fit pos", "due colonoscopy 2024-03-01"),
    ("colorectal", FIFTY, "2026-01-01 fit pos; 2026-02-01 colonoscopy neg",
     "upcoming stool-blood-test 2031-02-01"),
    ("colorectal", FIFTY, "2026-01-01 fit pos; 2026-02-01 colonoscopy",
     "upcoming stool-blood-test 2031-02-01"),
    ("colorectal", FIFTY, "2026-01-01 fit pos; 2026-02-01 colonoscopy pos", "follow-up -"),
    ("colorectal", FIFTY, "2026-02-01 colonoscopy bad", "due colonoscopy 2026-02-01"),
    ("colorectal", FIFTY, "2026-05-01 fit bad", "due stool-blood-test 2026-05-01"),
    ("colorectal", FIFTY, "2026-05-01 fit bad; 2026-05-20 fit neg",
     "upcoming stool-blood-test 2028-05-20"),
    ("colorectal", "1951-01-01", "2025-12-01 fit pos", "due colonoscopy 2025-12-01"),
    # the breast, by ACR class
    ("breast", FIFTY, "2026-05-01 mammography acr2", "upcoming mammography 2028-05-01"),
    ("breast", FIFTY, "2026-05-01 mammography acr0", "due breast-assessment 2026-05-01"),
    ("breast", FIFTY, "2026-05-01 mammography acr0; 2026-05-01 ultrasound",
     "due breast-assessment 2026-05-01"),
    ("breast", FIFTY, "2026-05-01 mammography acr0; 2026-05-09 ultrasound",
     "upcoming mammography 2028-05-01"),
    ("breast", FIFTY, "2026-05-01 mammography pos", "due breast-assessment 2026-05-01"),
    ("breast", FIFTY, "2026-05-01 mammography acr3", "upcoming mammography 2026-11-01"),
    ("breast", FIFTY, "2025-05-01 mammography acr3", "due mammography 2025-11-01"),
    ("breast", FIFTY, "2025-05-01 mammography acr3; 2025-11-03 mammography acr2",
     "upcoming mammography 2027-11-03"),
    ("breast", FIFTY, "2026-05-01 mammography acr4", "due breast-biopsy 2026-05-01"),
    ("breast", FIFTY, "2026-05-01 mammography acr5", "due breast-biopsy 2026-05-01"),
    ("breast", FIFTY, "2026-05-01 mammography acr5; 2026-05-09 biopsy pos", "follow-up -"),
    ("breast", FIFTY, "2026-05-01 mammography acr4; 2026-05-09 biopsy neg",
     "upcoming mammography 2028-05-01"),
    ("breast", FIFTY, "2026-05-01 mammography acr6", "follow-up -"),
    ("breast", FIFTY, "2026-05-01 mammography bad", "due mammography 2026-05-01"),
    # the cervix from 30 years on: HPV test, then cytology
    ("cervix", FORTY, "2026-05-01 hpv neg", "upcoming hpv-test 2031-05-01"),
    ("cervix", FORTY, "2026-05-01 hpv pos", "due cervical-cytology 2026-05-01"),
    ("cervix", FORTY, "2026-05-01 hpv bad", "due hpv-test 2026-05-01"),
    ("cervix", FORTY, "2026-05-01 hpv pos; 2026-05-01 cytology normal",
     "upcoming hpv-test 2027-05-01"),
    ("cervix", FORTY, "2026-05-01 hpv pos; 2026-05-20 cytology asc-us",
     "due colposcopy 2026-05-20"),
    ("cervix", FORTY, "2026-05-01 hpv pos; 2026-05-20 cytology bad",
     "due cervical-cytology 2026-05-20"),
    ("cervix", FORTY, "2026-04-01 hpv pos; 2026-05-01 cytology bad; 2026-05-20 cytology normal",
     "upcoming hpv-test 2027-05-20"),
    ("cervix", FORTY, "2026-05-01 hpv pos; 2026-05-20 cytology", "follow-up -"),
    ("cervix", FORTY, "2025-04-01 hpv pos; 2025-04-01 cytology normal; 2026-04-02 hpv neg",
     "upcoming hpv-test 2031-04-02"),
    ("cervix", FORTY, "2025-04-01 hpv pos; 2025-04-01 cytology normal; 2026-04-02 hpv pos",
     "due colposcopy 2026-04-02"),
    ("cervix", FORTY, "2026-01-01 hpv pos; 2026-01-01 cytology lsil; 2026-02-01 colposcopy neg",
     "upcoming hpv-test 2027-02-01"),
    ("cervix", FORTY, "2026-01-01 hpv pos; 2026-01-01 cytology hsil; 2026-02-01 colposcopy neg",
     "follow-up -"),
    ("cervix", FORTY, "2026-01-01 hpv pos; 2026-01-01 cytology lsil; 2026-02-01 colposcopy pos",
     "follow-up -"),
    ("cervix", FORTY, "2026-02-01 colposcopy neg", "due hpv-test 2015-01-10"),
    # before: cytology, then HPV test
    ("cervix", YOUNG, "2026-05-01 cytology normal", "upcoming cervical-cytology 2027-05-01"),
    ("cervix", YOUNG, "2026-05-01 cytology asc-us", "due hpv-test 2026-05-01"),
    ("cervix", YOUNG, "2026-05-01 cytology asc-us; 2026-05-01 hpv neg",
     "upcoming cervical-cytology 2029-05-01"),
    ("cervix", YOUNG, "2026-05-01 cytology asc-us; 2026-05-01 hpv pos",
     "due colposcopy 2026-05-01"),
    ("cervix", YOUNG, "2026-05-01 cytology lsil", "due colposcopy 2026-05-01"),
    ("cervix", YOUNG, "2026-05-01 cytology hsil", "due colposcopy 2026-05-01"),
    ("cervix", YOUNG, "2026-05-01 cytology bad", "due cervical-cytology 2026-05-01"),
    ("cervix", YOUNG, "2025-01-11 cytology bad; 2025-02-01 cytology normal",
     "due cervical-cytology 2026-02-01"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "birth", "history", "expected"), CASES)
def test_follow_up_of_a_result(item, birth, history, expected):
    record = [resource(text.strip(), n) for n, text in enumerate(history.split(";"))]
    for order in itertools.permutations(record):
        plan = plan_of(birth, order, "2026-06-01")
        assert wanted(plan, item) == [expected]
    Validator().check(plan)


def amount(value, unit):
    return {"valueQuantity": {"value": Decimal(value), "unit": unit, "code": unit}}


SAYING = [
    ("fit", {"interpretation": [concept(INTERPRETATION, "POS")]}, "positive"),
    ("fit", {"interpretation": [concept(INTERPRETATION, "A")]}, "positive"),
    ("fit", {"interpretation": [concept(INTERPRETATION, "NEG")]}, "negative"),
    ("fit", {"interpretation": [concept(INTERPRETATION, "IND")]}, "unsatisfactory"),
    ("fit", {"valueCodeableConcept": concept(LOINC, "LA6576-8")}, "positive"),
    ("fit", {"valueCodeableConcept": {"text": "Positif"}}, "positive"),
    ("fit", {"valueString": " NÉGATIF "}, "negative"),
    ("fit", {"valueBoolean": True}, "positive"),
    ("fit", {"valueString": "see the report"}, None),
    ("fit", {"interpretation": [concept("urn:other", "POS")]}, None),
    ("fit", {"dataAbsentReason": concept(
        "http://terminology.hl7.org/CodeSystem/data-absent-reason", "error")}, "unsatisfactory"),
    ("fit-amount", amount("149.9", "ng/mL"), "negative"),
    ("fit-amount", amount("150", "ng/mL"), "positive"),
    ("fit-amount", amount("30", "ug/g"), "positive"),
    ("fit-amount", amount("150", "mg/dL"), None),
    ("fit-amount", amount("160", "ng/mL") | {"interpretation": [concept(INTERPRETATION, "N")]},
     "negative"),
    ("hpv", {"component": [{"code": {"text": "16"}, "valueCodeableConcept": RESULTS["neg"]},
                           {"code": {"text": "18"}, "valueCodeableConcept": RESULTS["pos"]}]},
     "positive"),
    ("cytology", {"interpretation": [concept(INTERPRETATION, "A")],
                  "valueCodeableConcept": RESULTS["asc-us"]}, "asc-us"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "said", "expected"), SAYING)
def test_result_is_read_wherever_a_resource_says_it(name, said, expected):
    rules = programme()
    observation = resource(f"2026-05-01 {name}", 0) | said
    (test,) = rules.tests["loinc", observation["code"]["coding"][0]["code"]]
    assert rules.results.of(observation, test, rules.systems) == expected


def test_report_and_its_observation_are_one_examination_with_the_gravest_result():
    observation = resource("2025-02-01 cytology lsil", 0)
    report = {**resource("2025-02-01 cytology", 1), "resourceType": "DiagnosticReport"}
    plan = plan_of(YOUNG, [report, observation], "2026-06-01")
    assert wanted(plan, "cervix") == ["due colposcopy 2025-02-01"]
    (followed,) = [a for a in plan["activity"] if "reasonReference" in a["detail"]]
    assert followed["detail"]["reasonReference"] == [{"reference": "Observation/r0"}]
    assert followed["detail"]["code"]["text"] == "Cervical cancer screening: Colposcopy"
    reasons = [one["coding"][0]["code"] for one in followed["detail"]["reasonCode"]]
    assert reasons == ["recommended", "after-result"]
    normal = resource("2025-02-01 cytology normal", 0)
    plan = plan_of(YOUNG, [report, normal], "2026-01-31")
    assert wanted(plan, "cervix") == ["upcoming cervical-cytology 2026-02-01"]


@pytest.mark.parametrize(
    ("item", "type", "status", "code", "followed"),
    [
        ("breast", "Procedure", "completed", "27865001", True),
        ("breast", "Procedure", "not-done", "27865001", False),
        ("breast", "Condition", None, "412734009", True),
        ("colorectal", "Procedure", "completed", "26390003", True),
        ("colorectal", "Condition", None, "72900001", True),
        ("cervix", "Procedure", "completed", "236886002", True),
        ("cervix", "Condition", None, "86406008", True),
        ("cervix", "Condition", None, "73211009", False),
    ],
)
def test_who_has_no_organ_to_screen_or_a_high_risk_is_left_to_a_physician(
    item, type, status, code, followed
):
    told = {"resourceType": type, "code": concept(SNOMED, code)}
    told |= {"status": status} if status else {}
    states = [one.split()[0] for one in wanted(plan_of(FIFTY, [told], "2026-06-01"), item)]
    assert states == (["follow-up"] if followed else ["due"])


def test_rules_name_tests_results_and_lines_that_there_are():
    rules = programme()
    tests = {test for found in rules.tests.values() for test in found}
    for item in rules.items:
        ids = {rule.id for rule in item.follow_ups}
        for rule in item.follow_ups:
            assert {rule.test, *rule.wants} <= tests
            assert rule.results <= {*rules.results.names, "unknown"}
            assert rule.closing <= ids
            assert rule.line in rules.lines
    for threshold in rules.results.thresholds:
        assert threshold.test in tests
