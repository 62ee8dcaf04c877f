"""Measures of the citizen's space: codes, UCUM units, plausible values."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from fhirserver.model import shipped
from fhirserver.record.profile.measure import claimed, faults, measures

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ENS = "http://esante.gouv.fr/ci-sis/fhir/StructureDefinition/ENS"
MES = "https://interop.esante.gouv.fr/ig/fhir/mesures/StructureDefinition"


def measured(code, value, unit, system=UCUM, **more):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "valueQuantity": {"value": value, "unit": unit, "system": system, "code": unit},
        **more,
    }


def pressure(systolic, diastolic, unit="mm[Hg]"):
    parts = [measured("8480-6", systolic, unit), measured("8462-4", diastolic, unit)]
    keep = ("code", "valueQuantity")
    return {
        "resourceType": "Observation",
        "code": {"coding": [{"system": LOINC, "code": "85354-9"}]},
        "component": [{name: part[name] for name in keep} for part in parts],
    }


def places(resource):
    return [issue.expression[0] for issue in faults(resource)]


def test_there_are_seventeen_measures_with_a_source():
    assert len(measures().measures) == 17
    assert measures().source
    assert shipped.read("terminology", "record", "measures-fr.json").endswith(b"\n")


@pytest.mark.parametrize("measure", measures().measures, ids=lambda m: m.name)
def test_each_unit_of_each_code_is_taken_and_another_is_not(measure):
    assert measure.profiles
    for value in measure.values:
        assert value.low < value.high
        for system, code in value.codes:
            for unit in value.units:
                for number in (value.low, value.high):
                    good = measured(code, Decimal(str(number)), unit)
                    good["code"]["coding"][0]["system"] = system
                    assert places(good) == []
            bad = measured(code, Decimal(str(value.low)), "[lb_av]")
            bad["code"]["coding"][0]["system"] = system
            assert places(bad) == ["Observation.valueQuantity.code"]


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (measured("29463-7", 71, "kg"), []),
        (measured("29463-7", 71, "kg", system="urn:other"), ["Observation.valueQuantity.code"]),
        (measured("29463-7", 71000, "g"), ["Observation.valueQuantity.code"]),
        (measured("29463-7", 7100, "kg"), ["Observation.valueQuantity.value"]),
        (measured("8302-2", Decimal("1.68"), "cm"), ["Observation.valueQuantity.value"]),
        (measured("8310-5", 99, "Cel"), ["Observation.valueQuantity.value"]),
        (measured("2085-9", Decimal("0.5"), "g/L"), ["Observation.valueQuantity.code"]),
        (measured("4548-4", 7, "%"), []),
        (measured("2345-7", 7, "%"), ["Observation.valueQuantity.code"]),
        (measured("718-7", 140, "g/L"), []),
        (pressure(120, 80), []),
        (pressure(12, 8), ["Observation.component[0].valueQuantity.value"]),
        (
            pressure(120, 80, "mmHg"),
            [f"Observation.component[{n}].valueQuantity.code" for n in (0, 1)],
        ),
    ],
)
def test_values_are_judged(resource, expected):
    assert places(resource) == expected


def test_unit_without_a_code_is_told_where_it_stands():
    resource = measured("29463-7", 71, "kg")
    resource["valueQuantity"] = {"value": 71, "unit": "kilos"}
    (issue,) = faults(resource)
    assert issue.expression == ("Observation.valueQuantity.unit",)
    assert "kg" in issue.diagnostics
    assert "kilos" in issue.diagnostics


def test_measure_without_a_value_says_why_or_is_refused():
    resource = measured("29463-7", 71, "kg")
    del resource["valueQuantity"]
    assert places(resource) == ["Observation.valueQuantity"]
    assert places(resource | {"dataAbsentReason": {"text": "balance cassée"}}) == []
    assert places(resource | {"valueString": "71 kg"}) == ["Observation.valueString"]


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        (f"{MES}/mesures-fr-observation-bmi", "bmi"),
        (f"{MES}/mesures-fr-observation-bmi|3.1.0", "bmi"),
        (f"{ENS}_FrObservationBp", "blood-pressure"),
        (f"{MES}/mesures-phd-device", None),
        ("http://hl7.org/fhir/StructureDefinition/bmi", None),
    ],
)  # fmt: skip
def test_profiles_that_claim_a_measure(profile, name):
    found = claimed({"resourceType": "Observation", "meta": {"profile": [profile]}})
    assert [measure.name for measure in found] == ([name] if name else [])


def test_profile_of_a_measure_with_the_code_of_another_is_refused():
    profiled = {"meta": {"profile": [f"{MES}/mesures-fr-observation-bmi"]}}
    assert places(measured("29463-7", 71, "kg", **profiled)) == ["Observation.code"]
    assert places(measured("39156-5", 25, "kg/m2", **profiled)) == []


def test_every_measure_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "medical-profile.md").read_text()
    for measure in measures().measures:
        for value in measure.values:
            codes = ", ".join(code for _, code in value.codes)
            units = ", ".join(f"`{unit}`" for unit in value.units)
            row = f"| {measure.title} | {codes} | {units} | {value.low:g} – {value.high:g} |"
            assert row in page
