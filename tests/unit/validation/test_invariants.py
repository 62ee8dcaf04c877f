"""Every invariant of R4 of severity error is evaluated, or is named here with the reason."""

from __future__ import annotations

import json

import pytest

from fhirserver.model import shipped
from fhirserver.model.definitions import type_definition, type_names
from fhirserver.validation.invariant import recommendations, rules
from fhirserver.validation.rule import Rule, Scope

ELSEWHERE = {
    "ele-1": "structure.py",
    "ref-1": "references.py",
    "dom-2": "contained.py",
    "dom-3": "contained.py",
    "dom-4": "contained.py",
    "dom-5": "contained.py",
    "txt-1": "narrative.py",
    "txt-2": "narrative.py",
    "eld-11": "as published it always holds: select() of booleans exists whenever a type does",
}
#: Stated again where an element borrows the content of another that states it already.
SAME_AS = {
    "tst-6": "tst-5",
    "tst-8": "tst-7",
    "tst-9": "tst-7",
    "tst-11": "tst-10",
    "tst-13": "tst-12",
}


def _published() -> list[dict[str, str]]:
    return json.loads(shipped.read("profiles", "r4", "invariants.json"))


def test_every_invariant_is_evaluated() -> None:
    known = {rule.key for name in type_names() for rule in rules(name)}
    missing = [
        (row["path"], row["key"])
        for row in _published()
        if row["severity"] == "error"
        and SAME_AS.get(row["key"], row["key"]) not in known
        and row["key"] not in ELSEWHERE
    ]
    assert missing == []


def test_every_rule_is_published_under_its_key() -> None:
    keys = {row["key"] for row in _published()}
    own = {rule.key for name in type_names() for rule in rules(name)} - keys
    assert own == {"fullUrl"}
    warned = {rule.key for name in type_names() for rule in recommendations(name)}
    assert warned - keys == {"name"}


def test_rules_of_a_type_hold_for_the_types_made_from_it() -> None:
    assert {"qty-3", "age-1"} <= {rule.key for rule in rules("Age")}


def test_rules_say_what_they_want_in_words() -> None:
    for name in type_names():
        for rule in (*rules(name), *recommendations(name)):
            assert isinstance(rule, Rule)
            assert len(rule.text) > 10


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"derivation": "specialization"}, "sdf-5"),
        ({"kind": "complex-type", "type": "HumanName"}, "sdf-11"),
        ({"contextInvariant": ["x"]}, None),
        ({"baseDefinition": None}, "sdf-4"),
        ({"snapshot": None, "differential": None}, "sdf-6"),
    ],
)
def test_structure_definition_invariants_are_evaluated(validator, change, key) -> None:
    element = {
        "id": "Extension",
        "path": "Extension",
        "definition": "x",
        "min": 0,
        "max": "*",
        "base": {"path": "Extension", "min": 0, "max": "*"},
    }
    resource = {
        "resourceType": "StructureDefinition",
        "url": "http://example.org/x",
        "name": "X",
        "status": "draft",
        "kind": "complex-type",
        "abstract": False,
        "type": "Extension",
        "context": [{"type": "element", "expression": "Patient"}],
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension",
        "derivation": "constraint",
        "snapshot": {"element": [element]},
        "differential": {"element": [{"id": "Extension", "path": "Extension"}]},
    }
    assert validator.validate(resource) == []
    broken = {k: v for k, v in (resource | change).items() if v is not None}
    if change == {"derivation": "specialization"}:
        del broken["context"]
        broken["derivation"] = "constraint"
    found = " ".join(issue.diagnostics for issue in validator.validate(broken))
    assert (f"({key})" in found) if key else found == ""


def test_element_definition_invariants_are_evaluated(validator) -> None:
    resource = {
        "resourceType": "StructureDefinition",
        "url": "http://example.org/x",
        "name": "X",
        "status": "draft",
        "kind": "logical",
        "abstract": False,
        "type": "X",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Element",
        "derivation": "specialization",
        "differential": {"element": [{"id": "X", "path": "X", "max": "-1", "isModifier": True}]},
    }
    found = {i.diagnostics.rpartition("(")[2] for i in validator.validate(resource)}
    assert {"eld-3)", "eld-18)"} <= found


def test_duplicate_checks_look_at_the_scope_only_when_they_need_it() -> None:
    node = {"code": {"text": "x"}, "valueString": "x"}
    assert all(rule.check(node, Scope(node, node)) for rule in rules("Observation"))
    assert type_definition("Observation").kind == "resource"
