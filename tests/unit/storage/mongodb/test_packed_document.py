"""Packed entries become the index that the entries themselves become."""

import gzip
import json
from pathlib import Path

import pytest

from fhirserver.conformance.registry import Registry
from fhirserver.search.index import Indexer
from fhirserver.search.packed import PackedEntries
from fhirserver.storage.mongodb.document import index_of, sort_of

SYNTHEA = Path(__file__).parents[5] / "shared" / "data" / "synthea-r4" / "bundles.jsonl.gz"


def in_any_order(index):
    if isinstance(index, dict):
        return {name: in_any_order(value) for name, value in index.items()}
    if isinstance(index, list):
        return sorted(map(repr, index))
    return index


@pytest.mark.skipif(not SYNTHEA.exists(), reason=f"{SYNTHEA} is absent")
def test_index_of_a_real_patient():
    indexer = Indexer(Registry())
    with gzip.open(SYNTHEA) as lines:
        resources = [entry["resource"] for entry in json.loads(next(lines))["entry"]]
    assert resources
    for resource in resources:
        entries = indexer.entries(resource)
        packed = PackedEntries.of(entries)
        assert in_any_order(index_of(packed)) == in_any_order(index_of(entries))
        assert in_any_order(sort_of(packed)) == in_any_order(sort_of(entries))
