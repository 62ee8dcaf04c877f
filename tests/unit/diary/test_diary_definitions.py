"""What the diary ships as FHIR resources is valid and says every code it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhirserver.diary.immunization import codes
from fhirserver.diary.immunization.calendar import calendar
from fhirserver.diary.immunization.products import products
from fhirserver.diary.screening.programme import programme
from fhirserver.operation import OPERATIONS
from fhirserver.validation.validator import Validator

ROOT = Path(__file__).parents[3]
FILES = [
    *(ROOT / "profiles" / "diary").glob("*.json"),
    *(ROOT / "terminology" / "immunization").glob("CodeSystem-*.json"),
    *(ROOT / "terminology" / "screening").glob("CodeSystem-*.json"),
]


def resources(path):
    found = json.loads(path.read_text())
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_definitions_are_valid(path):
    for resource in resources(path):
        Validator().check(resource)


def concepts(folder, name):
    table = json.loads((ROOT / "terminology" / folder / f"CodeSystem-{name}.json").read_text())
    assert table["count"] == len(table["concept"])
    assert all(concept["designation"][0]["language"] == "fr" for concept in table["concept"])
    return {concept["code"] for concept in table["concept"]}


def test_reasons_and_indications_of_the_calendar_are_defined():
    reasons = concepts("immunization", codes.FORECAST_REASON.rpartition("/")[2])
    indications = concepts("immunization", codes.INDICATION.rpartition("/")[2])
    for series in calendar().series:
        assert series.line in calendar().lines
        assert set(series.targets) <= set(products().antigens)
        for clause in series.clauses:
            assert clause.reason in reasons
            assert clause.risk <= indications
            assert clause.line in calendar().lines
        for before, names in series.vaccines:
            assert before is None or before.months or before.days
            assert set(names) <= set(calendar().vaccines)


def test_every_line_has_a_source():
    for line in [*calendar().lines.values(), *programme().lines.values()]:
        assert line["text"]
        assert line["source"]


def test_items_and_tests_of_the_programme_are_defined():
    known = concepts("screening", "prevention-item")
    assert {item.id for item in programme().items} <= known
    assert {test for tests in programme().tests.values() for test in tests} <= known


def test_operation_of_our_own_has_its_definition():
    (definition,) = resources(ROOT / "profiles" / "diary" / "forecast-operations.json")
    assert OPERATIONS[definition["code"]].definition == definition["url"]


def test_vaccine_table_is_what_nuva_compiles_to(tmp_path):
    from fhirserver.diary.immunization.compile import main

    source = ROOT.parent / "shared" / "data" / "vaccines"
    if not source.is_dir():
        pytest.skip(f"there is no NUVA data at {source}")
    made = tmp_path / "vaccines.json.gz"
    main([str(source), str(made)])
    shipped = ROOT / "terminology" / "immunization" / "vaccines.json.gz"
    assert made.read_bytes() == shipped.read_bytes()
