"""The tables are what the compiler makes of HL7's definitions, to the byte."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from fhirserver.conformance.compile import main, tables, write
from fhirserver.conformance.compile_elements import compile_invariants, compile_types
from fhirserver.conformance.compile_search import compile_compartments, compile_search_parameters
from fhirserver.conformance.compile_source import BUNDLES, Source, read_source
from fhirserver.conformance.compile_terminology import compile_code_systems, compile_value_sets

ROOT = Path(__file__).resolve().parents[3]
DEFINITIONS = ROOT.parent / "shared" / "data" / "r4-definitions"

PATIENT = {
    "resourceType": "StructureDefinition",
    "url": "http://hl7.org/fhir/StructureDefinition/Patient",
    "name": "Patient",
    "kind": "resource",
    "abstract": False,
    "derivation": "specialization",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/DomainResource",
    "snapshot": {
        "element": [
            {
                "path": "Patient",
                "min": 0,
                "max": "*",
                "constraint": [
                    {"key": "own-1", "severity": "error", "expression": "id.exists()"},
                    {"key": "x-1", "severity": "error", "expression": "true", "source": "other"},
                    {"key": "prose-1", "severity": "error", "human": "no expression"},
                ],
            },
            {
                "path": "Patient.id",
                "min": 0,
                "max": "1",
                "isSummary": True,
                "type": [{"code": "http://hl7.org/fhirpath/System.String"}],
            },
            {
                "path": "Patient.deceased[x]",
                "min": 1,
                "max": "1",
                "isModifier": True,
                "type": [
                    {"code": "boolean"},
                    {
                        "code": "Reference",
                        "targetProfile": [
                            "http://hl7.org/fhir/StructureDefinition/Patient",
                            "http://hl7.org/fhir/StructureDefinition/Group",
                        ],
                    },
                ],
                "binding": {"strength": "required", "valueSet": "http://x/vs|4.0.1"},
            },
            {"path": "Patient.link", "min": 0, "max": "*", "type": [{"code": "BackboneElement"}]},
            {
                "path": "Patient.link.id",
                "min": 0,
                "max": "1",
                "representation": ["xmlAttr"],
                "type": [
                    {
                        "code": "http://hl7.org/fhirpath/System.String",
                        "extension": [
                            {
                                "url": "http://hl7.org/fhir/StructureDefinition/"
                                "structuredefinition-fhir-type",
                                "valueUrl": "string",
                            }
                        ],
                    }
                ],
            },
            {"path": "Patient.again", "min": 0, "max": "*", "contentReference": "#Patient.link"},
        ]
    },
}


def test_elements_keep_what_differs_from_the_usual() -> None:
    types = compile_types(Source(iter([PATIENT])))
    assert types == {
        "Patient": {
            "kind": "resource",
            "base": "DomainResource",
            "elements": [
                {"name": "id", "types": ["id"], "summary": True},
                {
                    "name": "deceased[x]",
                    "types": ["boolean", "Reference(Patient|Group)"],
                    "min": 1,
                    "modifier": True,
                    "binding": ["required", "http://x/vs"],
                },
                {"name": "link", "types": ["Patient.link"], "max": "*"},
                {"name": "again", "types": ["Patient.link"], "max": "*"},
            ],
        },
        "Patient.link": {
            "kind": "backbone",
            "base": "BackboneElement",
            "elements": [{"name": "id", "types": ["string"], "attribute": True}],
        },
    }


def test_constraints_are_kept_where_they_are_defined() -> None:
    assert compile_invariants(Source(iter([PATIENT]))) == [
        {"path": "Patient", "key": "own-1", "severity": "error", "expression": "id.exists()"}
    ]


def test_profiles_and_logical_models_are_left_out() -> None:
    profile = PATIENT | {"url": "p", "name": "Mine", "derivation": "constraint"}
    logical = PATIENT | {"url": "l", "name": "Logical", "kind": "logical"}
    assert list(compile_types(Source(iter([profile, logical])))) == []


def test_search_parameters_lose_their_prose() -> None:
    parameter = {
        "resourceType": "SearchParameter",
        "url": "http://hl7.org/fhir/SearchParameter/Patient-active",
        "description": "long",
        "contact": [],
        "code": "active",
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.active",
    }
    foreign = parameter | {"url": "http://hl7.org/fhir/SearchParameter/example-reference"}
    (kept,) = compile_search_parameters(Source(iter([parameter, foreign])))
    assert kept == {k: v for k, v in parameter.items() if k not in ("description", "contact")}


def test_compartments_name_parameters_by_type() -> None:
    definition = {
        "resourceType": "CompartmentDefinition",
        "url": "http://hl7.org/fhir/CompartmentDefinition/encounter",
        "code": "Encounter",
        "resource": [
            {"code": "Encounter", "param": ["{def}"]},
            {"code": "Condition", "param": ["encounter"]},
            {"code": "Patient"},
        ],
    }
    assert compile_compartments(Source(iter([definition]))) == {
        "Encounter": {"Condition": ["encounter"], "Encounter": []}
    }


def test_code_systems_keep_what_stands_below_what() -> None:
    system = {
        "resourceType": "CodeSystem",
        "url": "s",
        "content": "complete",
        "caseSensitive": False,
        "concept": [
            {"code": "a", "concept": [{"code": "b"}]},
            {"code": "c", "property": [{"code": "subsumedBy", "valueCode": "b"}]},
        ],
    }
    assert compile_code_systems(Source(iter([system]))) == {
        "s": {"content": "complete", "codes": ["a", ["b", "a"], ["c", "b"]], "caseSensitive": False}
    }


def test_published_expansion_is_kept_only_where_nothing_else_tells() -> None:
    def value_set(url: str, system: str) -> dict[str, object]:
        return {
            "resourceType": "ValueSet",
            "url": url,
            "compose": {"include": [{"system": system}]},
            "expansion": {"contains": [{"system": system, "code": "x"}]},
        }

    known = {"resourceType": "CodeSystem", "url": "s", "content": "complete", "concept": []}
    sets = compile_value_sets(
        Source(
            iter(
                [
                    known,
                    value_set("computed", "s"),
                    value_set("told", "elsewhere"),
                    value_set("licensed", "http://snomed.info/sct"),
                ]
            )
        )
    )
    assert "expansion" not in sets["computed"]
    assert sets["told"]["expansion"] == {"elsewhere": ["x"]}
    assert "expansion" not in sets["licensed"]


@pytest.mark.parametrize("form", ["folder", "archive", "wheel", "folder with the archive"])
def test_source_may_come_in_any_form(tmp_path: Path, form: str) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        text = json.dumps(PATIENT).encode()
        member = tarfile.TarInfo("package/StructureDefinition-Patient.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    path = tmp_path
    if form == "folder":
        for name in BUNDLES:
            entries = [{"resource": PATIENT}] if name == "profiles-resources" else []
            (path / f"{name}.json.gz").write_bytes(
                gzip.compress(json.dumps({"entry": entries}).encode())
            )
    elif form == "wheel":
        path = tmp_path / "definitions.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("google/hl7.fhir.r4.core.tgz", body.getvalue())
    else:
        (tmp_path / "hl7.fhir.r4.core.tgz").write_bytes(body.getvalue())
        if form == "archive":
            path = tmp_path / "hl7.fhir.r4.core.tgz"
    assert list(compile_types(read_source(path))) == ["Patient", "Patient.link"]


def test_source_without_definitions_is_told(tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path)]) == 1
    assert "profiles-types" in capsys.readouterr().err
    assert main([]) == 2


@pytest.mark.skipif(not DEFINITIONS.exists(), reason=f"{DEFINITIONS} is absent")
def test_shipped_tables_are_what_the_definitions_give(tmp_path: Path) -> None:
    made = tables(read_source(DEFINITIONS))
    for name, body in made.items():
        assert (ROOT / name).read_bytes() == body, f"{name} must be compiled again"
    parameters = json.loads(gzip.decompress(made["profiles/r4/search-parameters.json.gz"]))
    assert len(parameters) == 1375
    assert {path.name for path in write(DEFINITIONS, tmp_path)} == {
        name.rpartition("/")[2] for name in made
    }
