"""Packed entries are the entries they were made of."""

import math
import pickle

import pytest

from fhirserver.search.entries import (
    CompositeEntry,
    DateEntry,
    NumberEntry,
    PositionEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TokenEntry,
    UriEntry,
    WordEntry,
)
from fhirserver.search.packed import PackedEntries

ENTRIES = [
    TokenEntry("code", "http://loinc.org", "8302-2"),
    TokenEntry("code", "", "x"),
    TokenEntry("status", "http://hl7.org/fhir/x", ""),
    TokenEntry("category", None, None),
    ReferenceEntry("subject", "Patient", "1"),
    ReferenceEntry("subject", "", "https://elsewhere.example/Patient/1"),
    ReferenceEntry("focus", None, None),
    StringEntry("name", "eloise", "Éloïse"),
    StringEntry("name", None, None),
    DateEntry("date", -62_135_596_800_000_000, 253_402_300_800_000_000),
    DateEntry("date", None, None),
    NumberEntry("length", 3, 4.5),
    NumberEntry("length", -math.inf, math.inf),
    NumberEntry("length", None, None),
    QuantityEntry("value", 1e-300, 1.5, "http://unitsofmeasure.org", "kg", ""),
    QuantityEntry("value", None, None, None, None, None),
    UriEntry("url", "urn:oid:1.2"),
    UriEntry("url", None),
    PositionEntry("near", 48.8, 2.3),
    PositionEntry("near", None, None),
    WordEntry("_content", "cœur"),
    WordEntry("_content", "a b"),
    WordEntry("_content", "😀"),
    WordEntry("_text", "fièvre"),
    WordEntry("_text", None),
    CompositeEntry("c", (TokenEntry("c", "s", "1"), QuantityEntry("c", 1.0, 2.0, "", "", ""))),
    CompositeEntry("c", (TokenEntry("c", "s", "2"), StringEntry("c", "x", "X"))),
]


def test_entries_come_out_as_they_went_in():
    packed = PackedEntries.of(ENTRIES)
    assert len(packed) == len(ENTRIES)
    assert {(type(e), e) for e in packed} == {(type(e), e) for e in ENTRIES}
    assert all(type(part) in (TokenEntry, QuantityEntry, StringEntry) for part in packed[-1][1])


@pytest.mark.parametrize("entry", ENTRIES, ids=repr)
def test_an_entry_alone_comes_out_as_it_went_in(entry):
    (made,) = PackedEntries.of([entry])
    assert made == entry
    assert type(made) is type(entry)


def test_composites_keep_their_order():
    many = [CompositeEntry("c", (TokenEntry("c", "", str(n)),)) for n in range(20)]
    assert list(PackedEntries.of(many)) == many


def test_no_entries_are_false():
    assert not PackedEntries.of([])
    assert list(PackedEntries.of([])) == []


def test_packed_entries_travel_between_processes():
    packed = PackedEntries.of(ENTRIES)
    assert pickle.loads(pickle.dumps(packed)) == packed
