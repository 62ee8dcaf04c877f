"""The complete FHIRPath evaluator."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from fhirserver.errors import Invalid
from fhirserver.model.fhirpath_evaluate import evaluate

OBSERVATION = {
    "resourceType": "Observation",
    "id": "1",
    "contained": [{"resourceType": "Patient", "id": "p", "active": True}],
    "status": "final",
    "subject": {"reference": "#p"},
    "performer": [{"reference": "Practitioner/7"}, {"display": "x"}],
    "valueQuantity": {"value": Decimal("1.50"), "unit": "mg"},
    "text": {"status": "generated", "div": "<div>x</div>"},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Observation.status", ["final"]),
        ("value.value", [Decimal("1.50")]),
        ("(Observation.value as Quantity).unit", ["mg"]),
        ("status.hasValue()", [True]),
        ("subject.hasValue()", [False]),
        ("performer.count() > 1 and status = 'final'", [True]),
        ("subject.resolve().active", [True]),
        ("performer.resolve().resourceType", ["Practitioner"]),
        ("performer.resolve().is(Practitioner)", [True]),
        ("status.matches('^f[a-z]+$')", [True]),
        ("status.matches('^x')", [False]),
        ("text.`div`.htmlChecks()", [True]),
        ("%resource.id", ["1"]),
        ("status.memberOf('http://vs')", []),
        ("status.trace('x')", ["final"]),
        ("2.power(3)", [8]),
        ("nothing", []),
    ],
)
def test_expressions_are_evaluated(expression, expected, capsys):
    assert evaluate(expression, OBSERVATION) == expected
    assert capsys.readouterr().out == ""


def test_references_are_resolved_by_the_caller():
    found = evaluate(
        "performer.resolve().active", OBSERVATION, resolve=lambda text: {"active": text}
    )
    assert found == ["Practitioner/7"]


def test_value_sets_are_asked_of_the_caller():
    asked = evaluate(
        "status.memberOf('http://v')", OBSERVATION, member_of=lambda url, value: url == "http://v"
    )
    assert asked == [True]


def test_parts_of_resources_are_evaluated_by_their_type():
    extension = {"url": "http://e", "valueString": "x"}
    assert evaluate("extension.exists() != value.exists()", extension, type="Extension") == [True]


@pytest.mark.parametrize(
    "expression",
    ["", "(", "nonsense()", "'unclosed", "1 +", "(" * 1000, "a." * 3000,
     "status.matches('(')", "status.matches('(?=x)')", "1000000.power(10000000)", "-" * 500 + "1",
     "status.replaceMatches('a', 'b')", "%nothing", "\0", "status.single(1)"],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_invalid(expression):
    with pytest.raises(Invalid):
        evaluate(expression, OBSERVATION)


def test_a_pattern_that_backtracks_elsewhere_is_quick_here():
    start = time.perf_counter()
    assert evaluate(f"'{'a' * 2000}!'.matches('^(a+)+$')", OBSERVATION) == [False]
    assert time.perf_counter() - start < 2
