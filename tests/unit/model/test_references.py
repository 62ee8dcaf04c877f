"""Parsing, finding and rewriting references."""

from __future__ import annotations

import copy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.model.references import Reference, identity, links, narrative_links, parse, rewrite

BASES = ("https://sante.example/fhir", "http://localhost:8080/fhir/")
UUID = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
OTHER = "urn:uuid:15efabf0-4be2-4561-91ce-51548425acb9"


@pytest.mark.parametrize(
    ("text", "kind", "type", "id", "version"),
    [
        ("Patient/1", "literal", "Patient", "1", None),
        ("Patient/1/_history/2", "literal", "Patient", "1", "2"),
        ("Patient/" + "a" * 64, "literal", "Patient", "a" * 64, None),
        ("https://sante.example/fhir/Patient/1", "literal", "Patient", "1", None),
        ("http://localhost:8080/fhir/Patient/1/_history/9", "literal", "Patient", "1", "9"),
        ("http://other.example/r4/Patient/1", "absolute", "Patient", "1", None),
        ("http://other.example/r4/Patient/1/_history/2", "absolute", "Patient", "1", "2"),
        ("https://sante.example/fhir2/Patient/1", "absolute", "Patient", "1", None),
        ("http://other.example/thing", "absolute", "", "", None),
        ("#", "contained", "", "", None),
        ("#p1", "contained", "", "p1", None),
        (UUID, "urn", "", "", None),
        ("urn:oid:1.2.840.0.1", "urn", "", "", None),
        ("urn:uuid:nonsense", "unknown", "", "", None),
        ("urn:oid:1.02", "unknown", "", "", None),
        ("Patient/" + "a" * 65, "unknown", "", "", None),
        ("Patient/a b", "unknown", "", "", None),
        ("patient/1", "unknown", "", "", None),
        ("Nonsense/1", "unknown", "", "", None),
        ("Patient/1\n", "unknown", "", "", None),
        ("Patient", "unknown", "", "", None),
        ("Patient?", "unknown", "", "", None),
        ("/Patient/1", "unknown", "", "", None),
        ("", "unknown", "", "", None),
    ],
)
def test_a_reference_is_read_for_what_it_is(text, kind, type, id, version):
    assert parse(text, BASES) == Reference(text, kind, type, id, version)


def test_conditional_references_give_type_and_criteria():
    text = "Patient?identifier=http://s|1&active=true"
    found = parse(text)
    assert (found.kind, found.type, found.criteria) == (
        "conditional", "Patient", "identifier=http://s|1&active=true",
    )  # fmt: skip
    assert parse(f"{BASES[0]}/{text}", BASES).kind == "conditional"
    assert parse("Nonsense?x=1").kind == "unknown"


@given(st.text())
def test_any_text_is_read_without_error(text):
    assert parse(text, BASES).text == text


def observation(**changes):
    return {
        "resourceType": "Observation",
        "text": {"status": "generated", "div": '<div><a href="Patient/1">x</a></div>'},
        "contained": [{"resourceType": "Patient", "link": [{"other": {"reference": UUID}}]}],
        "extension": [{"url": "http://e", "valueReference": {"reference": "Patient/2"}}],
        "meta": {"profile": ["http://p"]},
        "_status": {"extension": [{"url": "http://f", "valueUri": "http://u"}]},
        "subject": {"reference": UUID, "identifier": {"system": UUID, "value": UUID}},
        "performer": [{"display": "x"}, {"reference": "Practitioner/1"}],
        "valueAttachment": {"url": UUID},
        **changes,
    }


def test_every_link_is_found_with_its_type_and_place():
    assert [(link.type, link.value, link.expression) for link in links(observation())] == [
        ("xhtml", "Patient/1", "Observation.text.div"),
        ("reference", UUID, "Observation.contained[0].link[0].other.reference"),
        ("uri", "http://e", "Observation.extension[0].url"),
        ("reference", "Patient/2", "Observation.extension[0].valueReference.reference"),
        ("canonical", "http://p", "Observation.meta.profile[0]"),
        ("uri", "http://f", "Observation._status.extension[0].url"),
        ("uri", "http://u", "Observation._status.extension[0].valueUri"),
        ("reference", UUID, "Observation.subject.reference"),
        ("uri", UUID, "Observation.subject.identifier.system"),
        ("reference", "Practitioner/1", "Observation.performer[1].reference"),
    ]


def test_links_of_bundle_entries_and_parameters_are_found():
    inner = {"resourceType": "Patient", "managingOrganization": {"reference": "Organization/1"}}
    bundle = {"resourceType": "Bundle", "entry": [{"fullUrl": UUID, "resource": inner}]}
    parameters = {
        "resourceType": "Parameters",
        "parameter": [{"part": [{"resource": bundle}, {"valueUrl": "http://x"}]}],
    }
    assert [(link.type, link.expression) for link in links(parameters)] == [
        ("uri", "Parameters.parameter[0].part[0].resource.entry[0].fullUrl"),
        (
            "reference",
            "Parameters.parameter[0].part[0].resource.entry[0].resource"
            ".managingOrganization.reference",
        ),
        ("url", "Parameters.parameter[0].part[1].valueUrl"),
    ]


def test_rewriting_reaches_references_attachments_and_narrative():
    resource = {
        "resourceType": "DocumentReference",
        "text": {"status": "generated", "div": f"<div><a class='x' href='{UUID}'>x</a></div>"},
        "subject": {"reference": UUID},
        "author": [{"reference": OTHER}, {"reference": UUID}],
        "content": [{"attachment": {"url": UUID}}],
        "extension": [{"url": "http://e", "valueReference": {"reference": UUID}}],
        "meta": {"source": UUID},
    }
    assert rewrite(resource, {UUID: "Patient/1"}) == {
        "resourceType": "DocumentReference",
        "text": {"status": "generated", "div": "<div><a class='x' href=\"Patient/1\">x</a></div>"},
        "subject": {"reference": "Patient/1"},
        "author": [{"reference": OTHER}, {"reference": "Patient/1"}],
        "content": [{"attachment": {"url": "Patient/1"}}],
        "extension": [{"url": "http://e", "valueReference": {"reference": "Patient/1"}}],
        "meta": {"source": "Patient/1"},
    }


def test_rewriting_leaves_canonicals_identifiers_systems_and_own_urls_alone():
    for resource in (
        {"resourceType": "Patient", "identifier": [{"system": UUID, "value": UUID}]},
        {"resourceType": "Patient", "meta": {"profile": [UUID], "tag": [{"system": UUID}]}},
        {"resourceType": "CarePlan", "instantiatesCanonical": [UUID]},
        {"resourceType": "ValueSet", "url": UUID, "title": UUID},
        {"resourceType": "Basic", "extension": [{"url": UUID, "valueString": UUID}]},
        {"resourceType": "Basic", "extension": [{"url": "x", "valueCanonical": UUID}]},
        {"resourceType": "Basic", "text": {"div": f"<div>{UUID} href=&quot;{UUID}&quot;</div>"}},
    ):
        assert rewrite(resource, {UUID: "Patient/1"}) is resource


def test_rewriting_makes_a_new_resource_and_leaves_the_old():
    resource = observation()
    before = copy.deepcopy(resource)
    assert rewrite(resource, {UUID: "Patient/1"}) != before
    assert resource == before


def test_conditional_references_and_fragments_are_rewritten():
    resource = {
        "resourceType": "Observation",
        "subject": {"reference": "Patient?identifier=s|1"},
        "focus": [{"reference": UUID + "#part"}],
    }
    assert rewrite(resource, {"Patient?identifier=s|1": "Patient/9", UUID: "Media/2"}) == {
        "resourceType": "Observation",
        "subject": {"reference": "Patient/9"},
        "focus": [{"reference": "Media/2#part"}],
    }


def test_relative_references_are_read_against_the_base_of_the_full_url():
    resource = {"resourceType": "Observation", "subject": {"reference": "Patient/1"}}
    mapping = {"http://source/Patient/1": "Patient/new"}
    rewritten = rewrite(resource, mapping, base="http://source")
    assert rewritten["subject"] == {"reference": "Patient/new"}
    assert rewrite(resource, mapping, base="http://elsewhere") is resource


def test_a_bundle_inside_keeps_the_references_to_its_own_entries():
    inner = {
        "resourceType": "Bundle",
        "entry": [
            {"fullUrl": UUID, "resource": {"resourceType": "Patient"}},
            {"resource": {"resourceType": "Observation", "subject": {"reference": UUID}}},
            {"resource": {"resourceType": "Observation", "subject": {"reference": OTHER}}},
        ],
    }
    rewritten = rewrite(inner, {UUID: "Patient/1", OTHER: "Patient/2"})
    assert rewritten["entry"][:2] == inner["entry"][:2]
    assert rewritten["entry"][2]["resource"]["subject"] == {"reference": "Patient/2"}


def test_ampersands_in_narrative_links_are_read_and_written_as_xml():
    div = '<div><img src="Binary?a=1&amp;b=2"/></div>'
    assert narrative_links(div) == ["Binary?a=1&b=2"]
    resource = {"resourceType": "Basic", "text": {"div": div}}
    rewritten = rewrite(resource, {"Binary?a=1&b=2": 'Binary/"<&'})
    assert narrative_links(rewritten["text"]["div"]) == ['Binary/"<&']


@pytest.mark.parametrize("piece", ["<a ", '<a"', "<a href='", '<a href="x', "<a href=", " href "])
def test_hostile_narratives_take_linear_time(piece):
    start = time.perf_counter()
    narrative_links("href" + piece * 100_000)
    assert time.perf_counter() - start < 2


junk = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.just(UUID),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["resourceType", "subject", "reference", "text", "div", "entry",
                         "contained", "extension", "resource", "_id", "fullUrl"]),
        inner, max_size=4,
    ),
)  # fmt: skip


@given(st.sampled_from(["Patient", "Observation", "Bundle", "Nonsense", 3, None]), junk)
def test_resources_of_any_shape_are_walked_without_error(type_, value):
    resource = {"resourceType": type_, "contained": value, "subject": value, "entry": value}
    links(resource)
    rewrite(resource, {UUID: "Patient/1"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"reference": "Patient/1"}, ("Patient", "1")),
        ("Patient/1", ("Patient", "1")),
        ("https://here/fhir/Patient/1", ("Patient", "1")),
        ("Patient/1/_history/2", ("Patient", "1")),
        ("https://there/fhir/Patient/1", None),
        ("#1", None),
        ("Patient?identifier=1", None),
        ({"reference": "Group/1"}, None),
        ({"identifier": {"value": "1"}}, None),
        ({"reference": 1}, None),
        (None, None),
    ],
)
def test_a_reference_names_a_resource_of_this_server_or_none(value, expected):
    assert identity(value, ("https://here/fhir",), "Patient") == expected


def test_a_reference_to_any_type():
    assert identity({"reference": "Group/1"}) == ("Group", "1")
