"""Paths compiled to closures: what search parameters and plain invariants are written in."""

from __future__ import annotations

import gzip
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirserver.model import shipped
from fhirserver.model.fhirpath import compile_node, compile_path, compile_typed, is_type
from fhirserver.model.fhirpath_steps import steps
from fhirserver.model.fhirpath_syntax import NotFHIRPath, Unsupported, parse

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "1",
    "valueQuantity": {"value": Decimal("6.30"), "code": "mg"},
    "subject": {"reference": "Patient/1"},
    "performer": [
        {"reference": "http://x.example/Practitioner/2/_history/1"},
        {"reference": "#contained"},
        {"reference": "urn:uuid:1", "type": "Organization"},
    ],
    "component": [{"code": {"text": "a"}, "valueString": "x"}, {"valueBoolean": True}],
    "extension": [{"url": "http://e", "valueCode": "c"}],
    "_issued": {"extension": [{"url": "http://i", "valueString": "late"}]},
}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "name": [{"given": ["a", None], "_given": [None, {"extension": [{"url": "u"}]}]}],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}],
    "birthDate": "1980-01-01",
    "_birthDate": {"extension": [{"url": "http://t", "valueDateTime": "1980-01-01T10:00:00Z"}]},
    "deceasedBoolean": False,
    "contained": [{"resourceType": "Organization", "name": "in"}],
}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("Observation.value", [({"value": Decimal("6.30"), "code": "mg"}, "Quantity")]),
        ("Observation.value.value", [(Decimal("6.30"), "decimal")]),
        ("(Observation.value as Quantity).code", [("mg", "code")]),
        ("Observation.value.as(Quantity).code", [("mg", "code")]),
        ("Observation.value.ofType(string)", []),
        ("Observation.value is Quantity", [(True, "boolean")]),
        ("Observation.component.value", [("x", "string"), (True, "boolean")]),
        ("Observation.component.value.ofType(boolean)", [(True, "boolean")]),
        ("Observation.component[1].value", [(True, "boolean")]),
        ("Observation.component.first().code.text", [("a", "string")]),
        ("Observation.component.where(code.text = 'a').value", [("x", "string")]),
        ("Observation.component.where(code.text != 'a').value", []),
        ("Observation.component.where(code.exists().not()).value", [(True, "boolean")]),
        ("Observation.subject.where(resolve() is Patient).reference", [("Patient/1", "string")]),
        ("Observation.subject.where(resolve() is Group)", []),
        (
            "Observation.performer.where(resolve() is Organization).reference",
            [("urn:uuid:1", "string")],
        ),
        ("Observation.extension('http://e').value", [("c", "code")]),
        ("Observation.extension.where(url='http://e').value", [("c", "code")]),
        ("Observation.hasExtension('http://e')", [(True, "boolean")]),
        ("Observation.issued.extension('http://i').value", [("late", "string")]),
        ("Observation.value.exists() and Observation.value != 5", [(True, "boolean")]),
        ("Patient.name", []),
        ("Resource.id", [("1", "id")]),
        ("id", [("1", "id")]),
        ("Observation.id | Observation.id", [("1", "id")]),
        ("Observation.status.empty() or false", [(True, "boolean")]),
        ("Observation.component.count()", [(2, "integer")]),
        ("Observation.id = '1' implies Observation.value.value > 6", [(True, "boolean")]),
        ("Observation.performer.exists(reference.startsWith('urn'))", [(True, "boolean")]),
        ("/* x */ Observation . id // y", [("1", "id")]),
    ],
)
def test_path_yields_values_with_their_types(expression: str, found: Any) -> None:
    assert compile_typed(expression)(OBSERVATION) == found


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("Patient.name.given", ["a"]),
        ("Patient.birthDate.extension('http://t').value", ["1980-01-01T10:00:00Z"]),
        ("Patient.telecom.where(system='email').value", ["2"]),
        ("Patient.telecom.where($this.system='email').value", ["2"]),
        ("Patient.telecom.select(value)", ["1", "2"]),
        ("Patient.contained.ofType(Organization).name", ["in"]),
        ("Patient.contained.name", ["in"]),
        ("Patient.deceased.exists() and Patient.deceased != false", [False]),
        ("Patient.telecom.all(system = 'phone')", [False]),
        ("Patient.telecom.value.last()", ["2"]),
    ],
)
def test_path_on_a_patient(expression: str, found: list[Any]) -> None:
    assert compile_path(expression)(PATIENT) == found


def test_derived_types_are_their_base_types() -> None:
    assert is_type("Age", "Quantity")
    assert is_type("code", "string")
    assert is_type("Patient", "FHIR.DomainResource")
    assert not is_type("Quantity", "Age")
    assert not is_type("Bundle", "DomainResource")


@pytest.mark.parametrize(
    "expression",
    [
        *("", "Patient.", "a b", "(a", "a)", "a[", "'x", "a.where(b", "a is", "a..b", "1.a.", "|"),
        *("Patient.(", "a.where()..b", "@", "a = ", "(" * 99 + "a" + ")" * 99),
    ],
)
def test_what_is_no_fhirpath_is_told(expression: str) -> None:
    with pytest.raises(NotFHIRPath):
        parse(expression)


@pytest.mark.parametrize(
    "expression",
    ["a[b]", "a.nothing()", "1 + 1", "%ucum", "@2020", "-1", "5 'mg'", "4 days", "a.iif(b, c)"],
)
def test_what_is_not_covered_is_named(expression: str) -> None:
    tree = parse(expression)
    with pytest.raises(Unsupported):
        compile_node(tree)


@settings(deadline=None)
@given(st.text(alphabet="abP.()[]'=|! $%0,{}is", max_size=30))
def test_any_text_compiles_or_is_unsupported(text: str) -> None:
    try:
        path = compile_node(parse(text))
    except Unsupported:
        return
    path([(PATIENT, "Patient", None)])


def parameters() -> list[dict[str, Any]]:
    return json.loads(shipped.read("profiles", "r4", "search-parameters.json.gz"))  # type: ignore[no-any-return]


def test_every_search_parameter_of_r4_compiles() -> None:
    expressions = [p["expression"] for p in parameters() if "expression" in p]
    assert len(expressions) == 1372  # _text, _content and _query have none
    for expression in expressions:
        compile_node(parse(expression))


def test_every_search_parameter_but_one_is_plain_steps() -> None:
    beyond = set()
    for parameter in parameters():
        for base in parameter["base"]:
            if "expression" not in parameter or base in ("Resource", "DomainResource"):
                continue
            try:
                assert steps(parameter["expression"], base), parameter["id"]
            except Unsupported:
                beyond.add(parameter["id"])
    assert beyond == {"Patient-deceased"}


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def test_paths_agree_with_the_complete_evaluator() -> None:
    fhirpathpy = pytest.importorskip("fhirpathpy")
    from fhirpathpy.models import models

    path = DATA / "hl7-r4-examples" / "examples-even.ndjson.gz"
    if not path.exists():
        pytest.skip(f"{path} is not beside this checkout")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        examples = [json.loads(line)["resource"] for line in file]
    by_type: dict[str, list[dict[str, Any]]] = {}
    for example in examples:
        by_type.setdefault(example["resourceType"], []).append(example)
    compared = 0
    for parameter in parameters()[::7]:
        expression = parameter.get("expression", "")
        if not expression or "resolve()" in expression:
            continue
        # Theirs takes `as` on single values only, which search parameters do not respect.
        many = re.sub(r"\((\S+) as (\w+)\)", r"\1.ofType(\2)", expression).replace(
            ".as(", ".ofType("
        )
        for type in parameter["base"][:2]:
            for example in by_type.get(type, ())[:2]:
                theirs = fhirpathpy.evaluate(example, many, model=models["r4"])
                ours = compile_path(expression)(example)
                assert sorted(map(text, ours)) == sorted(map(text, theirs)), expression
                compared += 1
    assert compared > 60
