"""Number and quantity parameters: implicit precision, prefixes, units."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirserver.errors import Invalid
from fhirserver.search.entries import NumberEntry
from fhirserver.search.evaluate import holds
from fhirserver.search.types import number, quantity

UCUM = "http://unitsofmeasure.org"


def risk(**probability: Any) -> list[dict[str, Any]]:
    prediction = [{"probability" + name: value for name, value in probability.items()}]
    return [{"resourceType": "RiskAssessment", "id": "1", "prediction": prediction}]


def value(text: str | None, **more: Any) -> list[dict[str, Any]]:
    content = {} if text is None else {"value": Decimal(text)}
    return [{"resourceType": "Observation", "id": "1", "valueQuantity": {**content, **more}}]


@pytest.mark.parametrize(
    ("sought", "yes", "no"),
    [
        ("100", "99.5 100 100.49", "99.49 100.5"),
        ("100.00", "99.995 100 100.004", "99.994 100.005"),
        ("1e2", "95 100 104.9", "94.9 105"),
        ("1.0e2", "95 104.9", "94.9 105"),
        ("5.40e-3", "0.005395 0.0054 0.0054049", "0.0053949 0.005405"),
        ("-5", "-5.5 -5 -4.51", "-5.51 -4.5"),
        ("+5", "4.5 5.4", "5.5"),
        ("ne100", "99.49 100.5 0", "99.5 100 100.49"),
        ("gt60", "60.2 60.0001 61", "60 59"),
        ("ge60", "60 60.2", "59.999"),
        ("lt60", "59.999", "60"),
        ("le60", "60 59", "60.0001"),
        ("sa60", "60.1", "60"),
        ("eb60", "59.9", "60"),
        ("ap100", "90 110 95", "89.9 110.1"),
        ("ap-100", "-90 -110", "-89 -111"),
        ("0.80", "0.8 0.795 0.8049", "0.805 0.79"),
    ],
)
def test_number_prefixes_and_implicit_precision(sought: str, yes: str, no: str, find: Any) -> None:
    url = f"RiskAssessment?probability={sought}"
    assert [v for v in yes.split() if not find(url, risk(Decimal=Decimal(v)))] == []
    assert [v for v in no.split() if find(url, risk(Decimal=Decimal(v)))] == []


def test_number_range_compares_as_a_range(find: Any) -> None:
    stored = risk(Range={"low": {"value": Decimal(10)}, "high": {"value": Decimal(20)}})
    yes = "gt15 lt15 ge20 le10 sa9 eb21 ne15 ap15 gt10 lt20"
    no = "15 10 gt20 lt10 sa10 eb20 eq10 sa15"
    assert [v for v in yes.split() if not find(f"RiskAssessment?probability={v}", stored)] == []
    assert [v for v in no.split() if find(f"RiskAssessment?probability={v}", stored)] == []
    open_ended = risk(Range={"low": {"value": Decimal(10)}})
    assert find("RiskAssessment?probability=gt1e300", open_ended) == ["1"]
    assert find("RiskAssessment?probability=lt10", open_ended) == []


@pytest.mark.parametrize(
    "value", ["abc", "1..2", "1e", "--1", "gt", "1e1000", "NaN", "inf", "0x1", "١", "1_0", "gtgt1"]
)
def test_number_that_cannot_be_read_is_refused(value: str, find: Any) -> None:
    with pytest.raises(Invalid):
        find(f"RiskAssessment?probability={value}", [])


def test_integer_is_found_by_its_exact_value(find: Any) -> None:
    stored = [{"resourceType": "MolecularSequence", "id": "1", "variant": [{"start": 12}]}]
    assert find("MolecularSequence?variant-start=12", stored) == ["1"]
    assert find("MolecularSequence?variant-start=12.0", stored) == ["1"]
    assert find("MolecularSequence?variant-start=12.4", stored) == []
    assert find("MolecularSequence?variant-start=11", stored) == []


def test_quantity_is_found_by_number_and_unit(find: Any) -> None:
    stored = value("5.4", unit="milligram", system=UCUM, code="mg")
    for sought in ("5.4", f"5.4|{UCUM}|mg", "5.4||mg", "5.4||milligram", f"5.4|{UCUM}|", "gt5||mg"):
        assert find(f"Observation?value-quantity={sought}", stored) == ["1"], sought
    for sought in (
        "5.5",
        f"5.4|{UCUM}|g",
        "5.4||g",
        f"5.4|{UCUM}|milligram",
        "lt5||mg",
        "5.4|x|mg",
    ):
        assert find(f"Observation?value-quantity={sought}", stored) == [], sought


def test_unit_as_written_is_enough_when_there_is_no_code(find: Any) -> None:
    assert find("Observation?value-quantity=5.4||mg", value("5.4", unit="mg")) == ["1"]
    assert find(f"Observation?value-quantity=5.4|{UCUM}|mg", value("5.4", unit="mg")) == []


@pytest.mark.parametrize(
    ("comparator", "yes", "no"),
    [
        ("<", "lt5 lt1 le5 gt4", "5 gt5 ge5 sa1"),
        ("<=", "lt5 le5 ge5 gt4", "gt5 5 sa1"),
        (">", "gt5 gt100 ge6 lt6", "5 lt5 le5 eb100"),
        (">=", "gt5 le5 ge5", "lt5 5"),
    ],
)
def test_stored_comparator_leaves_a_side_open(
    comparator: str, yes: str, no: str, find: Any
) -> None:
    stored = value("5", comparator=comparator)
    assert [v for v in yes.split() if not find(f"Observation?value-quantity={v}", stored)] == []
    assert [v for v in no.split() if find(f"Observation?value-quantity={v}", stored)] == []


def test_money_is_found_by_its_currency(find: Any) -> None:
    stored = [{"resourceType": "Invoice", "id": "1", "totalNet": {"value": 40, "currency": "EUR"}}]
    for sought in ("40", "40|urn:iso:std:iso:4217|EUR", "40||EUR", "le40||EUR"):
        assert find(f"Invoice?totalnet={sought}", stored) == ["1"], sought
    assert find("Invoice?totalnet=40||USD", stored) == []


def test_range_of_quantities_has_the_unit_of_its_ends(find: Any) -> None:
    stored = [
        {
            "resourceType": "Condition",
            "id": "1",
            "onsetRange": {"low": {"value": 40, "code": "a", "system": UCUM}},
        }
    ]
    assert find(f"Condition?onset-age=gt50|{UCUM}|a", stored) == ["1"]
    assert find("Condition?onset-age=lt40", stored) == []
    assert find("Condition?onset-age=gt50||mo", stored) == []


def test_quantity_without_number_is_present_and_matches_nothing(find: Any) -> None:
    assert find("Observation?value-quantity:missing=false", value(None, unit="mg")) == ["1"]
    assert find("Observation?value-quantity=ne1", value(None, unit="mg")) == []
    assert find("Observation?value-quantity:missing=true", value(None)) in (["1"], [])


@pytest.mark.parametrize("value", ["5|mg", "5|a|b|c", "|a|b", "x||mg", "gt||mg"])
def test_quantity_that_cannot_be_read_is_refused(value: str, find: Any) -> None:
    with pytest.raises(Invalid):
        find(f"Observation?value-quantity={value}", [])


@settings(deadline=None)
@given(
    st.decimals(-1000, 1000, places=2),
    st.decimals(-1000, 1000, places=2),
    st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"]),
)
def test_points_compare_as_decimals_do(a: Decimal, b: Decimal, prefix: str) -> None:
    test = number.lower(f"{prefix}{b}")
    half = Decimal("0.005")
    expected = {
        "eq": b - half <= a < b + half,
        "ne": not b - half <= a < b + half,
        "gt": a > b,
        "lt": a < b,
        "ge": a >= b,
        "le": a <= b,
        "sa": a > b,
        "eb": a < b,
    }[prefix]
    assert holds(test, NumberEntry("x", float(a), float(a))) is expected


@settings(deadline=None)
@given(st.text(alphabet="0123456789.eE+-|\\$,gtl ", max_size=20))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    try:
        quantity.lower(text)
    except Invalid:
        return


@pytest.mark.parametrize("stored", [Decimal("1e999999"), 10**400, Decimal("-1e400")])
def test_number_beyond_floats_is_indexed_as_the_largest(stored: Any, find: Any) -> None:
    found = find("RiskAssessment?probability=gt1e200", risk(Decimal=stored))
    assert found == (["1"] if stored > 0 else [])
