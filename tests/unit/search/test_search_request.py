"""What a search request as a whole asks for: unknown parameters, paging, order, includes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirserver.conformance.registry import Registry
from fhirserver.errors import FHIRError, Invalid, NotSupported, TooCostly
from fhirserver.search.expression import All, Everything, Kind, Match, Query, Sort
from fhirserver.search.parse import Search, criteria, parse
from fhirserver.search.result import Include

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def request(
    registry: Registry, type: str, *parameters: tuple[str, str], strict: bool = True
) -> Search:
    types = (type,) if type else ()
    return parse(registry, types, parameters, strict=strict, now=NOW)


def test_unknown_parameter_is_left_out_when_lenient_and_refused_when_strict(
    registry: Registry,
) -> None:
    asked = (("active", "true"), ("nothing", "x"), ("Active", "true"))
    search = request(registry, "Patient", *asked, strict=False)
    assert search.applied == (("active", "true"),)
    assert search.ignored == ("nothing", "Active")
    assert isinstance(search.query.where, Match)
    with pytest.raises(Invalid):
        request(registry, "Patient", *asked)


@pytest.mark.parametrize(
    "name",
    [
        "active:nothing",
        "name:text",
        "birthdate:exact",
        "_count:x",
        "_id:exact",
        "_lastUpdated:not",
        "gender:",
        "active:Patient",
    ],
)
def test_unknown_modifier_is_refused_always(name: str, registry: Registry) -> None:
    for strict in (True, False):
        with pytest.raises(Invalid):
            request(registry, "Patient", (name, "1"), strict=strict)


@pytest.mark.parametrize("name", ["identifier[$gt]", "name[contains]", "$where", '{"$ne":1}'])
def test_operators_in_names_are_refused_always(name: str, registry: Registry) -> None:
    for strict in (True, False):
        with pytest.raises(Invalid):
            request(registry, "Patient", (name, "x"), strict=strict)


@pytest.mark.parametrize("name", ["name ", "", "nom", "Name"])
def test_other_names_are_unknown_parameters(name: str, registry: Registry) -> None:
    with pytest.raises(Invalid):
        request(registry, "Patient", (name, "x"))
    assert request(registry, "Patient", (name, "x"), strict=False).query.where == Everything()


def test_empty_value_says_nothing(registry: Registry) -> None:
    search = request(registry, "Patient", ("name", ""), ("active", ","), strict=False)
    assert search.query.where == Everything()
    assert search.applied == ()
    with pytest.raises(Invalid):
        request(registry, "Patient", ("name", ""))


def test_nul_in_a_value_is_refused(registry: Registry) -> None:
    for name in ("name", "identifier", "_id", "birthdate", "subject", "_filter", "_list", "_sort"):
        with pytest.raises(Invalid):
            request(registry, "Patient", (name, "a\0b"))


def test_thousands_of_values_are_one_test_and_more_are_refused(registry: Registry) -> None:
    ids = ",".join(str(i) for i in range(10_000))
    search = request(registry, "Patient", ("identifier", ids))
    assert isinstance(search.query.where, Match)
    with pytest.raises(TooCostly):
        request(registry, "Patient", ("identifier", ids + ",x"))
    with pytest.raises(TooCostly):
        request(registry, "Patient", ("name", ids))
    with pytest.raises(TooCostly):
        request(registry, "Patient", ("name", "x" * 2_000_000))
    with pytest.raises(TooCostly):
        request(registry, "Patient", *[("name", "x")] * 1000)


def test_repeated_parameters_must_all_hold(registry: Registry) -> None:
    search = request(registry, "Patient", ("given", "a"), ("given", "b"), ("given", "a"))
    assert isinstance(search.query.where, All)
    assert len(search.query.where.parts) == 2


def test_system_search_knows_what_all_its_types_have(registry: Registry) -> None:
    search = request(registry, "", ("_type", "Patient,Observation"), ("identifier", "x"))
    assert search.query.types == ("Patient", "Observation")
    assert request(registry, "", ("_lastUpdated", "gt2020")).query.types == ()
    for parameters in (
        [("_type", "Patient,Observation"), ("birthdate", "2020")],
        [("identifier", "x")],
        [("_type", "Nothing")],
    ):
        with pytest.raises(Invalid):
            request(registry, "", *parameters)


def test_parameter_of_different_meaning_by_type_is_asked_of_each(find: Any) -> None:
    resources = [
        {"resourceType": "Patient", "id": "p"},
        {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}},
        {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/p"}},
    ]
    assert find("?_type=Condition,Observation&subject=Patient/p", resources) == ["c", "o"]
    assert find("?_type=Observation&subject=p", resources) == ["o"]


# --- order and page -------------------------------------------------------------------------

AZ = [{"family": "a"}, {"family": "z"}]
PATIENTS = [
    {"resourceType": "Patient", "id": "b", "birthDate": "1990", "name": [{"family": "B"}]},
    {"resourceType": "Patient", "id": "none"},
    {"resourceType": "Patient", "id": "a", "birthDate": "1980", "name": AZ},
    {"resourceType": "Patient", "id": "a2", "birthDate": "1980"},
]


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        ("birthdate", ["a", "a2", "b", "none"]),
        ("-birthdate", ["b", "a", "a2", "none"]),
        ("birthdate,-_id", ["a2", "a", "b", "none"]),
        ("family", ["a", "b", "none", "a2"]),
        ("-family", ["a", "b", "none", "a2"]),
        ("_id", ["a", "a2", "b", "none"]),
        ("-_lastUpdated", ["a2", "a", "none", "b"]),
        ("_lastUpdated", ["b", "none", "a", "a2"]),
    ],
)
def test_sort_puts_absent_values_last_and_ties_in_order_of_creation(
    sort: str, found: list[str], find: Any
) -> None:
    assert find(f"Patient?_sort={sort}", PATIENTS) == found


@pytest.mark.parametrize("sort", ["nothing", "birthdate:missing", "link.name", "", "-", "_id,,_id"])
def test_sort_by_what_gives_no_order_is_refused(sort: str, registry: Registry) -> None:
    with pytest.raises(Invalid):
        request(registry, "Patient", ("_sort", sort))


@pytest.mark.parametrize(
    ("type", "code"),
    [("Observation", "code-value-quantity"), ("Location", "near"), ("Patient", "_text")],
)
def test_sort_by_composite_or_special_is_refused(type: str, code: str, registry: Registry) -> None:
    with pytest.raises(Invalid):
        request(registry, type, ("_sort", code))


def test_sort_keys_have_the_kind_of_their_parameter(registry: Registry) -> None:
    search = request(
        registry, "Observation", ("_sort", "-date,subject"), ("_sort", "value-quantity")
    )
    assert search.query.sort == (
        Sort("date", Kind.DATE, True),
        Sort("subject", Kind.REFERENCE),
        Sort("value-quantity", Kind.QUANTITY),
    )


def test_count_is_bounded_and_zero_asks_for_the_total(registry: Registry) -> None:
    assert request(registry, "Patient").query.count == 20
    assert request(registry, "Patient", ("_count", "7")).query.count == 7
    assert request(registry, "Patient", ("_count", "999999")).query.count == 1000
    for parameter in (("_count", "0"), ("_summary", "count")):
        search = request(registry, "Patient", parameter)
        assert (search.query.count, search.summary) == (0, "count")
    for value in ("-1", "x", "1.5", "1e3", "٣"):
        with pytest.raises(Invalid):
            request(registry, "Patient", ("_count", value))
    with pytest.raises(Invalid):
        request(registry, "Patient", ("_count", "1"), ("_count", "2"))


def test_result_parameters_take_only_their_codes(registry: Registry) -> None:
    search = request(
        registry,
        "Patient",
        ("_summary", "data"),
        ("_total", "accurate"),
        ("_elements", "name,birthDate"),
        ("_format", "json"),
        ("_pretty", "true"),
        ("_contained", "both"),
        ("_containedType", "contained"),
    )
    assert (search.summary, search.total) == ("data", "accurate")
    assert search.elements == ("name", "birthDate")
    assert (search.contained, search.contained_type) == ("both", "contained")
    assert ("_format", "json") not in search.applied
    for name in ("_summary", "_total", "_contained", "_containedType"):
        with pytest.raises(Invalid):
            request(registry, "Patient", (name, "nothing"))
    with pytest.raises(Invalid):
        request(registry, "Patient", ("_elements", "name[0]"))
    with pytest.raises(NotSupported):
        request(registry, "Patient", ("_query", "x"), strict=False)


# --- includes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "include"),
    [
        ("_include", "Observation:subject", Include("Observation", "subject")),
        ("_include", "Observation:subject:Patient", Include("Observation", "subject", "Patient")),
        (
            "_include:iterate",
            "Patient:organization",
            Include("Patient", "organization", None, True),
        ),
        ("_include:recurse", "Patient:link", Include("Patient", "link", None, True)),
        ("_include", "*", Include("*", "*")),
        ("_include", "Observation:*", Include("Observation", "*")),
        ("_include", "*:subject", Include("*", "subject")),
    ],
)
def test_include_forms(name: str, value: str, include: Include, registry: Registry) -> None:
    assert request(registry, "Observation", (name, value)).includes == (include,)
    reverse = name.replace("_include", "_revinclude")
    assert request(registry, "Observation", (reverse, value)).revincludes == (include,)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "subject",
        "Nothing:subject",
        "Observation:nothing",
        "Observation:code",
        "a:b:c:d",
        "Observation:subject:Nothing",
        "Observation:subject:Organization",
        "Observation:",
        ":subject",
    ],
)
def test_include_of_what_is_no_reference_is_refused(value: str, registry: Registry) -> None:
    with pytest.raises(Invalid):
        request(registry, "Observation", ("_include", value), strict=False)
    with pytest.raises(Invalid):
        request(registry, "Observation", ("_include:x", "Observation:subject"), strict=False)


# --- criteria of conditional interactions ---------------------------------------------------


def test_criteria_are_a_url_query(registry: Registry) -> None:
    for text in ("identifier=s%7Cv&active=true", "?identifier=s|v&active=true"):
        query = criteria(registry, "Patient", text, now=NOW)
        asked = request(registry, "Patient", ("identifier", "s|v"), ("active", "true"))
        assert query == Query(("Patient",), asked.query.where, count=2)
        assert isinstance(query.where, All)
    assert criteria(registry, "Patient", "Patient?_id=1", now=NOW).types == ("Patient",)


@pytest.mark.parametrize(
    "text",
    [
        "nothing=1",
        "identifier=",
        "identifier=s|v&name=",
        "_count=1",
        "_sort=name",
        "identifier",
        "Observation?code=x",
        "a=%ff",
    ],
)
def test_criteria_leave_nothing_out(text: str, registry: Registry) -> None:
    with pytest.raises(Invalid):
        criteria(registry, "Patient", text, now=NOW)


def test_criteria_may_be_empty_for_the_interaction_to_judge(registry: Registry) -> None:
    assert criteria(registry, "Patient", "", now=NOW) == Query(("Patient",), Everything(), count=2)


# --- text -----------------------------------------------------------------------------------


def test_text_and_content_look_for_every_word(find: Any) -> None:
    div = '<div><p class="secret">Fi&egrave;vre l&#233;g&egrave;re</p></div>'
    resources = [
        {
            "resourceType": "Condition",
            "id": "1",
            "text": {"status": "generated", "div": div},
            "code": {"text": "Angine", "coding": [{"code": "4548-4"}]},
            "recordedDate": "2020-01-01",
            "note": [{"text": "Revoir demain"}],
        },
    ]
    for query, found in (
        ("_text=fievre", True),
        ("_text=legere fièvre", True),
        ("_text=fievre,angine", True),
        ("_text=angine", False),
        ("_text=secret", False),
        ("_content=angine", True),
        ("_content=angine fievre demain", True),
        ("_content=angine absente", False),
        ("_content=fiev", False),
        ("_content=4548-4", True),
        ("_content=2020", False),
    ):
        assert bool(find(f"Condition?{query}", resources)) is found, query
    with pytest.raises(Invalid):
        find("Condition?_text=...", resources)


# --- robustness -----------------------------------------------------------------------------

NAMES = [
    *("name", "identifier", "birthdate", "subject", "code", "value-quantity", "_id", "near"),
    *("_lastUpdated", "_sort", "_count", "_include", "_filter", "_has:Observation:patient:code"),
    *("subject.name", "subject:Patient.birthdate", "component-code-value-quantity", "_text"),
    *("probability", "url:below", "identifier:of-type", "code:in", "subject:identifier", "_list"),
    *("_type", "_elements", "_summary", "_total", "code:missing", "code:not", "_revinclude"),
]
NOISE = st.text(alphabet="ab1:.,|$\\-_/ \"'()[]{}%\0é=&gtne0", max_size=25)
PARAMETER = st.tuples(
    st.sampled_from(NAMES) | NOISE | st.text(max_size=10), NOISE | st.text(max_size=20)
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["Patient", "Observation", "Location", "RiskAssessment", "ValueSet", ""]),
    st.lists(PARAMETER, max_size=4),
    st.booleans(),
)
def test_any_request_is_understood_or_refused(
    registry: Registry, type: str, parameters: list[tuple[str, str]], strict: bool
) -> None:
    try:
        search = request(registry, type, *parameters, strict=strict)
    except FHIRError:
        return
    hash(search.query)
