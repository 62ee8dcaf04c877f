"""Index entries of whole resources."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhirserver.conformance.registry import Registry
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.search.entries import (
    CompositeEntry,
    DateEntry,
    NumberEntry,
    PositionEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TokenEntry,
    UriEntry,
    WordEntry,
)
from fhirserver.search.evaluate import ENTRY_CLASS, Candidate, Resources, matches, select
from fhirserver.search.expression import Compare, Has, Kind, Match, Present, Query, Within
from fhirserver.search.index import Indexer
from fhirserver.search.lower import meaning_type
from fhirserver.search.parse import parse
from fhirserver.search.types.convert import KINDS

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
SYNTHEA = DATA / "synthea-r4" / "bundles.jsonl.gz"

FIELDS: dict[type, tuple[type, ...]] = {
    StringEntry: (str, str),
    TokenEntry: (str, str),
    ReferenceEntry: (str, str),
    DateEntry: (int, int),
    NumberEntry: (float, float),
    QuantityEntry: (float, float, str, str, str),
    UriEntry: (str,),
    PositionEntry: (float, float),
    WordEntry: (str,),
}
FACETS = ("text", "of-type", "identifier")


def check(entry: Any, codes: set[str]) -> None:
    """An entry is of its class's types, whole or a mere presence, and of a known parameter."""
    code, _, facet = entry.param.partition(":")
    assert code in codes or code == "_contained"
    assert facet in ("", *FACETS)
    if isinstance(entry, CompositeEntry):
        for part in entry.parts:
            assert part.param == entry.param
            check(part, codes)
        return
    fields = entry[1:]
    assert all(field is None for field in fields) or all(
        type(field) is kind for field, kind in zip(fields, FIELDS[type(entry)], strict=True)
    ), entry
    assert all(len(field) <= 1024 for field in fields if isinstance(field, str))


def test_every_example_is_indexed(
    examples: list[dict[str, Any]], indexer: Indexer, registry: Registry
) -> None:
    kinds = set()
    for example in examples:
        codes = set(registry.parameters(example["resourceType"]))
        entries = indexer.entries(example)
        assert len(entries) == len(set(entries))
        for entry in entries:
            check(entry, codes)
            kinds.add(type(entry))
    assert kinds == {*FIELDS, CompositeEntry} - {PositionEntry}  # no example has a position


def test_every_type_can_be_indexed_and_searched_by_every_parameter(
    indexer: Indexer, registry: Registry, find: Any
) -> None:
    always = ("_id", "_lastUpdated", "deceased")
    for type in sorted(RESOURCE_TYPES):
        indexer.entries({"resourceType": type, "id": "1"})
        for parameter in registry.parameters(type).values():
            if meaning_type(parameter) in ("composite", "special"):
                continue
            present = find(f"{type}?{parameter.code}:missing=true", [{"resourceType": type}])
            assert present == ([] if parameter.code in always else ["0"])


def test_presence_of_every_indexed_parameter_is_found(
    examples: list[dict[str, Any]], indexer: Indexer, registry: Registry
) -> None:
    resources = Resources([])
    for example in examples[::5]:
        entries = indexer.entries(example)
        candidate = Candidate(example["resourceType"], example["id"], 0, entries)
        for parameter in registry.parameters(example["resourceType"]).values():
            if meaning_type(parameter) in ("composite", "special"):
                continue
            kind = KINDS[parameter.type]
            of_kind = [e for e in entries if isinstance(e, ENTRY_CLASS[kind])]
            there = any(e.param == parameter.code for e in of_kind)
            assert matches(Present(parameter.code, kind), candidate, resources) is there


def test_duplicate_values_give_one_entry(indexer: Indexer) -> None:
    entries = indexer.entries(
        {"resourceType": "Patient", "name": [{"family": "A"}, {"family": "A"}]}
    )
    assert entries.count(StringEntry("family", "a", "A")) == 1


def test_canonical_with_a_version_is_indexed_without_it_too(indexer: Indexer) -> None:
    profiles = ["http://a.example/p|1.0", "http://a.example/p"]
    entries = indexer.entries({"resourceType": "Patient", "meta": {"profile": profiles}})
    assert sorted(e for e in entries if e[0] == "_profile") == [
        UriEntry("_profile", "http://a.example/p"),
        UriEntry("_profile", "http://a.example/p|1.0"),
    ]


def test_names_are_indexed_for_each_parameter_that_reads_them(indexer: Indexer) -> None:
    entries = indexer.entries({"resourceType": "Patient", "name": [{"given": ["Éve"]}]})
    found = {tuple(e) for e in entries if isinstance(e, StringEntry)}
    assert found == {(code, "eve", "Éve") for code in ("name", "given", "phonetic")}


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "text"},
        {"name": [None]},
        {"name": {"family": "x"}},
        {"identifier": [{"value": 5}]},
        {"birthDate": "yesterday"},
        {"birthDate": 5},
        {"meta": []},
        {"generalPractitioner": ["Practitioner/1"]},
        {"generalPractitioner": [{"reference": 1}]},
        {"telecom": [{"system": "email"}]},
        {"text": {"div": None}},
        {"text": "x"},
        {"active": "yes"},
    ],
)
def test_element_that_is_not_what_r4_says_is_passed_over(
    broken: dict[str, Any], indexer: Indexer
) -> None:
    resource = {"resourceType": "Patient", **broken, "gender": "male"}
    entries = indexer.entries(resource)
    assert any(e.param == "gender" for e in entries)


def test_new_parameter_indexes_at_once(registry: Registry) -> None:
    own = Registry()
    indexer = Indexer(own)
    patient = {
        "resourceType": "Patient",
        "extension": [{"url": "http://example.org/eyes", "valueCode": "blue"}],
        "_birthDate": {"extension": [{"url": "http://t", "valueDateTime": "1980-01-01"}]},
    }
    assert not any(e.param == "eyes" for e in indexer.entries(patient))
    definition = {
        "resourceType": "SearchParameter",
        "url": "http://example.org/SearchParameter/eyes",
        "status": "active",
        "code": "eyes",
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.extension.where(url='http://example.org/eyes').value",
    }
    own.put(definition)
    assert TokenEntry("eyes", "", "blue") in indexer.entries(patient)
    birth_time = "Patient.birthDate.extension('http://t').value"
    own.put({**definition, "type": "date", "expression": birth_time})
    entries = indexer.entries(patient)
    assert [type(e) for e in entries if e.param == "eyes"] == [DateEntry]
    own.remove(definition["url"])
    assert not any(e.param == "eyes" for e in indexer.entries(patient))


CORE = "http://hl7.org/fhir/SearchParameter/"


def test_runtime_composite_indexes_its_components() -> None:
    own = Registry()
    own.put(
        {
            "resourceType": "SearchParameter",
            "url": "http://example.org/SearchParameter/kind-phone",
            "status": "active",
            "code": "kind-phone",
            "base": ["Patient"],
            "type": "composite",
            "expression": "Patient.telecom",
            "component": [
                {"definition": f"{CORE}individual-gender", "expression": "system"},
                {"definition": f"{CORE}individual-telecom", "expression": "value"},
            ],
        }
    )
    telecom = [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}]
    entries = Indexer(own).entries({"resourceType": "Patient", "telecom": telecom})
    found = [e for e in entries if isinstance(e, CompositeEntry)]
    pairs = [[p.code for p in e.parts if isinstance(p, TokenEntry)] for e in found]
    assert pairs == [["phone", "1"], ["email", "2"]]


def test_bundle_is_indexed_by_its_first_resource(indexer: Indexer) -> None:
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"resource": {"resourceType": "Composition", "id": "c"}},
            {"resource": {"resourceType": "Patient", "id": "p"}},
        ],
    }
    entries = indexer.entries(bundle)
    assert ReferenceEntry("composition", "Composition", "c") in entries
    assert not any(isinstance(e, ReferenceEntry) and e.type == "Patient" for e in entries)


# --- the meaning of the tree ----------------------------------------------------------------


def test_unknown_node_or_test_fails_loudly() -> None:
    candidate = Candidate("Patient", "1", 0, [TokenEntry("a", "", "b")])
    with pytest.raises(TypeError):
        matches("everything", candidate, Resources([]))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        matches(Match("a", Kind.TOKEN, "x"), candidate, Resources([]))  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        matches(Match("a", Kind.TOKEN, Compare("code", "like", "b")), candidate, Resources([]))


def test_absent_field_passes_no_comparison() -> None:
    candidate = Candidate(
        "Patient", "1", 0, [TokenEntry("a", None, None), PositionEntry("near", None, None)]
    )
    for op in ("eq", "lt", "gt", "le", "ge"):
        assert not matches(
            Match("a", Kind.TOKEN, Compare("code", op, "")), candidate, Resources([])
        )
    assert not matches(Match("near", Kind.POSITION, Within(0, 0, 1e9)), candidate, Resources([]))
    assert matches(Present("a", Kind.TOKEN), candidate, Resources([]))


def test_has_looks_at_type_and_id_of_the_reference() -> None:
    patient = Candidate("Patient", "1", 0, [])
    other = Candidate("Observation", "o", 0, [ReferenceEntry("subject", "Group", "1")])
    everything = Match("subject", Kind.REFERENCE, Compare("id", "eq", "1"))
    expression = Has("Observation", "subject", everything)
    assert not matches(expression, patient, Resources([patient, other]))
    assert matches(expression, Candidate("Group", "1", 0, []), Resources([patient, other]))


def test_select_counts_after_ordering() -> None:
    held = [Candidate("Patient", str(n), n, [], 10 - n) for n in range(5)]
    query = Query(("Patient",), count=2)
    assert [c.id for c in select(query, Resources(held))] == ["4", "3"]
    assert select(Query((), count=0), Resources(held)) == []


def test_counts_of_real_patients_are_those_of_the_files(
    registry: Registry, indexer: Indexer
) -> None:
    if not SYNTHEA.exists():
        pytest.skip(f"{SYNTHEA} is not beside this checkout")
    resources = []
    with gzip.open(SYNTHEA, "rt", encoding="utf-8") as file:
        for _, line in zip(range(3), file, strict=False):
            bundle = json.loads(line, parse_float=Decimal)
            resources += [entry["resource"] for entry in bundle["entry"]]
    held = [
        Candidate(r["resourceType"], r["id"], 0, indexer.entries(r), key)
        for key, r in enumerate(resources)
    ]

    def count(type: str, *parameters: tuple[str, str]) -> int:
        search = parse(registry, (type,), parameters, strict=True, now=NOW, default_count=10**6)
        return len(select(search.query, Resources(held)))

    observations = [r for r in resources if r["resourceType"] == "Observation"]
    weights = [r for r in observations if any(c["code"] == "29463-7" for c in r["code"]["coding"])]
    assert count("Observation", ("code", "http://loinc.org|29463-7")) == len(weights) > 0
    heavy = [r for r in weights if r["valueQuantity"]["value"] > 60]
    assert count("Observation", ("code-value-quantity", "29463-7$gt60")) == len(heavy)
    assert count("Observation", ("date", "ge2015")) == sum(
        1 for r in observations if r["effectiveDateTime"] >= "2015"
    )
