"""What a Bundle asks to be stored, and under which ids."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_files import dump, patient, post, transaction

from fhirserver.load.bundle import split
from fhirserver.load.identity import is_id

URN = "urn:uuid:3f0a4c0e-8f57-4d0c-9a63-0a8d6f5f2b01"


def entries(resource, **options):
    return split(dump(resource), **options)


def names(found):
    return [(entry.method, entry.name) for entry in found.entries]


def reasons(found):
    return [refused.reason for refused in found.refused]


def test_single_resource_is_put_under_its_id():
    assert names(entries(patient("a"))) == [("PUT", "Patient/a")]


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "DocumentReference", "id": "a", "type": {"text": "letter"}},
        {"resourceType": "List", "id": "a", "entry": {"not": "those of a Bundle"}},
    ],
)
def test_elements_named_like_those_of_a_bundle_mean_nothing_elsewhere(resource):
    assert names(entries(resource)) == [("PUT", f"{resource['resourceType']}/a")]


def test_resource_without_id_gets_the_same_one_in_every_run_and_another_for_other_content():
    resource = {"resourceType": "Patient", "active": True}
    first, again = entries(resource), entries(resource)
    assert names(first) == names(again)
    assert names(first) != names(entries({**resource, "active": False}))
    assert is_id(first.entries[0].id)


def test_urns_become_ids_that_depend_on_the_bundle():
    one = transaction(post(URN, {"resourceType": "Patient"}))
    other = transaction(
        post(URN, {"resourceType": "Patient"}),
        post(URN[:-1] + "2", {"resourceType": "Basic", "code": {"text": "x"}}),
    )
    assert names(entries(one)) == names(entries(one))
    assert names(entries(one))[0] != names(entries(other))[0]
    assert entries(one).mapping == {URN: entries(one).entries[0].name}


def test_correcting_one_entry_leaves_the_ids_of_the_bundle():
    wrong = transaction(post(URN, {"resourceType": "Patient", "gender": "alien"}))
    right = transaction(post(URN, {"resourceType": "Patient", "gender": "other"}))
    assert names(entries(wrong)) == names(entries(right))
    assert names(entries(wrong, by_content=True)) != names(entries(right, by_content=True))


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5, unique=True))
def test_settled_ids_are_ids_and_unlike(urls):
    bundle = transaction(*(post("urn:" + url, {"resourceType": "Patient"}) for url in urls))
    ids = [entry.id for entry in split(json.dumps(bundle).encode()).entries]
    assert len(set(ids)) == len(urls)
    assert all(is_id(id) for id in ids)


def test_requests_of_a_transaction_are_read():
    bundle = transaction(
        {"request": {"method": "DELETE", "url": "Patient/gone"}},
        {"request": {"method": "DELETE", "url": "Patient?identifier=x"}},
        {"request": {"method": "GET", "url": "Patient/a"}},
        post(URN, {"resourceType": "Patient"}, ifNoneExist="identifier=s|v"),
        {
            "resource": patient("b"),
            "request": {"method": "PUT", "url": "Patient/b", "ifMatch": 'W/"3"'},
        },
        {
            "resource": {"resourceType": "Parameters"},
            "request": {"method": "PATCH", "url": "Patient/c"},
        },
    )
    found = entries(bundle)
    assert found.entries[0].name == "Patient/gone"
    assert [e.criteria for e in found.entries] == [
        None,
        "identifier=x",
        "identifier=s|v",
        None,
        None,
    ]
    assert [e.method for e in found.entries] == ["DELETE", "DELETE", "POST", "PUT", "PATCH"]
    assert found.entries[3].if_match == 'W/"3"'
    assert found.mapping == {}  # what the conditional create means is not known yet


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"resource": patient("a")}, "has no request"),
        (post(URN, {"resourceType": "Nonsense"}), "names no resource of R4"),
        ({"request": {"method": "PUT", "url": "Patient/a"}}, "needs a resource"),
        (
            {"resource": patient("a"), "request": {"method": "PUT", "url": "Patient/b"}},
            "the resource's id differs",
        ),
        (
            {"resource": patient("a"), "request": {"method": "PUT", "url": "Basic/a"}},
            "request.url names Basic, the resource is Patient",
        ),
        (
            {"resource": patient("a"), "request": {"method": "POST", "url": "Patient/a"}},
            "must not name an id",
        ),
        (
            {"resource": patient("a"), "request": {"method": "DO", "url": "Patient"}},
            "none of FHIR's",
        ),
        ({"request": {"method": "DELETE", "url": "Patient"}}, "needs the id"),
        ({"resource": patient("a"), "request": "POST"}, "is no Bundle entry"),
        (7, "is no Bundle entry"),
        (
            {"resource": [], "request": {"method": "PUT", "url": "Patient/a"}},
            "has no resource",
        ),
    ],
)
def test_bad_entry_is_refused_with_its_place_and_the_next_one_read(entry, reason):
    good = {"resource": patient("z"), "request": {"method": "PUT", "url": "Patient/z"}}
    found = entries(transaction(entry, good))
    assert names(found) == [("PUT", "Patient/z")]
    (refused,) = found.refused
    assert refused.place == 0
    assert reason in refused.reason


@pytest.mark.parametrize("type", ["collection", "searchset", "batch-response"])
def test_resources_of_other_bundles_are_stored_under_their_ids(type):
    bundle = transaction(
        {"resource": patient("a")},
        {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}},
        {"fullUrl": URN, "resource": {"resourceType": "Patient"}},
        type=type,
    )
    assert [entry.method for entry in entries(bundle).entries] == ["PUT", "POST"]


def test_history_gives_the_newest_version_and_nothing_of_what_is_deleted():
    bundle = transaction(
        {"resource": patient("a", active=True), "request": {"method": "PUT", "url": "Patient/a"}},
        {"request": {"method": "DELETE", "url": "Patient/b"}},
        {"resource": patient("b"), "request": {"method": "PUT", "url": "Patient/b"}},
        {"resource": patient("a"), "request": {"method": "POST", "url": "Patient"}},
        type="history",
    )
    found = entries(bundle)
    assert names(found) == [("PUT", "Patient/a")]
    assert b"active" in found.entries[0].data


@pytest.mark.parametrize("type", ["document", "message"])
def test_document_and_message_are_stored_as_the_bundles_they_are(type):
    bundle = {**transaction({"resource": patient("a")}, type=type), "id": "d"}
    assert names(entries(bundle)) == [("PUT", "Bundle/d")]


def test_bundle_of_an_unknown_type_is_refused():
    assert reasons(entries(transaction(type="parcel"))) == ["Bundle.type 'parcel' is none of R4"]


@pytest.mark.parametrize("body", [b"7", b"{}", b'{"resourceType":7}', b"[]", b'{"a"'])
def test_what_is_no_resource_is_a_value_error(body):
    with pytest.raises(ValueError):
        split(body)


def test_resource_with_an_impossible_id_is_refused():
    assert "no logical id" in reasons(entries(patient("no/id")))[0]
    assert "no resource type" in reasons(entries({"resourceType": "Sample"}))[0]
