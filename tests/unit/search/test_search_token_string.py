"""Token, string and uri parameters with their modifiers and escapes."""

from __future__ import annotations

from typing import Any

import pytest

from fhirserver.errors import Invalid, NotSupported


def patient(id: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, **more}


def coded(
    id: str, *codings: tuple[str | None, str | None], text: str | None = None
) -> dict[str, Any]:
    coding = [
        {k: v for k, v in (("system", system), ("code", code)) if v is not None}
        for system, code in codings
    ]
    concept: dict[str, Any] = {"coding": coding} if coding else {}
    if text is not None:
        concept["text"] = text
    return {"resourceType": "Observation", "id": id, "code": concept}


IDENTIFIED = [
    patient("both", identifier=[{"system": "s", "value": "v"}]),
    patient("other system", identifier=[{"system": "t", "value": "v"}]),
    patient("no system", identifier=[{"value": "v"}]),
    patient("other value", identifier=[{"system": "s", "value": "w"}]),
    patient("none"),
]


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("v", ["both", "other system", "no system"]),
        ("s|v", ["both"]),
        ("|v", ["no system"]),
        ("s|", ["both", "other value"]),
        ("s|v,t|v", ["both", "other system"]),
        ("V", []),
        ("s|v,s|w", ["both", "other value"]),
        ("s|x,|v", ["no system"]),
    ],
)
def test_token_forms(sought: str, found: list[str], find: Any) -> None:
    assert find(f"Patient?identifier={sought}", IDENTIFIED) == found


@pytest.mark.parametrize("sought", ["|", "a|b|c", "s|v|"])
def test_token_that_cannot_be_read_is_refused(sought: str, find: Any) -> None:
    with pytest.raises(Invalid):
        find(f"Patient?identifier={sought}", [])


def test_not_finds_resources_without_the_element_too(find: Any) -> None:
    resources = [patient("m", gender="male"), patient("f", gender="female"), patient("none")]
    assert find("Patient?gender:not=male", resources) == ["f", "none"]
    assert find("Patient?gender:not=male,female", resources) == ["none"]


def test_not_looks_at_every_coding_of_the_resource(find: Any) -> None:
    resources = [
        coded("ab", ("s", "A"), ("s", "B")),
        coded("b", ("s", "B")),
        coded("c", ("s", "C")),
    ]
    assert find("Observation?code:not=s|A", resources) == ["b", "c"]
    assert find("Observation?code:not=s|A,s|B", resources) == ["c"]


def test_system_of_a_code_is_the_one_its_value_set_implies(find: Any) -> None:
    resources = [patient("m", gender="male")]
    system = "http://hl7.org/fhir/administrative-gender"
    assert find(f"Patient?gender={system}|male", resources) == ["m"]
    assert find("Patient?gender=other|male", resources) == []


def test_booleans_are_tokens(find: Any) -> None:
    resources = [patient("yes", active=True), patient("no", active=False), patient("none")]
    assert find("Patient?active=true", resources) == ["yes"]
    assert find("Patient?active=false", resources) == ["no"]


def test_deceased_is_true_for_a_date_too(find: Any) -> None:
    resources = [
        patient("date", deceasedDateTime="2020"),
        patient("true", deceasedBoolean=True),
        patient("false", deceasedBoolean=False),
        patient("none"),
    ]
    assert find("Patient?deceased=true", resources) == ["date", "true"]
    assert find("Patient?deceased=false", resources) == ["false", "none"]


def test_contact_points_are_found_by_value_and_kind(find: Any) -> None:
    telecom = [{"system": "email", "value": "a@b.fr"}, {"system": "phone", "value": "05 61"}]
    resources = [patient("1", telecom=telecom)]
    assert find("Patient?email=a@b.fr", resources) == ["1"]
    assert find("Patient?phone=05 61", resources) == ["1"]
    assert find("Patient?phone=a@b.fr", resources) == []
    assert find("Patient?telecom=a@b.fr,x", resources) == ["1"]


def test_of_type_takes_three_parts(find: Any) -> None:
    kind = {"coding": [{"system": "http://t", "code": "MR"}]}
    resources = [
        patient("mr", identifier=[{"type": kind, "system": "s", "value": "446053"}]),
        patient("no type", identifier=[{"system": "s", "value": "446053"}]),
    ]
    assert find("Patient?identifier:of-type=http://t|MR|446053", resources) == ["mr"]
    assert find("Patient?identifier:of-type=http://t|MR|44605", resources) == []
    for value in ("MR|446053", "446053", "|MR|446053", "http://t||446053", "http://t|MR|"):
        with pytest.raises(Invalid):
            find(f"Patient?identifier:of-type={value}", resources)


def test_text_modifier_searches_what_people_read(find: Any) -> None:
    display = {"coding": [{"system": "s", "code": "1", "display": "Tension artérielle"}]}
    resources = [
        {"resourceType": "Observation", "id": "display", "code": display},
        coded("text", ("s", "2"), text="Tension au repos"),
        coded("neither", ("s", "tension")),
    ]
    assert find("Observation?code:text=tension", resources) == ["display", "text"]
    assert find("Observation?code:text=tension arterielle", resources) == ["display"]


def test_coded_text_alone_is_not_missing_and_matches_no_code(find: Any) -> None:
    resources = [coded("text", text="x"), {"resourceType": "Observation", "id": "none"}]
    assert find("Observation?code:missing=false", resources) == ["text"]
    assert find("Observation?code:missing=true", resources) == ["none"]
    assert find("Observation?code=x", resources) == []


class Codes:
    def expand(self, value_set: str) -> list[tuple[str, str]] | None:
        return [("s", "A"), ("s", "B")] if value_set == "http://vs" else None

    def below(self, system: str, code: str) -> list[tuple[str, str]] | None:
        return [(system, code), (system, code + "1")] if system == "s" else None

    above = below


def test_value_set_and_subsumption_modifiers_ask_the_terminology(find: Any) -> None:
    resources = [coded("a", ("s", "A")), coded("a1", ("s", "A1")), coded("none")]
    codes = {"terminology": Codes()}
    assert find("Observation?code:in=http://vs", resources, **codes) == ["a"]
    assert find("Observation?code:not-in=http://vs", resources, **codes) == ["a1", "none"]
    assert find("Observation?code:below=s|A", resources, **codes) == ["a", "a1"]
    with pytest.raises(NotSupported):
        find("Observation?code:in=http://unknown", resources, **codes)
    with pytest.raises(NotSupported):
        find("Observation?code:below=unknown|A", resources, **codes)
    with pytest.raises(Invalid):
        find("Observation?code:below=A", resources, **codes)


@pytest.mark.parametrize("modifier", ["in", "not-in", "above", "below"])
def test_modifiers_that_need_terminology_are_refused_without(modifier: str, find: Any) -> None:
    with pytest.raises(NotSupported):
        find(f"Observation?code:{modifier}=http://s|a", [])


# --- string ---------------------------------------------------------------------------------

NAMED = [
    patient("Eve", name=[{"family": "Müller", "given": ["Eve", "Anne-Marie"]}]),
    patient("Steven", name=[{"family": "Łukasz", "given": ["Steven"], "text": "S. Łukasz"}]),
    patient("combining", name=[{"family": "Mu\u0308ller"}]),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=eve", ["Eve"]),
        ("name=EV", ["Eve"]),
        ("name:contains=eve", ["Eve", "Steven"]),
        ("name=muller", ["Eve", "combining"]),
        ("name=MÜLL", ["Eve", "combining"]),
        ("family=lukasz", ["Steven"]),
        ("name=s. l", ["Steven"]),
        ("given=anne-m", ["Eve"]),
        ("given=marie", []),
        ("name:exact=Eve", ["Eve"]),
        ("name:exact=eve", []),
        ("name:exact=Müller", ["Eve"]),
        ("name:exact=Ev", []),
        ("name:contains=VEN", ["Steven"]),
        ("name=eve,steven", ["Eve", "Steven"]),
        ("name=eve&name=muller", ["Eve"]),
    ],
)
def test_string_modifiers(query: str, found: list[str], find: Any) -> None:
    assert find(f"Patient?{query}", NAMED) == found


def test_address_is_found_by_any_of_its_parts(find: Any) -> None:
    address = {"line": ["1 rue  du  Taur"], "city": "Toulouse", "postalCode": "31000"}
    resources = [patient("1", address=[address])]
    for value in ("1 rue du taur", "toul", "31000"):
        assert find(f"Patient?address={value}", resources) == ["1"]
    assert find("Patient?address-city=31000", resources) == []


@pytest.mark.parametrize(
    ("stored", "sought"),
    [
        ("a,b", r"a\,b"),
        ("a|b", r"a\|b"),
        ("a$b", r"a\$b"),
        ("a\\b", r"a\\b"),
        ("a\\", "a\\"),
        ("a\\n", r"a\n"),
    ],
)
def test_escapes_stand_for_the_character(stored: str, sought: str, find: Any) -> None:
    resources = [
        patient("1", identifier=[{"system": stored, "value": stored}], name=[{"family": stored}])
    ]
    assert find(f"Patient?identifier={sought}|{sought}", resources) == ["1"] or sought == "a\\"
    assert find(f"Patient?identifier={sought}", resources) == ["1"]
    assert find(f"Patient?family:exact={sought}", resources) == ["1"]


@pytest.mark.parametrize("query", ["name=\\", "identifier=\\", "code:text=\\", "identifier=\\|\\"])
def test_lone_backslash_is_a_literal(query: str, find: Any) -> None:
    type = "Observation" if query.startswith("code") else "Patient"
    assert find(f"{type}?{query}", []) == []


def test_regular_expression_characters_are_ordinary(find: Any) -> None:
    resources = [patient("1", name=[{"family": "(a+)+$"}]), patient("2", name=[{"family": "aaaa"}])]
    assert find(r"Patient?family:contains=(a%2B)%2B\$", resources) == ["1"]
    assert find("Patient?family:contains=.*", resources) == []


def test_long_text_is_cut_the_same_way_in_index_and_search(find: Any) -> None:
    resources = [patient("1", name=[{"family": "x" * 5000}])]
    assert find("Patient?family=" + "x" * 5000, resources) == ["1"]
    assert find("Patient?family:exact=" + "x" * 5000, resources) == ["1"]


# --- uri ------------------------------------------------------------------------------------

SETS = [
    {"resourceType": "ValueSet", "id": str(place), "url": url}
    for place, url in enumerate(
        [
            "http://a/fhir",
            "http://a/fhir/vs",
            "http://a/fhir/vs/1",
            "http://a/fhir/vs2",
            "urn:oid:1.2",
        ]
    )
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("url=http://a/fhir/vs", ["1"]),
        ("url=http://a/fhir/VS", []),
        ("url:below=http://a/fhir/vs", ["1", "2"]),
        ("url:below=http://a/fhir/vs/", ["2"]),
        ("url:above=http://a/fhir/vs/1", ["0", "1", "2"]),
        ("url:above=http://a/fhir/vs", ["0", "1"]),
        ("url=urn:oid:1.2", ["4"]),
        ("url:below=http://a", ["0", "1", "2", "3"]),
        ("url:missing=true", []),
    ],
)
def test_uri_modifiers_stop_at_path_boundaries(query: str, found: list[str], find: Any) -> None:
    assert find(f"ValueSet?{query}", SETS) == found
