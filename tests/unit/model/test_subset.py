"""_summary and _elements."""

from __future__ import annotations

import copy

import pytest

from fhirserver.model.subset import SUBSETTED, elements, summary

PATIENT = {
    "resourceType": "Patient",
    "id": "1",
    "meta": {"versionId": "2", "tag": [{"system": "http://t", "code": "a"}]},
    "text": {"status": "generated", "div": "<div/>"},
    "contained": [{"resourceType": "Organization", "id": "o"}],
    "extension": [{"url": "http://e", "valueString": "x"}],
    "modifierExtension": [{"url": "http://m", "valueString": "x"}],
    "active": True,
    "_active": {"id": "a"},
    "name": [{"family": "A", "extension": [{"url": "http://x", "valueCode": "y"}]}],
    "deceasedBoolean": False,
    "maritalStatus": {"text": "M"},
    "photo": [{"url": "http://p"}],
    "link": [{"id": "l", "other": {"reference": "Patient/2"}, "type": "seealso"}],
    "communication": [{"language": {"text": "fr"}}],
}
TAGS = [{"system": "http://t", "code": "a"}, SUBSETTED]


@pytest.fixture(autouse=True)
def the_resource_given_is_left_as_it_is():
    before = copy.deepcopy(PATIENT)
    yield
    assert before == PATIENT


def test_true_keeps_the_summary_elements_at_every_depth():
    assert summary(PATIENT, "true") == {
        "resourceType": "Patient",
        "id": "1",
        "meta": {"versionId": "2", "tag": TAGS},
        "modifierExtension": [{"url": "http://m", "valueString": "x"}],
        "active": True,
        "_active": {"id": "a"},
        "name": [{"family": "A"}],
        "deceasedBoolean": False,
        "link": [{"id": "l", "other": {"reference": "Patient/2"}, "type": "seealso"}],
    }


def test_true_leaves_out_the_data_of_attachments_but_not_their_address():
    resource = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"contentType": "text/plain", "data": "YQ==", "url": "u"}}],
    }
    kept = summary(resource, "true")["content"]
    assert kept == [{"attachment": {"contentType": "text/plain", "url": "u"}}]


def test_true_keeps_an_element_that_has_only_an_extension():
    reason = [{"extension": [{"url": "http://absent", "valueCode": "unknown"}]}]
    resource = {"resourceType": "Patient", "name": reason}
    assert summary(resource, "true")["name"] == reason


def test_text_keeps_narrative_and_mandatory_elements():
    resource = {**PATIENT, "resourceType": "Observation", "status": "final", "code": {"text": "c"}}
    assert summary(resource, "text") == {
        "resourceType": "Observation",
        "id": "1",
        "meta": {"versionId": "2", "tag": TAGS},
        "text": {"status": "generated", "div": "<div/>"},
        "status": "final",
        "code": {"text": "c"},
    }


def test_data_leaves_out_the_narrative_only():
    expected = {name: value for name, value in PATIENT.items() if name != "text"}
    expected["meta"] = {"versionId": "2", "tag": TAGS}
    assert summary(PATIENT, "data") == expected


@pytest.mark.parametrize("mode", ["false", "count"])
def test_false_and_count_leave_the_resource_whole(mode):
    assert summary(PATIENT, mode) == PATIENT


def test_elements_keeps_what_is_named_and_what_is_never_left_out():
    assert elements(PATIENT, ["name", "photo"]) == {
        "resourceType": "Patient",
        "id": "1",
        "meta": {"versionId": "2", "tag": TAGS},
        "modifierExtension": PATIENT["modifierExtension"],
        "active": True,
        "_active": {"id": "a"},
        "name": PATIENT["name"],
        "deceasedBoolean": False,
        "photo": PATIENT["photo"],
        "link": PATIENT["link"],
    }


@pytest.mark.parametrize("name", ["value", "value[x]", "valueQuantity", "Observation.value"])
def test_elements_names_choices_by_their_base_or_their_type(name):
    resource = {
        "resourceType": "Observation", "status": "final", "code": {}, "valueQuantity": {"value": 1},
        "issued": "x",
    }  # fmt: skip
    assert list(elements(resource, [name])) == [
        "resourceType", "meta", "status", "code", "valueQuantity",
    ]  # fmt: skip


def test_elements_of_one_type_say_nothing_of_another():
    assert elements(PATIENT, ["Observation.code"]) is PATIENT
    kept = elements(PATIENT, ["Observation.photo", "Patient.maritalStatus"])
    assert "maritalStatus" in kept
    assert "photo" not in kept


def test_unknown_element_names_leave_the_mandatory_elements():
    assert "name" not in elements(PATIENT, ["nonsense"])


def test_the_tag_is_set_once():
    once = summary(PATIENT, "true")
    assert summary(once, "data")["meta"]["tag"] == TAGS


def test_meta_comes_behind_the_id_when_there_was_none():
    assert list(summary({"resourceType": "Basic", "id": "1", "code": {}}, "data")) == [
        "resourceType", "id", "meta", "code",
    ]  # fmt: skip


def test_resources_inside_a_bundle_are_summarised_by_their_own_type():
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PATIENT}]}
    inner = summary(bundle, "true")["entry"][0]["resource"]
    assert inner["name"] == [{"family": "A"}]
    assert "photo" not in inner
