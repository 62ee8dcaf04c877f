"""FHIRPath Patch."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.errors import FHIRError, Invalid, TooLarge, Unprocessable
from fhirserver.model import json
from fhirserver.model.patch_fhirpath import apply

PATIENT = {
    "resourceType": "Patient",
    "id": "1",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
    "extension": [{"url": "http://e", "valueString": "x"}],
    "active": True,
    "name": [
        {"use": "official", "family": "A", "given": ["B", "C"], "_given": [None, {"id": "g"}]},
        {"use": "usual", "given": ["D"]},
    ],
    "birthDate": "2000-01-01",
    "deceasedBoolean": False,
    "contact": [{"gender": "male", "name": {"family": "K"}}],
}


@pytest.fixture(autouse=True)
def the_resource_given_is_left_as_it_is():
    before = copy.deepcopy(PATIENT)
    yield
    assert before == PATIENT


TYPES = {"type": "valueCode", "path": "valueString", "name": "valueString"}


def operation(value=None, **parts):
    """An operation; `value` is the value part without its name."""
    given = [{"name": name, TYPES.get(name, "valueInteger"): part} for name, part in parts.items()]
    if value is not None:
        given.append({"name": "value", **value})
    return {"name": "operation", "part": given}


def patched(*operations, resource=PATIENT):
    return apply(resource, {"resourceType": "Parameters", "parameter": list(operations)})


def changed(*operations, resource=PATIENT):
    """The members that are different afterwards (None: gone)."""
    after = patched(*operations, resource=resource)
    names = {**resource, **after}
    return {name: after.get(name) for name in names if resource.get(name) != after.get(name)}


ADD = {"type": "add"}


@pytest.mark.parametrize(
    ("path", "name", "value", "expected"),
    [
        ("Patient", "gender", {"valueCode": "female"}, {"gender": "female"}),
        ("Patient", "gender", {"valueString": "female"}, {"gender": "female"}),
        ("Patient", "maritalStatus", {"valueCodeableConcept": {"text": "M"}},
         {"maritalStatus": {"text": "M"}}),
        ("Patient", "identifier", {"valueIdentifier": {"value": "1"}},
         {"identifier": [{"value": "1"}]}),
        ("Patient", "multipleBirth", {"valueInteger": 2}, {"multipleBirthInteger": 2}),
        ("Patient", "multipleBirth", {"valueBoolean": True}, {"multipleBirthBoolean": True}),
        ("$this", "language", {"valueCode": "fr"}, {"language": "fr"}),
        ("Patient.where(active)", "language", {"valueCode": "fr"}, {"language": "fr"}),
        ("Patient.contact[0]", "telecom", {"valueContactPoint": {"value": "1"}},
         {"contact": [{**PATIENT["contact"][0], "telecom": [{"value": "1"}]}]}),
        ("Patient.contact.name", "given", {"valueString": "L"},
         {"contact": [{"gender": "male", "name": {"family": "K", "given": ["L"]}}]}),
        ("Patient.name.where(use = 'usual')", "given", {"valueString": "E"},
         {"name": [PATIENT["name"][0], {"use": "usual", "given": ["D", "E"]}]}),
        ("Patient.name.first()", "given", {"valueString": "E", "_valueString": {"id": "e"}},
         {"name": [{**PATIENT["name"][0], "given": ["B", "C", "E"],
                    "_given": [None, {"id": "g"}, {"id": "e"}]}, PATIENT["name"][1]]}),
        ("Patient.birthDate", "extension", {"part": [{"name": "url", "valueUri": "http://x"}]},
         {"_birthDate": {"extension": [{"url": "http://x"}]}}),
        ("Patient.name[1].given[0]", "extension", {"part": [{"name": "url", "valueUri": "u"}]},
         {"name": [PATIENT["name"][0], {"use": "usual", "given": ["D"],
                   "_given": [{"extension": [{"url": "u"}]}]}]}),
        ("Patient", "contained", {"resource": {"resourceType": "Basic", "id": "b"}},
         {"contained": [*PATIENT["contained"], {"resourceType": "Basic", "id": "b"}]}),
        ("Patient.contained.where(id = 'o')", "alias", {"valueString": "P"},
         {"contained": [{**PATIENT["contained"][0], "alias": ["P"]}]}),
        ("Patient.extension('http://e')", "extension", {"part": [{"name": "url", "valueUri": "n"}]},
         {"extension": [{"url": "http://e", "valueString": "x", "extension": [{"url": "n"}]}]}),
        ("Patient", "contact",
         {"part": [{"name": "name", "valueHumanName": {"text": "N"}},
                   {"name": "telecom", "valueContactPoint": {"value": "1"}},
                   {"name": "telecom", "valueContactPoint": {"value": "2"}},
                   {"name": "gender", "valueCode": "male"}]},
         {"contact": [*PATIENT["contact"],
                      {"name": {"text": "N"}, "telecom": [{"value": "1"}, {"value": "2"}],
                       "gender": "male"}]}),
        ("Patient", "extension",
         {"part": [{"name": "url", "valueUri": "http://n"},
                   {"name": "value", "valueDecimal": Decimal("1.00")}]},
         {"extension": [*PATIENT["extension"],
                        {"url": "http://n", "valueDecimal": Decimal("1.00")}]}),
        ("Patient", "link",
         {"part": [{"name": "other", "part": [{"name": "reference", "valueString": "Patient/2"}]},
                   {"name": "type", "valueCode": "seealso"}]},
         {"link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}]}),
    ],
)  # fmt: skip
def test_add_puts_a_value_into_the_element_found(path, name, value, expected):
    assert changed(operation(value, type="add", path=path, name=name)) == expected


@pytest.mark.parametrize(
    ("path", "index", "value", "expected"),
    [
        ("Patient.name", 0, {"valueHumanName": {"text": "N"}}, [{"text": "N"}, *PATIENT["name"]]),
        ("Patient.name", 2, {"valueHumanName": {"text": "N"}}, [*PATIENT["name"], {"text": "N"}]),
        ("Patient.name[0].given", 1, {"valueString": "X"},
         [{**PATIENT["name"][0], "given": ["B", "X", "C"], "_given": [None, None, {"id": "g"}]},
          PATIENT["name"][1]]),
    ],
)  # fmt: skip
def test_insert_puts_a_value_into_the_list_at_its_index(path, index, value, expected):
    assert changed(operation(value, type="insert", path=path, index=index)) == {"name": expected}


def test_insert_into_a_list_that_is_not_there_yet_makes_it():
    inserted = operation(
        {"valueString": "S"}, type="insert", path="Patient.name[1].suffix", index=0
    )
    assert patched(inserted)["name"][1] == {"use": "usual", "given": ["D"], "suffix": ["S"]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Patient.birthDate", {"birthDate": None}),
        ("Patient.deceased", {"deceasedBoolean": None}),
        ("(Patient.deceased as boolean)", {"deceasedBoolean": None}),
        ("Patient.name[1]", {"name": [PATIENT["name"][0]]}),
        ("Patient.name.where(use = 'official')", {"name": [PATIENT["name"][1]]}),
        ("Patient.name[1].given[0]", {"name": [PATIENT["name"][0], {"use": "usual"}]}),
        ("Patient.name[0].given[0]",
         {"name": [{**PATIENT["name"][0], "given": ["C"], "_given": [{"id": "g"}]},
                   PATIENT["name"][1]]}),
        ("Patient.contact", {"contact": None}),
        ("Patient.contact.name.family", {"contact": [{"gender": "male", "name": {}}]}),
        ("Patient.extension.where(url = 'http://e')", {"extension": None}),
        ("Patient.extension('http://other')", {}),
        ("Patient.gender", {}),
        ("Patient.name[7]", {}),
    ],
)  # fmt: skip
def test_delete_removes_the_element_if_it_is_there(path, expected):
    assert changed(operation(type="delete", path=path)) == expected


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        ("Patient.active", {"valueBoolean": False}, "active"),
        ("Patient.birthDate", {"valueDate": "2001-01-01"}, "birthDate"),
        ("Patient.deceased", {"valueDateTime": "2020"}, "deceasedDateTime"),
    ],
)
def test_replace_keeps_the_order_of_elements(path, value, name):
    given = {**PATIENT, "_birthDate": {"id": "b"}}
    made = patched(operation(value, type="replace", path=path), resource=given)
    before = [n for n in given if n != "_birthDate"]
    after = [n for n in made if n != "_birthDate"]
    assert after == [name if n == "deceasedBoolean" and "deceased" in path else n for n in before]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("Patient.birthDate", {"valueDate": "2001-02-03"}, {"birthDate": "2001-02-03"}),
        ("Patient.deceased", {"valueDateTime": "2020"},
         {"deceasedBoolean": None, "deceasedDateTime": "2020"}),
        ("Patient.deceased", {"valueBoolean": True}, {"deceasedBoolean": True}),
        ("Patient.name[1]", {"valueHumanName": {"text": "N"}},
         {"name": [PATIENT["name"][0], {"text": "N"}]}),
        ("Patient.name[0].given[1]", {"valueString": "X"},
         {"name": [{"use": "official", "family": "A", "given": ["B", "X"]}, PATIENT["name"][1]]}),
        ("Patient.contact[0]", {"part": [{"name": "gender", "valueCode": "other"}]},
         {"contact": [{"gender": "other"}]}),
        ("Patient.extension.value", {"valueInteger": 3},
         {"extension": [{"url": "http://e", "valueInteger": 3}]}),
    ],
)  # fmt: skip
def test_replace_puts_a_value_in_the_place_of_the_element(path, value, expected):
    assert changed(operation(value, type="replace", path=path)) == expected


@pytest.mark.parametrize(
    ("source", "destination", "expected"), [(0, 3, "BCDA"), (3, 0, "DABC"), (1, 2, "ACBD")]
)
def test_move_takes_an_element_to_another_index_with_its_extensions(source, destination, expected):
    resource = {
        "resourceType": "Patient",
        "name": [{"given": list("ABCD"), "_given": [{"id": c} for c in "ABCD"]}],
    }
    moved = operation(
        type="move", path="Patient.name.given", source=source, destination=destination
    )
    name = patched(moved, resource=resource)["name"][0]
    assert "".join(name["given"]) == expected
    assert "".join(about["id"] for about in name["_given"]) == expected


def test_operations_follow_one_another_and_may_be_applied_again():
    patch = [
        operation({"valueHumanName": {"family": "N"}}, type="add", path="Patient", name="name"),
        operation({"valueString": "G"}, type="add", path="Patient.name.last()", name="given"),
    ]
    once = patched(*patch)
    assert once["name"][-1] == {"family": "N", "given": ["G"]}
    assert patched(*patch) == once


@pytest.mark.parametrize(
    "wrong",
    [
        operation({"valueCode": "x"}, type="add", path="Patient.name", name="use"),
        operation({"valueCode": "x"}, type="add", path="Patient.photo", name="title"),
        operation({"valueBoolean": True}, type="add", path="Patient", name="active"),
        operation({"valueBoolean": True}, type="add", path="Patient", name="nonsense"),
        operation({"valueDateTime": "2020"}, type="add", path="Patient", name="deceased"),
        operation({"valueString": "x"}, type="add", path="Patient", name="deceased"),
        operation({"valueString": "x"}, type="add", path="Patient.active", name="value"),
        operation({"valueQuantity": {}}, type="add", path="Patient", name="gender"),
        operation({"valueBoolean": True}, type="add", path="Patient", name="gender"),
        operation({"valueString": "a  b"}, type="add", path="Patient", name="language"),
        operation({"valueString": "Z"}, type="add", path="Patient", name="contained"),
        operation({"resource": {"resourceType": "Basic"}}, type="add", path="Patient", name="name"),
        operation({"part": [{"name": "x", "valueCode": "y"}]}, type="add", path="Patient",
                  name="contact"),
        operation({"part": [{"name": "gender", "valueCode": "y"}] * 2}, type="add",
                  path="Patient", name="contact"),
        operation({"part": [{"name": "x", "valueCode": "y"}]}, type="add", path="Patient",
                  name="gender"),
        operation({"valueHumanName": "x"}, type="add", path="Patient", name="name"),
        operation({"valueInteger": "1"}, type="add", path="Patient", name="multipleBirth"),
        operation({"valueHumanName": {}}, type="insert", path="Patient.name", index=3),
        operation({"valueString": "x"}, type="insert", path="Patient.name.given", index=0),
        operation({"valueString": "x"}, type="insert", path="Patient.birthDate", index=0),
        operation({"valueCode": "x"}, type="insert", path="Patient.gender", index=0),
        operation({"valueAttachment": {}}, type="insert", path="Patient.photo", index=1),
        operation(type="delete", path="Patient.name"),
        operation(type="delete", path="Patient"),
        operation({"valueDate": "2020"}, type="replace", path="Patient.gender"),
        operation({"valueString": "2020"}, type="replace", path="Patient.birthDate"),
        operation({"valueDate": "soon"}, type="replace", path="Patient.birthDate"),
        operation({"valueHumanName": {}}, type="replace", path="Patient.name"),
        operation({"valueHumanName": {}}, type="replace", path="Patient"),
        operation(type="move", path="Patient.name", source=0, destination=2),
        operation(type="move", path="Patient.name", source=2, destination=0),
        operation(type="move", path="Patient.photo", source=0, destination=0),
        operation(type="move", path="Patient.name.given", source=0, destination=0),
    ],
)  # fmt: skip
def test_a_patch_that_does_not_fit_is_unprocessable(wrong):
    with pytest.raises(Unprocessable, match="Operation 0"):
        patched(wrong)


@pytest.mark.parametrize(
    "patch",
    [
        None, [], {}, {"resourceType": "Patient"}, {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": [3]},
        *({"resourceType": "Parameters", "parameter": [one]} for one in (
            {"name": "other", "part": []}, {"name": "operation"},
            {"name": "operation", "part": [1]},
            operation(), operation(type="add"), operation(path="Patient"),
            operation(type="nonsense", path="Patient"), operation(type="add", path="Patient"),
            operation({"valueCode": "x"}, type="add", path="Patient"),
            operation(type="add", path="Patient", name="x"),
            operation({"valueCode": "x"}, type="insert", path="Patient.name"),
            operation(type="move", path="Patient.name", source=0),
            operation(type="move", path="Patient.name", source=-1, destination=0),
            operation(type="move", path="Patient.name", source="0", destination=0),
            operation({}, type="replace", path="Patient.name"),
            operation({"valueNonsense": 1}, type="replace", path="Patient.name"),
            operation({"valueCode": "a", "valueString": "b"}, type="replace", path="Patient.name"),
            operation({"part": []}, type="replace", path="Patient.name"),
            operation({"resource": {}}, type="replace", path="Patient.name"),
            operation(type="delete", path="Patient."), operation(type="delete", path=""),
            operation(type="delete", path="Patient.name.given + 'x'"),
            operation(type="delete", path="Patient.name.count()"),
            operation(type="delete", path="Patient.managingOrganization.resolve()"),
            operation(type="delete", path="'text'"), operation(type="delete", path="a" * 5000),
            operation(type="delete", path="(" * 500), operation(type="delete", path=3),
            operation(type="delete", path="Patient.name.where(given.matches('(a+)+'))"),
            {"name": "operation", "part": [{"name": "type", "valueCode": "add"}] * 2},
        )),
    ],
)  # fmt: skip
def test_what_is_no_fhirpath_patch_is_invalid(patch):
    with pytest.raises(Invalid):
        apply(PATIENT, patch)


def test_a_patch_has_a_limit_of_operations():
    with pytest.raises(TooLarge):
        patched(*[operation(type="delete", path="Patient.gender")] * 1001)


def test_the_places_found_are_told():
    with pytest.raises(Unprocessable) as error:
        patched(operation(type="delete", path="Patient.name"))
    assert error.value.issues[0].expression == ("Patient.name[0]", "Patient.name[1]")


paths = st.sampled_from(
    ["Patient", "Patient.name", "Patient.name[0]", "Patient.name.given", "Patient.birthDate",
     "Patient.name[0].given[1]", "Patient.contact", "Patient.contact.name", "Patient.deceased",
     "Patient.extension", "Patient.extension.value", "Patient.contained", "Patient.active"]
)  # fmt: skip
values = st.sampled_from(
    [{"valueString": "x"}, {"valueCode": "x"}, {"valueHumanName": {"family": "F"}},
     {"valueBoolean": True}, {"valueDate": "2020-01-01"},
     {"part": [{"name": "url", "valueUri": "u"}]},
     {"part": [{"name": "gender", "valueCode": "male"}]}, {"_valueString": {"id": "i"}}]
)  # fmt: skip
operations = st.one_of(
    st.builds(
        lambda path, name, value: operation(value, type="add", path=path, name=name),
        paths, st.sampled_from(["name", "given", "extension", "id", "contact", "value"]), values,
    ),
    st.builds(lambda path, i, v: operation(v, type="insert", path=path, index=i),
              paths, st.integers(0, 3), values),
    st.builds(lambda path: operation(type="delete", path=path), paths),
    st.builds(lambda path, value: operation(value, type="replace", path=path), paths, values),
    st.builds(lambda path, s, d: operation(type="move", path=path, source=s, destination=d),
              paths, st.integers(0, 3), st.integers(0, 3)),
)  # fmt: skip


@given(st.lists(operations, min_size=1, max_size=6))
def test_patches_give_a_resource_with_even_lists_or_an_error_of_fhir(patch):
    try:
        after = patched(*patch)
    except FHIRError:
        return
    assert json.decode(json.encode(after)) == after
    for name in after.get("name", []):
        if "given" in name and "_given" in name:
            assert len(name["given"]) == len(name["_given"])
