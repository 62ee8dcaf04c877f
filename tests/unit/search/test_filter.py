"""The `_filter` parameter: grammar, operators, nested paths."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirserver.errors import FHIRError, Invalid, NotSupported
from fhirserver.search.filter_syntax import Comparison, Logical, Segment, parse_filter

P1 = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"family": "Carpet", "given": ["Peter"]}],
    "birthDate": "2014-10-10",
    "gender": "male",
    "identifier": [{"system": "s", "value": "v"}],
}
P2 = {"resourceType": "Patient", "id": "p2", "name": [{"family": "Müller"}], "birthDate": "1980"}
OBSERVED = [
    P1,
    P2,
    {
        "resourceType": "Observation",
        "id": "o1",
        "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "1234-5"}]},
        "valueQuantity": {"value": 6.3, "code": "mg"},
        "effectivePeriod": {"start": "2020-01-01", "end": "2020-02-01"},
    },
    {"resourceType": "Observation", "id": "o2", "subject": {"reference": "Patient/p2"}},
]


@pytest.mark.parametrize(
    ("type", "filter", "found"),
    [
        ("Patient", 'name co "pet"', ["p1"]),
        ("Patient", "name co MULL", ["p2"]),
        ("Patient", 'given eq "peter" and birthdate ge 2014-10-10', ["p1"]),
        ("Patient", "given eq pet", []),
        ("Patient", "given sw pet", ["p1"]),
        ("Patient", "name ew ler", ["p2"]),
        ("Patient", "name ne carpet", ["p1", "p2"]),
        ("Patient", "family ne carpet", ["p2"]),
        ("Patient", "birthdate lt 1990 or gender eq male", ["p1", "p2"]),
        ("Patient", "not(gender eq male)", ["p2"]),
        ("Patient", "not (gender eq male or birthdate lt 1990)", []),
        ("Patient", "gender pr false", ["p2"]),
        ("Patient", "gender pr true", ["p1"]),
        ("Patient", "identifier eq s|v", ["p1"]),
        ("Patient", "identifier ne s|w", ["p1"]),
        ("Patient", "id eq p2", ["p2"]),
        ("Patient", "_id ne p2", ["p1"]),
        ("Patient", "_lastUpdated gt 2000", ["p1", "p2"]),
        ("Patient", "birthdate sa 2000", ["p1"]),
        ("Patient", "birthdate eb 2000", ["p2"]),
        ("Patient", "birthdate po 2014-10", ["p1"]),
        ("Patient", "birthdate po 1980-05-05", ["p2"]),
        ("Patient", "birthdate ap 2014-10-10", ["p1"]),
        ("Patient", "gender eq male and birthdate lt 1990 or family co mul", ["p2"]),
        ("Patient", "family co mul or gender eq male and birthdate lt 1990", ["p2"]),
        ("Patient", "family co mul or (gender eq male and birthdate gt 1990)", ["p1", "p2"]),
        ("Patient", "_has:Observation:patient:code eq 1234-5", ["p1"]),
        ("Observation", "code eq http://loinc.org|1234-5", ["o1"]),
        ("Observation", "code sw 1234", ["o1"]),
        ("Observation", 'subject.name co "pet"', ["o1"]),
        ("Observation", "subject:Patient.birthdate lt 1990", ["o2"]),
        ("Observation", "subject[gender eq male].name co pet", ["o1"]),
        ("Observation", "subject[gender eq female].name co pet", []),
        ("Observation", "subject re Patient/p2", ["o2"]),
        ("Observation", "subject eq p2", ["o2"]),
        ("Observation", "subject ne Patient/p2", ["o1"]),
        ("Observation", "value-quantity gt 6", ["o1"]),
        ("Observation", "value-quantity gt 6||mg and value-quantity lt 7", ["o1"]),
        ("Observation", "date po 2020-01-15", ["o1"]),
        ("Observation", "code-value-quantity eq 1234-5$gt6", ["o1"]),
        ("Observation", "code-value-quantity[code eq 1234-5].value-quantity gt 6", ["o1"]),
        ("Observation", "code-value-quantity[code eq 1234-5].value-quantity gt 7", []),
    ],
)
def test_filter_selects(type: str, filter: str, found: list[str], find: Any) -> None:
    assert find(f"{type}?_filter={quote(filter)}", OBSERVED) == found


def test_filter_joins_the_other_parameters(find: Any) -> None:
    url = f"Patient?gender=male&_filter={quote('name co mul')}"
    assert find(url, OBSERVED) == []


@pytest.mark.parametrize(
    "filter",
    [
        *("name", "name co", "name xx pet", "co pet", "(name co pet", "name co pet)", "not"),
        *("name co pet and", "and name co pet", 'name co "pet', "nothing eq 1", "name[", "name."),
        *("name co pet name co pet", "gender gt male", "birthdate co 2020", "birthdate eq x"),
        *("gender pr maybe", "name.family eq x", "name[family eq x] eq y", "gender re male"),
        *(
            "near eq 1",
            "name ss x",
            "()",
            '"name" eq x',
            "name co \0",
            "name:exact eq x",
            'name ew ""',
        ),
        "(" * 200 + "name co x" + ")" * 200,
        " and ".join(["name co x"] * 2000),
    ],
)
def test_filter_that_cannot_be_read_is_refused(filter: str, find: Any) -> None:
    with pytest.raises(Invalid):
        find(f"Patient?_filter={quote(filter)}", [])


@pytest.mark.parametrize("operator", ["in", "ni", "ss", "sb"])
def test_filter_by_terminology_is_refused_without_one(operator: str, find: Any) -> None:
    with pytest.raises(NotSupported):
        find(f"Observation?_filter={quote(f'code {operator} http://s|x')}", [])


def test_and_and_or_are_read_from_left_to_right() -> None:
    def one(name: str) -> Comparison:
        return Comparison((Segment(name),), "eq", "1")

    assert parse_filter("a eq 1 or b eq 1 and c eq 1") == Logical(
        "and", (Logical("or", (one("a"), one("b"))), one("c"))
    )


def test_string_is_a_json_string() -> None:
    filter = parse_filter(r'name eq "a \"b\") \u00e9"')
    assert isinstance(filter, Comparison)
    assert filter.value == 'a "b") é'


@settings(deadline=None)
@given(st.text(alphabet='abeqcopr ()[]."\\not1\n', max_size=40) | st.text(max_size=20))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        parse_filter(text)
    except FHIRError:
        return
