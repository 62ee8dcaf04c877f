"""HL7's examples, and variations of them, through XML and back."""

from __future__ import annotations

import copy
import gzip
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from fhirserver.model import json, xml
from fhirserver.model.definitions import type_definition

EXAMPLES = (
    Path(__file__).resolve().parents[4] / "shared/data/hl7-r4-examples/examples-even.ndjson.gz"
)

needs_examples = pytest.mark.skipif(
    not EXAMPLES.exists(), reason=f"HL7's examples are not beside the checkout ({EXAMPLES})"
)


@cache
def examples() -> dict[str, dict]:
    with gzip.open(EXAMPLES) as lines:
        decoded = [json.decode(line) for line in lines]
    return {example["file"]: example["resource"] for example in decoded}


def canonical_div(div: str) -> str:
    """The narrative for its meaning: attribute quotes, empty tags and CR LF do not matter."""
    text = xml.xml_narrative.element(div).replace("\r\n", "\n").replace("\r", "\n")
    root = etree.fromstring(text)
    etree.strip_tags(root, etree.Comment)
    return etree.tostring(root, method="c14n", with_comments=False).decode()


def meaning(value, name=""):
    """A resource with order, the form of its narrative and trailing nulls taken away."""
    if isinstance(value, dict):
        return {name: meaning(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        items = [meaning(inner) for inner in value]
        while items and items[-1] is None:
            items.pop()
        return items
    if isinstance(value, Decimal):
        return str(value)
    if name == "div" and isinstance(value, str):
        return canonical_div(value)
    return value


@needs_examples
def test_every_example_comes_back_from_xml_with_the_same_meaning():
    for file, resource in examples().items():
        for write in (xml.encode, xml.encode_pretty):
            back = xml.decode(write(resource))
            assert meaning(back) == meaning(resource), file
            assert xml.encode(back) == xml.encode(resource) or "div" in str(resource), file


@needs_examples
def test_xml_of_every_example_has_its_elements_in_order():
    def check(element, type_):
        order = list(type_definition(type_).elements)
        names = [etree.QName(child).localname for child in element]
        places = [order.index(name) for name in names]
        assert places == sorted(places)

    for resource in examples().values():
        check(etree.fromstring(xml.encode(resource)), resource["resourceType"])


@needs_examples
def test_every_example_comes_back_from_json_byte_for_byte():
    for file, resource in examples().items():
        encoded = json.encode(resource)
        assert json.encode(json.decode(encoded)) == encoded, file
        assert json.decode(json.pretty(resource)) == resource, file


def places(value, found, holder=None, key=None):
    if isinstance(value, dict):
        for name in value:
            places(value[name], found, value, name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            places(inner, found, value, index)
    elif value is not None and key not in ("resourceType", "div"):
        found.append((holder, key))


text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from(" \n\t\r&<>\"'"),
    min_size=1,
    max_size=8,
)
extension = st.fixed_dictionaries(
    {"url": text},
    optional={
        "id": text,
        "valueDecimal": st.decimals(-(10**9), 10**9, places=3),
        "_valueDecimal": st.fixed_dictionaries({"id": text}),
    },
)


@needs_examples
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_variations_of_examples_come_back_from_json_and_xml(data):
    small = [file for file, r in examples().items() if len(json.encode(r)) < 4000]
    resource = copy.deepcopy(examples()[data.draw(st.sampled_from(small))])
    found: list = []
    places(resource, found)
    for _ in range(data.draw(st.integers(1, 4))):
        holder, key = data.draw(st.sampled_from(found))
        if isinstance(holder[key], str):
            holder[key] = data.draw(text)
        elif isinstance(holder[key], Decimal):
            holder[key] = data.draw(st.decimals(-1000, 1000, places=4))
        attribute = key in ("id", "url") and "resourceType" not in holder
        if isinstance(key, str) and not key.startswith("_") and not attribute:
            about = {"extension": data.draw(st.lists(extension, min_size=1, max_size=2))}
            holder["_" + key] = about
            if data.draw(st.booleans()):
                holder.pop(key)
                found.remove((holder, key))
                if not found:
                    break
    assert meaning(json.decode(json.encode(resource))) == meaning(resource)
    assert meaning(xml.decode(xml.encode(resource))) == meaning(resource)
    assert meaning(xml.decode(xml.encode_pretty(resource))) == meaning(resource)
