"""Whether doses count, and why not: tests/data/vaccination-doses.csv."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from vaccination_people import CIS, SNOMED, circumstances, immunizations, patient

from fhirserver.diary.immunization.assess import assess
from fhirserver.diary.immunization.history import history
from fhirserver.diary.immunization.products import products
from fhirserver.diary.immunization.recommendation import evaluations

FILE = Path(__file__).parents[2] / "data" / "vaccination-doses.csv"
LINES = [
    (number, line)
    for number, line in enumerate(FILE.read_text().splitlines(), 1)
    if not line.startswith("#")
]
HEADER = LINES[0][1].split("|")
CASES = [
    pytest.param(dict(zip(HEADER, line.split("|"), strict=True)), id=f"line{number}")
    for number, line in LINES[1:]
]
LATER = date(2040, 1, 1)


def verdict(judged):
    if not judged.valid:
        return "+".join(judged.reasons)
    return "=".join([str(judged.number), *judged.reasons])


@pytest.mark.parametrize("case", CASES)
def test_dose_is_judged(case):
    found = assess(
        patient(case["birth"]),
        immunizations(case["history"]),
        circumstances(case["with"]),
        LATER,
    )
    seen = [verdict(judged) for target, _, judged in found.judged if target == case["target"]]
    assert seen == [v for v in case["verdicts"].split(";") if v]


def coded(*pairs, **elements):
    return {
        "resourceType": "Immunization",
        "status": "completed",
        "occurrenceDateTime": "2026-03-10",
        "vaccineCode": {"coding": [{"system": s, "code": c} for s, c in pairs]},
        **elements,
    }


HEXAVALENT = {"diphtheria", "tetanus", "polio", "pertussis", "hib", "hepb"}
CODES = [
    ("urn:oid:1.2.250.1.213.2.3.1", "60645557", HEXAVALENT),
    ("https://smt.esante.gouv.fr/terminologie-bdpm", "60645557", HEXAVALENT),
    ("http://www.whocc.no/atc", "J07CA09", HEXAVALENT),
    ("http://hl7.org/fhir/sid/cvx", "146", HEXAVALENT),
    ("http://smt.esante.gouv.fr/terminologie-nuva", "VAC0510", HEXAVALENT),
    ("http://hl7.org/fhir/sid/cvx", "104", {"hepa", "hepb"}),
    ("http://snomed.info/sct", "836374004", {"hepb"}),
    ("http://hl7.org/fhir/sid/cvx", "203", {"menc", "menacwy"}),
    ("http://www.whocc.no/atc", "J07BX05", {"rsv"}),
    ("http://hl7.org/fhir/sid/cvx", "121", {"zoster"}),
]


@pytest.mark.parametrize(("system", "code", "contains"), CODES)
def test_vaccine_code_is_recognised(system, code, contains):
    product = products().of_coding(system, code)
    assert product is not None
    assert set(product.contains) == contains


def test_package_code_is_recognised():
    cip = next(iter(products()._codes["cip"]))
    assert products().of_coding("urn:oid:1.2.250.1.213.2.3.3", cip) is not None


def test_every_french_medicine_code_leads_to_what_the_vaccine_contains():
    known = products()
    codes = known._codes["cis"]
    assert len(codes) > 250
    for code in codes:
        assert known.of_coding(CIS, code) is not None


def test_brand_tells_more_than_a_group_code():
    found = history(
        [coded(("http://www.whocc.no/atc", "J07CA02"), (CIS, "67619892"))], LATER, products()
    )
    assert found.doses[0].product.label == "REPEVAX"
    assert "reduced" in found.doses[0].contains["pertussis"]


def test_unknown_vaccine_counts_for_its_target_diseases():
    applied = [{"targetDisease": [{"coding": [{"system": SNOMED, "code": "14189004"}]}]}]
    found = history([coded(("urn:x", "y"), protocolApplied=applied)], LATER, products())
    assert set(found.doses[0].contains) == {"measles"}


def test_meningococcal_disease_tells_no_serogroup():
    applied = [{"targetDisease": [{"coding": [{"system": SNOMED, "code": "23511006"}]}]}]
    found = history([coded(("urn:x", "y"), protocolApplied=applied)], LATER, products())
    assert not found.doses[0].known


@pytest.mark.parametrize("disease", ["240532009", "363354003", "266113007"])
def test_each_code_of_papillomavirus_disease_is_taken(disease):
    applied = [{"targetDisease": [{"coding": [{"system": SNOMED, "code": disease}]}]}]
    found = history([coded(("urn:x", "y"), protocolApplied=applied)], LATER, products())
    assert set(found.doses[0].contains) == {"hpv"}


def test_unknown_vaccine_is_told_once_with_its_event():
    events = [coded(("urn:x", "y"), id="strange")]
    person = patient("2026-01-10")
    (only,) = evaluations(assess(person, events, [], LATER), person)
    assert only["immunizationEvent"] == {"reference": "Immunization/strange"}
    assert only["doseStatusReason"][0]["coding"][0]["code"] == "unknown-vaccine"


def test_dose_without_an_id_is_contained_in_its_evaluation():
    person = patient("2026-01-10")
    events = [coded((CIS, "60645557"))]
    for evaluation in evaluations(assess(person, events, [], LATER), person):
        assert evaluation["immunizationEvent"] == {"reference": "#event"}
        assert [c["resourceType"] for c in evaluation["contained"]] == ["Patient", "Immunization"]
