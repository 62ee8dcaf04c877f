"""From path to interaction (https://hl7.org/fhir/R4/http.html#summary)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.errors import FHIRError, Invalid, Malformed, NotFound
from fhirserver.rest.request import decode_percent, parse_query
from fhirserver.rest.routes import ROUTES, allow_of, form_of


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("", "system"),
        ("metadata", "metadata"),
        ("_search", "system-search"),
        ("_history", "system-history"),
        ("$reindex", "operation"),
        ("Patient", "type"),
        ("Patient/_search", "type-search"),
        ("Patient/_history", "type-history"),
        ("Patient/$everything", "operation"),
        ("Patient/1", "instance"),
        ("Patient/a-b.C", "instance"),
        ("Patient/" + "x" * 64, "instance"),
        ("Patient/1/_history", "instance-history"),
        ("Patient/1/_history/2", "version"),
        ("Patient/1/$everything", "operation"),
        ("Patient/1/Observation", "compartment"),
        ("Patient/1/*", "compartment"),
        ("Encounter/1/Condition/_search", "compartment-search"),
        ("Device/1/*/_search", "compartment-search"),
    ],
)
def test_every_form_of_the_rest_api(path, form):
    assert form_of(tuple(path.split("/")) if path else ()) == form
    assert form in ROUTES


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("patient", NotFound),
        ("Resource", NotFound),
        ("Patients/1", NotFound),
        ("_unheardof", NotFound),
        ("Patient/a_b", Invalid),
        ("Patient/" + "x" * 65, Invalid),
        ("Patient/é", Invalid),
        ("Patient//", Invalid),
        ("Patient/1\n", Invalid),
        ("Patient/1/_history/1/2", NotFound),
        ("Patient/1/observation", NotFound),
        ("Observation/1/Patient", NotFound),
        ("Patient/1/Observation/1", NotFound),
        ("metadata/1", NotFound),
        ("$a/$b", NotFound),
    ],
)
def test_what_has_no_form_is_refused(path, error):
    with pytest.raises(error):
        form_of(tuple(path.split("/")))


def test_refusal_of_a_type_in_lower_case_names_the_right_one():
    with pytest.raises(NotFound, match="Patient"):
        form_of(("patient",))


@given(st.lists(st.text(max_size=10) | st.sampled_from(["Patient", "_history", "$x", "1"])))
def test_any_path_has_a_form_or_is_refused(segments):
    try:
        form = form_of(tuple(segments))
    except FHIRError:
        return
    assert form in ROUTES


def test_head_and_options_are_allowed_with_get():
    assert allow_of(ROUTES["version"]) == ("GET", "HEAD", "OPTIONS")
    assert allow_of(ROUTES["type-search"]) == ("POST", "OPTIONS")


# --- query strings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("&&", []),
        ("a", [("a", "")]),
        ("a=1&a=2", [("a", "1"), ("a", "2")]),
        ("a=b=c", [("a", "b=c")]),
        ("a=b+c", [("a", "b c")]),
        ("a=b%2Bc", [("a", "b+c")]),
        ("a=%7C%2C", [("a", "|,")]),
        ("name:exact=%C3%A9", [("name:exact", "é")]),
        ("a=%zz", [("a", "%zz")]),
        ("a=%", [("a", "%")]),
        ("a;b=1", [("a;b", "1")]),
    ],
)
def test_query_string(text, pairs):
    assert parse_query(text) == pairs


@pytest.mark.parametrize("text", ["a=%FF", "%C3=1", "a=%ED%A0%80"])
def test_query_that_is_no_utf8_is_malformed(text):
    with pytest.raises(Malformed):
        parse_query(text)


def test_nul_is_invalid():
    with pytest.raises(Invalid):
        decode_percent("a%00b", "path")


@given(st.text(max_size=60))
def test_any_query_is_read_or_refused(text):
    try:
        pairs = parse_query(text)
    except FHIRError:
        return
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in pairs)
