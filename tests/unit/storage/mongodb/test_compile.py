from __future__ import annotations

from dataclasses import dataclass

import mongo_filter
import pytest
import stored_resources as resources
from hypothesis import example, given
from hypothesis import strategies as st

from fhirserver.search.entries import DateEntry, PositionEntry, StringEntry, TokenEntry
from fhirserver.search.evaluate import Candidate, Resources, matches
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Compare,
    Either,
    Everything,
    Identity,
    Kind,
    Match,
    Not,
    OfType,
    Present,
    Within,
)
from fhirserver.storage.mongodb.compile import NONE, compile_expression
from fhirserver.storage.mongodb.dialect import FERRETDB_1, MONGODB
from fhirserver.storage.mongodb.entry_document import index_of


def document_of(candidate: Candidate) -> dict:
    return {
        "_id": f"{candidate.type}/{candidate.id}",
        "type": candidate.type,
        "id": candidate.id,
        "updated": candidate.updated,
        "index": index_of(candidate.entries),
    }


candidates = st.builds(
    Candidate,
    st.sampled_from(resources.TYPES),
    st.sampled_from(["1", "2", "3"]),
    st.integers(-3, 3).map(lambda n: n * 1000),
    resources.entries,
)


@given(candidates, resources.flat_expressions)
def test_filter_for_mongodb_means_what_the_expression_means(candidate, expression):
    compiled = compile_expression(expression, MONGODB)
    wanted = matches(expression, candidate, Resources([]))
    found = mongo_filter.selects(compiled.document, document_of(candidate))
    assert found == wanted if compiled.exact else found or not wanted


@given(candidates, resources.flat_expressions)
def test_filter_for_ferretdb_selects_at_least_what_the_expression_selects(candidate, expression):
    compiled = compile_expression(expression, FERRETDB_1, (candidate.type,))
    wanted = matches(expression, candidate, Resources([]))
    found = mongo_filter.selects(compiled.document, document_of(candidate))
    assert found == wanted if compiled.exact else found or not wanted


@given(candidates, resources.expressions)
def test_filter_of_an_unresolved_chain_selects_at_least_its_matches(candidate, expression):
    compiled = compile_expression(expression, MONGODB)
    wanted = matches(expression, candidate, Resources([candidate]))
    assert mongo_filter.selects(compiled.document, document_of(candidate)) or not wanted


@given(
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.floats(0, 2e7),
)
@example(80.0, 0.0, 80.0, 63.0, 1_000_000.0)
@example(0.0, 179.9, 0.0, -179.9, 30_000.0)
def test_box_around_a_circle_leaves_nothing_out(lat, lon, lat2, lon2, metres):
    near = Match("near", Kind.POSITION, Within(lat, lon, metres))
    candidate = Candidate("Location", "1", 0, [PositionEntry("near", lat2, lon2)])
    compiled = compile_expression(near, MONGODB)
    assert not compiled.exact
    wanted = matches(near, candidate, Resources([]))
    assert mongo_filter.selects(compiled.document, document_of(candidate)) or not wanted


def test_box_around_a_small_circle_leaves_much_out():
    near = Match("near", Kind.POSITION, Within(48.85, 2.35, 1000.0))
    lyon = Candidate("Location", "1", 0, [PositionEntry("near", 45.76, 4.83)])
    compiled = compile_expression(near, MONGODB)
    assert not mongo_filter.selects(compiled.document, document_of(lyon))


def test_conditions_on_one_entry_are_not_met_by_two_entries():
    candidate = Candidate(
        "Patient", "1", 0, [TokenEntry("identifier", "a", "1"), TokenEntry("identifier", "b", "2")]
    )
    compiled = compile_expression(resources.token("identifier", "a", "2"), MONGODB)
    assert compiled.exact
    assert not mongo_filter.selects(compiled.document, document_of(candidate))


def test_token_filter_is_one_element_match_that_an_index_serves():
    compiled = compile_expression(resources.token("identifier", "a", "2"), MONGODB)
    assert compiled.document == {
        "index.token": {
            "$elemMatch": {
                "param": "identifier",
                "system": {"$eq": "a"},
                "code": {"$eq": "2"},
            }
        }
    }


def test_period_within_a_day_is_bounded_on_both_sides_of_low():
    test = Both((Compare("low", "ge", 10), Compare("high", "le", 20)))
    element = compile_expression(Match("date", Kind.DATE, test), MONGODB).document["index.date"]
    text = repr(element)
    assert "{'low': {'$lte': 20}}" in text or "'low': {'$lte': 20" in text


def test_identity_of_one_type_is_looked_up_by_primary_key():
    where = All((OfType(("Patient",)), Identity(("1", "2"))))
    compiled = compile_expression(where, MONGODB)
    assert compiled.document == {
        "type": "Patient",
        "_id": {"$in": ["Patient/1", "Patient/2"]},
    }


def test_starts_with_is_a_range():
    compiled = compile_expression(
        Match("name", Kind.STRING, Compare("folded", "starts", "ev")), MONGODB
    )
    assert compiled.document["index.string"]["$elemMatch"]["folded"] == {"$gte": "ev", "$lt": "ew"}


@pytest.mark.parametrize("text", ["a.*b", "(x", "[", "\\", "a b", "é+", "^$", "{2}", "a|b", "#-&~"])
def test_contains_takes_the_text_literally(text):
    where = Match("name", Kind.STRING, Compare("folded", "contains", text))
    compiled = compile_expression(where, MONGODB)
    inside = Candidate("Patient", "1", 0, [StringEntry("name", f"<{text}>", "")])
    other = Candidate("Patient", "1", 0, [StringEntry("name", "aXXb", "")])
    assert mongo_filter.selects(compiled.document, document_of(inside))
    assert not mongo_filter.selects(compiled.document, document_of(other))


def test_nothing_can_match_is_known_without_asking_the_server():
    nothing = Match("name", Kind.STRING, Either(()))
    assert compile_expression(nothing, MONGODB).document == NONE
    assert compile_expression(All((Everything(), nothing)), FERRETDB_1).document == NONE
    assert compile_expression(AnyOf(()), MONGODB).document == NONE
    assert compile_expression(Not(Everything()), MONGODB).document == NONE
    assert compile_expression(Not(nothing), MONGODB).document == {}


def test_presence_is_exact_on_every_server():
    compiled = compile_expression(Present("date", Kind.DATE), FERRETDB_1)
    assert compiled.exact
    candidate = Candidate("Patient", "1", 0, [DateEntry("date", None, None)])
    assert mongo_filter.selects(compiled.document, document_of(candidate))


@dataclass(frozen=True)
class Unheard:
    pass


def test_unknown_node_fails_loudly():
    with pytest.raises(TypeError, match="Unheard"):
        compile_expression(All((Everything(), Unheard())), MONGODB)
    with pytest.raises(TypeError, match="Unheard"):
        compile_expression(Match("p", Kind.TOKEN, Both((Unheard(),))), MONGODB)


def test_unknown_comparison_fails_loudly():
    with pytest.raises(ValueError, match="almost"):
        compile_expression(Match("p", Kind.TOKEN, Compare("code", "almost", "x")), MONGODB)
