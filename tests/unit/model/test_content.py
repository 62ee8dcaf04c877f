"""The stored bytes of a resource."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.errors import Invalid
from fhirserver.model import json
from fhirserver.model.content import content, resource_of

TIME = "2026-11-24T06:00:00.123Z"


def test_type_id_and_meta_come_first_and_elements_keep_their_order():
    resource = json.decode(b'{"active":true,"id":"x","resourceType":"Patient","a":1.00}')
    assert content(resource, "7").stamp(3, TIME) == (
        b'{"resourceType":"Patient","id":"7","meta":{"versionId":"3",'
        b'"lastUpdated":"2026-11-24T06:00:00.123Z"},"active":true,"a":1.00}'
    )


def test_the_clients_meta_is_kept_but_for_what_the_server_owns():
    resource = {
        "resourceType": "Patient",
        "meta": {
            "id": "m",
            "versionId": "99",
            "_versionId": {"id": "v"},
            "lastUpdated": "2001-01-01T00:00:00Z",
            "_lastUpdated": {"id": "l"},
            "source": "http://s",
            "_source": {"id": "s"},
            "profile": ["http://p"],
        },
        "_active": {"id": "a"},
    }
    assert json.decode(content(resource, "7").stamp(1, TIME)) == {
        "resourceType": "Patient",
        "id": "7",
        "meta": {
            "versionId": "1",
            "lastUpdated": TIME,
            "id": "m",
            "source": "http://s",
            "_source": {"id": "s"},
            "profile": ["http://p"],
        },
        "_active": {"id": "a"},
    }


def test_the_resource_given_is_left_as_it_is():
    resource = {"resourceType": "Patient", "id": "1", "meta": {"versionId": "1"}}
    content(resource, "2")
    assert resource == {"resourceType": "Patient", "id": "1", "meta": {"versionId": "1"}}


def test_an_extension_on_the_id_stays_with_that_id_only():
    resource = {"resourceType": "Patient", "id": "1", "_id": {"id": "x"}}
    assert b'"_id"' in content(resource, "1").stamp(1, TIME)
    assert b'"_id"' not in content(resource, "2").stamp(1, TIME)


def test_hostile_ids_are_escaped():
    assert json.decode(content({"resourceType": "P"}, 'a"},"x":"\\').stamp(1, TIME))["id"]


@pytest.mark.parametrize(
    "resource", [{}, {"resourceType": 1}, {"resourceType": "Patient", "meta": [1]}]
)
def test_what_is_no_resource_is_invalid(resource):
    with pytest.raises(Invalid):
        content(resource, "1")


@given(
    st.dictionaries(st.sampled_from(["tag", "versionId", "source"]), st.just("x")), st.booleans()
)
def test_the_resource_can_be_taken_back(meta, bare):
    resource = {"resourceType": "Patient", "id": "1", "meta": meta, "active": True}
    if bare:
        del resource["meta"]
    expected = {name: value for name, value in meta.items() if name != "versionId"}
    taken = resource_of(content(resource, "1"))
    assert taken.get("meta", {}) == ({} if bare else expected)
    assert resource_of(content(resource, "1").stamp(2, TIME))["meta"]["versionId"] == "2"
    assert list(taken)[0:2] == ["resourceType", "id"]
