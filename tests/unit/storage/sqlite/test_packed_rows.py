"""Packed entries become the rows that the entries themselves become."""

import gzip
import json
from pathlib import Path

import apsw
import pytest

from fhirserver.conformance.registry import Registry
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
from fhirserver.search.index import Indexer
from fhirserver.search.packed import PackedEntries
from fhirserver.storage.sqlite import schema
from fhirserver.storage.sqlite.names import Names
from fhirserver.storage.sqlite.rows import Rows, add_rows

SYNTHEA = Path(__file__).parents[5] / "shared" / "data" / "synthea-r4" / "bundles.jsonl.gz"


@pytest.fixture
def names(tmp_path):
    connection = apsw.Connection(str(tmp_path / "rows.db"))
    schema.upgrade(connection, "rows.db")
    yield Names(connection)
    connection.close()


def rows_of(names, entries):
    rows = Rows()
    add_rows(names, 7, 3, entries, rows)
    words = [(key, set(text.split(" "))) for key, text in rows.words]
    return (
        {kind: sorted(made) for kind, made in rows.tables.items()},
        sorted(rows.bare),
        rows.composite,
        words,
    )


@pytest.mark.parametrize(
    "entries",
    [
        [TokenEntry("code", "s", "c"), TokenEntry("code", "", "d"), TokenEntry("x", None, None)],
        [ReferenceEntry("subject", "Patient", "1"), ReferenceEntry("subject", "", "http://x/y")],
        [StringEntry("name", "eve", "Ève"), StringEntry("name:text", "a", "A")],
        [DateEntry("date", 1, 2), DateEntry("other", None, None)],
        [NumberEntry("n", 1, 2.5), QuantityEntry("q", 1, 2, "s", "c", "u")],
        [UriEntry("url", "http://x"), PositionEntry("near", 1, 2.5)],
        [WordEntry("_text", "œuf"), WordEntry("_text", None), WordEntry("_content", "two")],
        [
            CompositeEntry("c", (TokenEntry("c", "s", "1"), QuantityEntry("c", 1, 2, "", "", ""))),
            CompositeEntry("c", (TokenEntry("c", "s", "2"), DateEntry("c", 5, 6))),
            CompositeEntry("d", (ReferenceEntry("d", "", "u"), StringEntry("d", "x", "X"))),
        ],
        [],
    ],
    ids=lambda entries: entries[0].__class__.__name__ if entries else "nothing",
)
def test_rows_of_packed_entries(names, entries):
    plain = rows_of(names, entries)
    assert rows_of(names, PackedEntries.of(entries)) == plain
    assert not entries or any(plain[0].values()) or any(plain[1:])


@pytest.mark.skipif(not SYNTHEA.exists(), reason=f"{SYNTHEA} is absent")
def test_rows_of_a_real_patient(names):
    indexer = Indexer(Registry())
    with gzip.open(SYNTHEA) as lines:
        resources = [entry["resource"] for entry in json.loads(next(lines))["entry"]]
    assert resources
    for resource in resources:
        entries = indexer.entries(resource)
        assert rows_of(names, PackedEntries.of(entries)) == rows_of(names, entries)
