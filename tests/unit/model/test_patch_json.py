"""JSON Patch."""

from __future__ import annotations

import copy
import time
from decimal import Decimal

import jsonpatch
import jsonpointer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.errors import FHIRError, Invalid, TooLarge, Unprocessable
from fhirserver.model import json
from fhirserver.model.patch_json import apply, refuse_identity_change

PATIENT = {
    "resourceType": "Patient",
    "id": "1",
    "active": True,
    "name": [{"family": "A", "given": ["B", "C"]}],
    "extension": [{"url": "http://e/~x", "valueDecimal": Decimal("1.00")}],
}


@pytest.fixture(autouse=True)
def the_resource_given_is_left_as_it_is():
    before = copy.deepcopy(PATIENT)
    yield
    assert before == PATIENT


@pytest.mark.parametrize(
    ("operation", "member", "expected"),
    [
        ({"op": "add", "path": "/gender", "value": "male"}, "gender", "male"),
        ({"op": "add", "path": "/active", "value": False}, "active", False),
        ({"op": "add", "path": "/name/0/given/1", "value": "X"}, "name",
         [{"family": "A", "given": ["B", "X", "C"]}]),
        ({"op": "add", "path": "/name/0/given/-", "value": "X"}, "name",
         [{"family": "A", "given": ["B", "C", "X"]}]),
        ({"op": "add", "path": "/name/0/given/2", "value": "X"}, "name",
         [{"family": "A", "given": ["B", "C", "X"]}]),
        ({"op": "remove", "path": "/active"}, "active", None),
        ({"op": "remove", "path": "/name/0/given/0"}, "name", [{"family": "A", "given": ["C"]}]),
        ({"op": "replace", "path": "/name/0/family", "value": "Z"}, "name",
         [{"family": "Z", "given": ["B", "C"]}]),
        ({"op": "move", "from": "/name/0/given/1", "path": "/name/0/given/0"}, "name",
         [{"family": "A", "given": ["C", "B"]}]),
        ({"op": "move", "from": "/active", "path": "/active"}, "active", True),
        ({"op": "copy", "from": "/name/0/given/0", "path": "/name/0/family"}, "name",
         [{"family": "B", "given": ["B", "C"]}]),
        ({"op": "test", "path": "/active", "value": True}, "active", True),
        ({"op": "test", "path": "/extension/0/valueDecimal", "value": Decimal("1.0")}, "id", "1"),
        ({"op": "test", "path": "/extension/0/valueDecimal", "value": 1}, "id", "1"),
        ({"op": "test", "path": "/name/0", "value": {"given": ["B", "C"], "family": "A"}},
         "id", "1"),
        ({"op": "add", "path": "/a~1b~0c", "value": 1}, "a/b~c", 1),
        ({"op": "replace", "path": "", "value": {"id": "9"}}, "id", "9"),
    ],
)  # fmt: skip
def test_each_operation_does_what_rfc_6902_says(operation, member, expected):
    assert apply(PATIENT, [operation]).get(member) == expected


def test_operations_follow_one_another_and_decimals_keep_their_digits():
    patched = apply(
        PATIENT,
        [
            {"op": "copy", "from": "/extension/0", "path": "/extension/-"},
            {"op": "replace", "path": "/extension/0/valueDecimal", "value": Decimal("2.50")},
        ],
    )
    assert json.encode(patched["extension"]) == (
        b'[{"url":"http://e/~x","valueDecimal":2.50},{"url":"http://e/~x","valueDecimal":1.00}]'
    )


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/active", "value": False},
        {"op": "test", "path": "/active", "value": 1},
        {"op": "test", "path": "/gender", "value": None},
        {"op": "test", "path": "/name/0/given", "value": ["C", "B"]},
        {"op": "remove", "path": "/gender"},
        {"op": "remove", "path": ""},
        {"op": "remove", "path": "/name/1"},
        {"op": "remove", "path": "/name/-"},
        {"op": "remove", "path": "/name/00"},
        {"op": "replace", "path": "/gender", "value": "male"},
        {"op": "add", "path": "/name/2", "value": {}},
        {"op": "add", "path": "/name/-1", "value": {}},
        {"op": "add", "path": "/name/x", "value": {}},
        {"op": "add", "path": "/nothing/x", "value": {}},
        {"op": "add", "path": "/active/x", "value": {}},
        {"op": "add", "path": "/name/99999999999999999999", "value": {}},
        {"op": "copy", "from": "/gender", "path": "/x"},
        {"op": "move", "from": "/gender", "path": "/x"},
        {"op": "replace", "path": "", "value": []},
    ],
)
def test_a_patch_that_does_not_fit_is_unprocessable(operation):
    with pytest.raises(Unprocessable) as error:
        apply(PATIENT, [operation])
    assert error.value.issues[0].diagnostics


@pytest.mark.parametrize(
    "patch",
    [
        {}, None, "x", {"op": "add", "path": "/x", "value": 1}, ["x"], [None], [{}],
        [{"op": "nonsense", "path": "/x"}], [{"op": ["add"], "path": "/x"}],
        [{"op": "add", "value": 1}], [{"op": "add", "path": 1, "value": 1}],
        [{"op": "add", "path": "/x"}], [{"op": "test", "path": "/x"}],
        [{"op": "replace", "path": "/x"}], [{"op": "move", "path": "/x"}],
        [{"op": "copy", "path": "/x", "from": 3}], [{"op": "add", "path": "x", "value": 1}],
        [{"op": "add", "path": "/~2", "value": 1}], [{"op": "add", "path": "/a~", "value": 1}],
        [{"op": "move", "from": "/name", "path": "/name/0/x"}],
        [{"op": "move", "from": "", "path": "/x"}],
    ],
)  # fmt: skip
def test_what_is_no_json_patch_is_invalid(patch):
    with pytest.raises(Invalid):
        apply(PATIENT, patch)


def test_the_failing_operation_is_named():
    with pytest.raises(Unprocessable, match=r"Operation 1 \(test\)"):
        apply(PATIENT, [{"op": "remove", "path": "/id"}, {"op": "test", "path": "/a", "value": 1}])
    with pytest.raises(Unprocessable) as error:
        apply(PATIENT, [{"op": "remove", "path": "/name/0/given/7"}])
    assert error.value.issues[0].expression == ("Patient.name[0].given[7]",)


def test_doubling_by_copies_is_stopped():
    start = time.perf_counter()
    growth = [{"op": "copy", "from": "/name", "path": "/name/-"}] * 500
    with pytest.raises((TooLarge, Unprocessable)):
        apply(PATIENT, growth)
    wide = [{"op": "copy", "from": "", "path": f"/x{number}"} for number in range(500)]
    with pytest.raises((TooLarge, Unprocessable)):
        apply(PATIENT, wide)
    with pytest.raises(TooLarge):
        apply(PATIENT, [{"op": "test", "path": "/id", "value": "1"}] * 1001)
    assert time.perf_counter() - start < 5


def test_changes_of_type_id_and_version_are_refused():
    before = {**PATIENT, "meta": {"versionId": "3"}}
    refuse_identity_change(before, {**before, "active": False})
    for after in (
        {**before, "id": "2"},
        {**before, "resourceType": "Person"},
        {**before, "meta": {"versionId": "4"}},
        PATIENT,
        {},
    ):
        with pytest.raises(Invalid, match="may not change"):
            refuse_identity_change(before, after)


leaves = st.none() | st.integers(-3, 3) | st.text("ab/~01", max_size=2)
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "~", "/", "0", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)
paths = st.lists(
    st.sampled_from(["a", "b", "~0", "~1", "0", "1", "2", "-", ""]), min_size=1, max_size=4
).map(lambda tokens: "".join("/" + token for token in tokens))
operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": paths,
        "from": paths,
        "value": documents,
    }
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "~", "/", "0"]), documents, max_size=4),
    st.lists(operations, max_size=4),
)
def test_patches_agree_with_the_jsonpatch_library(document, patch):
    try:
        mine = apply(document, patch)
    except FHIRError:
        mine = None
    try:
        theirs = jsonpatch.apply_patch(document, patch)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError):
        theirs = None
    if mine is not None and theirs is not None:
        assert mine == theirs
    # The library is laxer in places (it moves a value into itself), but never stricter.
    if mine is not None:
        assert theirs is not None
