from __future__ import annotations

import pytest

from fhirserver.model.extensions import any_value, extensions, value, with_extensions

ELEMENT = {
    "extension": [
        {"url": "a", "valueString": "1"},
        {"url": "b", "valueBoolean": False},
        {"url": "a", "valueCode": "2"},
    ]
}


def test_extensions_of_a_url_in_their_order():
    assert extensions(ELEMENT, "a") == [ELEMENT["extension"][0], ELEMENT["extension"][2]]
    assert extensions(ELEMENT, "c") == []


def test_the_first_one_has_the_say():
    assert value(ELEMENT, "a", "valueString") == "1"
    assert value(ELEMENT, "a", "valueCode") is None
    assert value(ELEMENT, "c", "valueString") is None
    assert any_value(ELEMENT, "b") is False
    assert any_value(ELEMENT, "c") is None


@pytest.mark.parametrize("element", [{}, {"extension": None}, {"extension": ["a", 1]}])
def test_what_cannot_be_read_is_none(element):
    assert extensions(element, "a") == []
    assert value(element, "a", "valueString") is None


def test_replaced_ones_stand_where_fhir_has_them():
    resource = {"resourceType": "Basic", "id": "1", "code": {}, **ELEMENT}
    changed = with_extensions(resource, ["a"], [{"url": "a", "valueCode": "3"}])
    assert list(changed) == ["resourceType", "id", "extension", "code"]
    assert changed["extension"] == [ELEMENT["extension"][1], {"url": "a", "valueCode": "3"}]
    assert "extension" not in with_extensions(resource, ["a", "b"])
    assert resource["extension"] == ELEMENT["extension"]
