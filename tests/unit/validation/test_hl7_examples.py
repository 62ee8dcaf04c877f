"""HL7's examples and Synthea's patients are accepted, but for what is shown to be wrong."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fhirserver.model.definitions import RESOURCE_TYPES

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "data"
EXAMPLES = DATA / "hl7-r4-examples" / "examples-even.ndjson.gz"
SYNTHEA = DATA / "synthea-r4" / "bundles.jsonl.gz"
DEFINITIONS = DATA / "r4-definitions"
REFUSED = json.loads((ROOT / "tests" / "data" / "hl7-examples-refused.json").read_text())

needs_examples = pytest.mark.skipif(not EXAMPLES.exists(), reason=f"{EXAMPLES} is absent")


@cache
def _lines(path: Path) -> list[bytes]:
    with gzip.open(path) as file:
        return file.readlines()


def _examples(decode: Any) -> dict[str, Any]:
    return {e["file"]: e["resource"] for e in map(decode, _lines(EXAMPLES))}


@needs_examples
def test_hl7_examples_are_accepted_but_for_those_shown_to_be_wrong(validator, decode) -> None:
    refused = {name for name, r in _examples(decode).items() if validator.validate(r)}
    assert refused == {row["file"] for row in REFUSED}


@needs_examples
@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row["file"])
def test_refused_example_has_the_fault_that_is_written_down(validator, decode, row) -> None:
    issues = validator.validate(_examples(decode)[row["file"]])
    assert row["issue"] in {place for issue in issues for place in issue.expression}
    assert row["reason"]
    assert "https://hl7.org/fhir/R4/" in row["clause"]


@needs_examples
def test_fast_pass_accepts_nearly_every_right_example(validator, decode) -> None:
    examples = _examples(decode)
    refused = {row["file"] for row in REFUSED}
    slow = [n for n, r in examples.items() if n not in refused and not validator.accepts(r)]
    assert len(slow) < len(examples) / 20, slow


@pytest.mark.skipif(not SYNTHEA.exists(), reason=f"{SYNTHEA} is absent")
def test_synthea_patients_are_accepted_by_the_fast_pass(validator, decode) -> None:
    for line in _lines(SYNTHEA)[::5]:
        assert validator.accepts(decode(line))


@pytest.mark.skipif(not DEFINITIONS.exists(), reason=f"{DEFINITIONS} is absent")
@pytest.mark.parametrize(
    "name", ["search-parameters", "valuesets", "conceptmaps", "compartments", "profiles-types"]
)
def test_definitions_of_r4_are_accepted(validator, decode, name) -> None:
    bundle = decode(gzip.decompress((DEFINITIONS / f"{name}.json.gz").read_bytes()))
    for entry in bundle["entry"][:400]:
        assert validator.validate(entry["resource"]) == [], entry["fullUrl"]


def _strict(resource: Any) -> Any:
    """The typed model, or None where R4B has no such type or differs from R4."""
    from fhir.resources.R4B import get_fhir_model_class

    changed = {"Evidence", "EvidenceVariable", "ActivityDefinition", "PlanDefinition"}
    changed |= {"StructureDefinition", "MessageDefinition"}
    if resource["resourceType"] in changed:
        return None
    try:
        return get_fhir_model_class(resource["resourceType"])
    except ValueError:
        return None


@needs_examples
def test_what_is_accepted_the_typed_model_reads_too(validator, decode) -> None:
    read = 0
    for name, resource in _examples(decode).items():
        model = _strict(resource)
        if model is None or resource["resourceType"] == "Bundle" or validator.validate(resource):
            continue
        model.model_validate(resource)
        read += 1
        assert name
    assert read > 250


@needs_examples
def test_what_the_typed_model_refuses_is_refused_here(validator, decode) -> None:
    """One fault is put into every example: a member nobody knows, at the root and one level down,
    and a required element taken away."""
    from fhirserver.model.definitions import type_definition

    for resource in _examples(decode).values():
        type_ = resource["resourceType"]
        assert type_ in RESOURCE_TYPES
        assert validator.validate(resource | {"noSuchElement": 1})
        for element in type_definition(type_).elements.values():
            if element.min and element.choice is None and element.name in resource:
                rest = {k: v for k, v in resource.items() if k.lstrip("_") != element.name}
                issues = validator.validate(rest)
                assert any(f"'{element.name}' is required" in i.diagnostics for i in issues)
