"""Streams as items: lines, documents, arrays, XML; with the line of each."""

import gzip
import io

import pytest

from fhirserver.load import items as module
from fhirserver.load.items import Item, items
from fhirserver.load.report import Refusal
from fhirserver.load.sources import Source

ONE = b'{"resourceType":"Patient","id":"a"}'
TWO = b'{"resourceType":"Patient","id":"b"}'


def read(body, name="x.json"):
    return list(items(Source(name, io.BufferedReader(io.BytesIO(body)))))


def places(found):
    return [(item.line, item.entry, bytes(item.data)) for item in found if isinstance(item, Item)]


def test_each_line_of_ndjson_is_an_item_whatever_the_name():
    for name in ("a.ndjson", "a.json", "bundles.jsonl.gz"):
        found = places(read(b"\n" + ONE + b"\n\n" + TWO + b"\r\n", name))
        assert found == [(2, None, ONE), (4, None, TWO)]


def test_indented_document_is_one_item_with_its_line():
    body = b"\n\n{\n " + ONE[1:]
    assert places(read(body)) == [(3, None, body.strip())]


def test_byte_order_mark_is_skipped():
    assert places(read(b"\xef\xbb\xbf" + ONE)) == [(1, None, ONE)]


def test_members_of_an_array_are_items_with_their_place():
    assert places(read(b"[\n" + ONE + b",\n" + TWO + b"\n]")) == [(1, 0, ONE), (1, 1, TWO)]


def test_xml_becomes_json():
    body = b'<Patient xmlns="http://hl7.org/fhir"><id value="a"/><active value="true"/></Patient>'
    assert places(read(body, "a.xml")) == [
        (1, None, b'{"resourceType":"Patient","id":"a","active":true}')
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is empty"),
        (b"  \n \n", "is empty"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b"hello", "neither JSON nor XML"),
        (b"<!DOCTYPE x><Patient/>", "DOCTYPE"),
        (b"[1, {", "JSON"),
    ],
)
def test_what_is_no_fhir_data_is_refused_with_the_reason(body, reason):
    (refusal,) = read(body)
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason


def test_line_that_is_too_long_is_refused_and_the_next_one_read(monkeypatch):
    monkeypatch.setattr(module, "MAX_ITEM_BYTES", 100)
    long = b'{"resourceType":"Patient","id":"' + b"x" * 200 + b'"}'
    found = read(ONE + b"\n" + long + b"\n" + TWO, "a.ndjson")
    assert places(found) == [(1, None, ONE), (3, None, TWO)]
    assert isinstance(found[1], Refusal)
    assert found[1].line == 2


def test_document_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_ITEM_BYTES", 100)
    (refusal,) = read(b"{\n" + b" " * 200 + b"}")
    assert "longer than" in refusal.reason


def test_truncated_gzip_gives_its_whole_lines_and_a_refusal():
    lines = b"\n".join(b'{"resourceType":"Patient","id":"%d"}' % n for n in range(20_000))
    stream = gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(lines)[:-2000]))
    found = list(items(Source("a.ndjson.gz", io.BufferedReader(stream))))
    assert len(found) > 100
    assert isinstance(found[-1], Refusal)
    assert "cannot be read to its end" in found[-1].reason
