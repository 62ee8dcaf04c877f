from __future__ import annotations

import stored_resources as resources
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.search.entries import Entry, StringEntry, TokenEntry
from fhirserver.storage.mongodb.entry_document import (
    entries_of,
    field_name,
    index_of,
    mirrored,
    sort_of,
)


@given(resources.entries)
def test_entries_come_back_from_the_document(entries: list[Entry]):
    assert sorted(map(repr, entries_of(index_of(entries)))) == sorted(map(repr, entries))


@given(st.text(), st.text())
def test_mirrored_text_descends_where_the_text_ascends(one: str, other: str):
    # The server compares text by its UTF-8 bytes, as Python does by code points.
    ascending = one.encode() < other.encode()
    assert (mirrored(one).encode() > mirrored(other).encode()) == ascending


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**60), 2**60))
def test_mirrored_number_descends_where_the_number_ascends(one: float, other: int):
    assert (mirrored(one) > mirrored(other)) == (one < other)


def test_sort_values_are_the_least_and_the_largest():
    sort = sort_of([StringEntry("family", "b", "B"), StringEntry("family", "a", "A")])
    assert sort["string"]["family"] == {"ascending": mirrored("a"), "descending": "b"}


def test_presence_entries_have_no_sort_value():
    assert sort_of([TokenEntry("code", None, None)]) == {}


def test_field_names_are_taken_by_every_server():
    assert field_name("a.b") == "a．b"
    assert field_name("$where") == "＄where"
