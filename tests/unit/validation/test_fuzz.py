"""No JSON whatever makes the validator fail, and its two passes never contradict each other."""

from __future__ import annotations

import copy
import gzip
import random
import time
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from probes import CASES, decode, resource_of

from fhirserver.errors import Invalid
from fhirserver.model.definitions import RESOURCE_TYPES, type_definition

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=True, allow_infinity=True)
    | st.text(max_size=20)
    | st.sampled_from(["", " ", "Patient", "#", "#a", "Patient/1", "2024-02-30", "\ud800", "\x00"])
)
_NAMES = st.sampled_from(
    sorted(
        {"resourceType", "_", "__proto__", "$ne", "", "a.b"}
        | {
            n
            for t in ("Patient", "Bundle", "Bundle.entry", "Extension")
            for n in type_definition(t).elements
        }
        | {"_birthDate", "_given", "given", "div", "reference", "contained", "_extension"}
    )
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


EXAMPLES = Path(__file__).resolve().parents[4] / "shared/data/hl7-r4-examples"
EXAMPLES = EXAMPLES / "examples-even.ndjson.gz"


@cache
def _examples() -> list[bytes]:
    """The smaller ones, as lines."""
    return [
        line for line in gzip.decompress(EXAMPLES.read_bytes()).splitlines() if len(line) < 9000
    ]


def _judge(validator, resource) -> None:
    """`check` raises Invalid or nothing; what the fast pass accepts, the walker accepts."""
    from fhirserver.validation.structure import Findings, Walk

    before = repr(resource)
    issues: tuple = ()
    try:
        validator.check(resource)
    except Invalid as error:
        issues = error.issues
    for issue in issues:
        assert issue.severity == "error"
        assert issue.diagnostics.isprintable()
    findings = Findings()
    Walk(findings).resource(resource, None)
    assert bool(findings.errors) == bool(issues)
    if validator.accepts(resource):
        assert not findings.errors
    assert repr(resource) == before


@_FEW
@given(_JSON)
def test_any_json_is_judged(validator, value) -> None:
    _judge(validator, value)


@_FEW
@given(st.sampled_from(sorted(RESOURCE_TYPES)), st.dictionaries(_NAMES, _JSON, max_size=5))
def test_any_members_on_any_type_are_judged(validator, type_, members) -> None:
    _judge(validator, members | {"resourceType": type_})


def _places(node, into) -> None:
    """Every (container, key) of a JSON tree."""
    keys = range(len(node)) if isinstance(node, list) else list(node)
    for key in keys:
        into.append((node, key))
        if isinstance(node[key], list | dict):
            _places(node[key], into)


@_FEW
@given(st.data())
def test_right_resources_with_anything_put_anywhere_are_judged(validator, data) -> None:
    type_, members, _ = data.draw(st.sampled_from(CASES))
    resource = resource_of(type_, members)
    for _ in range(data.draw(st.integers(1, 3))):
        places: list = []
        _places(resource, places)
        if not places:
            break
        container, key = data.draw(st.sampled_from(places))
        what = data.draw(st.sampled_from(["put", "remove", "rename", "repeat"]))
        if what == "put":
            container[key] = data.draw(_JSON)
        elif what == "remove":
            del container[key]
        elif what == "repeat":
            container[key] = [container[key]] * 2
        elif isinstance(container, dict):
            container[data.draw(_NAMES)] = container.pop(key)
    _judge(validator, resource)


@pytest.mark.skipif(not EXAMPLES.exists(), reason=f"{EXAMPLES} is absent")
@_FEW
@given(st.data())
def test_examples_of_hl7_with_anything_put_anywhere_are_judged(validator, data) -> None:
    resource = decode(data.draw(st.sampled_from(_examples())))["resource"]
    for _ in range(data.draw(st.integers(1, 4))):
        places: list = []
        _places(resource, places)
        container, key = places[data.draw(st.integers(0, 10**6)) % len(places)]
        container[key] = data.draw(_JSON)
    _judge(validator, resource)


def test_every_kind_of_value_at_every_place_is_judged(validator) -> None:
    chance = random.Random(4)
    odd = [None, True, 1, Decimal("1.0"), "", "x", [], {}, [None], [[]], {"a": {}}, [{}] * 3]
    for type_, members, verdict in CASES:
        if verdict is not None:
            continue
        right = resource_of(type_, members)
        places: list = []
        _places(right, places)
        for number in range(len(places)):
            broken = copy.deepcopy(right)
            spots: list = []
            _places(broken, spots)
            container, key = spots[number]
            container[key] = chance.choice(odd)
            _judge(validator, broken)


def _nested(depth: int) -> dict:
    inner: dict = {"linkId": "0", "type": "string"}
    for n in range(1, depth):
        inner = {"linkId": str(n), "type": "group", "item": [inner]}
    return {"resourceType": "Questionnaire", "status": "active", "item": [inner]}


@pytest.mark.parametrize("depth", [28, 60, 100, 400])
def test_deep_nesting_is_judged(validator, depth) -> None:
    issues = validator.validate(_nested(depth))
    assert bool(issues) == (depth > 64)
    assert not issues or "levels deep" in issues[0].diagnostics


def test_nested_bundles_are_judged_without_end_of_stack(validator) -> None:
    resource: dict = {"resourceType": "Patient"}
    for _ in range(200):
        resource = {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": resource}],
        }
    assert validator.validate(resource)


def test_flood_of_faults_is_cut(validator) -> None:
    resource = {"resourceType": "Patient", "name": [{"x": 1}] * 100_000}
    issues = validator.validate(resource)
    assert len(issues) <= 101


def test_huge_arrays_of_right_values_are_accepted(validator) -> None:
    resource = {"resourceType": "Patient", "name": [{"given": ["a"] * 50_000}] * 2}
    assert validator.validate(resource) == []


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        None,
        1,
        "Patient",
        True,
        {"resourceType": None},
        {"resourceType": ["Patient"]},
        {"resourceType": {"a": 1}},
        {"resourceType": ""},
        {"resourceType": "Resource"},
        {"resourceType": "DomainResource"},
        {"resourceType": "HumanName"},
        {1: 2},
        {"resourceType": "Patient", 1: 2},
        {"resourceType": "Patient", "active": b"x"},
    ],
    ids=repr,
)
def test_what_is_no_resource_is_refused(validator, value) -> None:
    with pytest.raises(Invalid):
        validator.check(value)


@pytest.mark.parametrize(
    "members",
    [
        {"name": [{"family": "a" * 1_000_000 + "\x01"}]},
        {"name": [{"family": " " * 1_000_000}]},
        {"language": "a " * 500_000},
        {"language": "en" + "-abcde" * 100_000 + "_"},
        {"implicitRules": "a" * 1_000_000 + " "},
        {"birthDate": "2" * 1_000_000},
        {"extension": [{"url": "a:b", "valueOid": "urn:oid:1" + ".1" * 500_000 + "x"}]},
        {"photo": [{"contentType": "a/b" + ";a=b" * 250_000 + ";", "data": "a" * 1_000_001}]},
        {"photo": [{"contentType": "a/b" + "; " * 500_000 + "?"}]},
        {"managingOrganization": {"reference": "A/" * 500_000}},
        {"gender": "m" * 1_000_000},
        {"text": {"status": "generated", "div": "<div " + "a" * 1_000_000}},
    ],
    ids=lambda members: next(iter(members)),
)
def test_long_bad_values_take_no_long_time(validator, members) -> None:
    start = time.process_time()
    assert validator.validate({"resourceType": "Patient", **members})
    assert time.process_time() - start < 2
