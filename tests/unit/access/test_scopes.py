"""SMART scopes: reading, writing, and what is within what."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.access.scopes import MOST, Launch, Scope, Scopes, granted, parse


def one(text: str) -> Scope:
    (item,) = parse(text).items
    assert isinstance(item, Scope)
    return item


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("patient/Observation.rs", "rs"),
        ("user/*.cruds", "cruds"),
        ("system/Patient.c", "c"),
        ("patient/Observation.read", "rs"),
        ("patient/Observation.write", "cud"),
        ("user/Patient.*", "cruds"),
        ("patient/*.*", "cruds"),
    ],
)
def test_actions_of_both_versions_are_understood_and_written_as_asked(text, actions):
    assert one(text).actions == actions
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.dus",
        "patient/Observation.sr",
        "patient/Observation.rr",
        "patient/Observation.",
        "patient/Observation",
        "patient/Observation.rx",
        "patient/Observation.Read",
        "patient/observation.rs",
        "patient/Unicorn.rs",
        "patient/.rs",
        "practitioner/Patient.rs",
        "patient/Observation.rs?",
        "patient/Observation.rs?category",
        "patient/Observation.rs?category=",
        "patient/Observation.rs?category:not=a",
        "patient/Observation.rs?subject.name=a",
        "patient/Observation.rs?_has:Group:member:_id=1",
        "patient/Observation.rs?_filter=code eq a",
        "patient/Observation.rs?_filter=x",
        "patient/Observation.rs?_include=Observation:subject",
        "patient/Observation.rs?category=%FF",
        "patient/Observation.rs.rs",
        "launch/",
        "launch/Patient",
        "launch/unicorn",
        "launch?role=a",
        "launch/questionnaire?role=",
        "admin",
        "OPENID",
    ],
)
def test_what_is_not_understood_whole_is_refused(text):
    scopes = parse(text)
    assert not scopes.items
    assert scopes.refused


def test_constraints_are_decoded_and_written_back():
    text = "patient/Observation.rs?category=http://loinc.org|LP29684-5&code=a%26b"
    scope = one(text)
    assert scope.constraints == (("category", "http://loinc.org|LP29684-5"), ("code", "a&b"))
    assert str(scope) == text


def test_an_escaped_slash_is_a_slash():
    assert one("patient%2FObservation.rs?category=http:%2F%2Fa|b") == Scope(
        "patient", "Observation", "rs", (("category", "http://a|b"),)
    )


def test_a_constraint_on_an_unknown_parameter_is_refused():
    asked: list[tuple[str, str]] = []

    def knows(type_: str, code: str) -> bool:
        asked.append((type_, code))
        return code == "category"

    scopes = parse("patient/Observation.rs?category=a patient/*.rs?colour=b", knows)
    assert str(scopes) == "patient/Observation.rs?category=a"
    assert scopes.refused == ("patient/*.rs?colour=b",)
    assert asked == [("Observation", "category"), ("Resource", "colour")]


def test_launch_contexts():
    scopes = parse("launch launch/patient launch/encounter launch/questionnaire?role=form openid")
    assert scopes.launches == (
        Launch(),
        Launch("Patient"),
        Launch("Encounter"),
        Launch("Questionnaire", "form"),
    )
    assert str(scopes).endswith("launch/questionnaire?role=form openid")


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("patient/*.rs", "patient/Observation.r", True),
        ("patient/*.rs", "user/Observation.r", False),
        ("patient/Observation.rs", "patient/*.rs", False),
        ("patient/Observation.r", "patient/Observation.rs", False),
        ("patient/Observation.rs", "patient/Observation.rs?category=a", True),
        ("patient/Observation.rs?category=a", "patient/Observation.rs", False),
        ("patient/Observation.rs?category=a", "patient/Observation.rs?category=b", False),
        ("patient/Observation.rs?category=a", "patient/Observation.rs?code=b&category=a", True),
    ],
)
def test_covering(wide, narrow, covered):
    assert one(wide).covers(one(narrow)) is covered
    assert parse(narrow).all_within(parse(wide)) is covered


@pytest.mark.parametrize(
    ("asked", "allowed", "given_"),
    [
        ("patient/*.read", "patient/Observation.rs patient/Condition.r",
         "patient/Observation.read patient/Condition.r"),
        ("patient/Observation.read", "patient/*.rs", "patient/Observation.read"),
        ("patient/Observation.cruds", "patient/*.rs", "patient/Observation.rs"),
        ("patient/Condition.rs", "patient/Condition.rs?category=a",
         "patient/Condition.rs?category=a"),
        ("patient/Observation.rs?code=b", "patient/Observation.rs?category=a",
         "patient/Observation.rs?code=b&category=a"),
        ("openid fhirUser launch/patient", "openid launch/patient", "openid launch/patient"),
        ("system/Patient.c", "system/Patient.rs", ""),
        ("user/Patient.rs", "patient/Patient.rs", ""),
    ],
)  # fmt: skip
def test_what_is_asked_is_cut_to_what_is_allowed(asked, allowed, given_):
    assert str(parse(asked).within(parse(allowed))) == given_


def test_reaching_is_a_union():
    scopes = parse("patient/Observation.rs?category=a patient/*.r patient/Patient.u launch")
    assert [str(s) for s in scopes.reaching("Observation", "r")] == [
        "patient/Observation.rs?category=a",
        "patient/*.r",
    ]
    assert len(scopes.reaching("Observation", "s")) == 1
    assert scopes.reaching("Condition", "s") == ()
    assert scopes.reaching("Condition", "d") == ()


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.rs?" + "&".join(f"code={n}" for n in range(15_000)),
        "patient/Observation." + "cruds" * 20_000,
        "patient/" * 12_000,
        "a" * 100_000,
        " ".join(f"patient/Observation.rs?code={n}" for n in range(3_000)),
        " " * 100_000,
        "%" * 100_000,
        "patient/Observation.rs?code=" + "%41" * 33_000,
    ],
)
def test_long_texts_are_read_in_linear_time(text):
    began = time.perf_counter()
    scopes = parse(text)
    assert len(scopes.items) <= MOST
    scopes.all_within(scopes)
    scopes.within(scopes)
    assert time.perf_counter() - began < 1.0


_NAME = st.sampled_from(["category", "code", "_tag", "patient"])
_VALUE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
_SCOPE = st.builds(
    Scope,
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["*", "Patient", "Observation", "Condition"]),
    st.sets(st.sampled_from("cruds"), min_size=1).map(
        lambda letters: "".join(a for a in "cruds" if a in letters)
    ),
    st.lists(st.tuples(_NAME, _VALUE), max_size=3, unique=True).map(tuple),
)
_SCOPES = st.lists(_SCOPE, max_size=5, unique=True).map(lambda items: Scopes(tuple(items)))


@given(_SCOPES)
def test_text_and_scopes_say_the_same(scopes):
    assert parse(str(scopes)).items == scopes.items
    assert granted(scopes.texts).items == scopes.items
    assert str(scopes).isascii()


@given(_SCOPES, _SCOPES)
def test_the_cut_goes_beyond_neither_side(asked, allowed):
    given_ = asked.within(allowed)
    assert given_.all_within(asked)
    assert given_.all_within(allowed)


@given(_SCOPES, _SCOPES)
def test_what_both_give_stays(asked, allowed):
    both = asked.within(allowed)
    for scope in asked.resources:
        if allowed.covers(scope):
            assert both.covers(scope)
    assert parse(str(both)).within(allowed).items == both.items


@given(st.text())
def test_any_text_is_read_without_an_error(text):
    scopes = parse(text)
    assert parse(str(scopes)).items == scopes.items
