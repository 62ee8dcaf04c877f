"""Resources held in memory, indexed and searched as a request would."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from fhirserver.conformance.registry import Registry
from fhirserver.search.evaluate import Candidate, Resources, select
from fhirserver.search.index import Indexer
from fhirserver.search.parse import parse

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BASE = "http://local.example/fhir"
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"

Find = Callable[[str, Iterable[dict[str, Any]]], list[str]]


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry()


@pytest.fixture(scope="session")
def indexer(registry: Registry) -> Indexer:
    return Indexer(registry, (BASE,))


@pytest.fixture(scope="session")
def find(registry: Registry, indexer: Indexer) -> Find:
    """`find("Patient?name=eve", resources)` gives the ids found, in order."""

    def run(url: str, resources: Iterable[dict[str, Any]], **options: Any) -> list[str]:
        type, _, text = url.partition("?")
        parameters = parse_qsl(text.replace("+", "%2B"), keep_blank_values=True)
        search = parse(
            registry,
            (type,) if type else (),
            parameters,
            **{"strict": True, "now": NOW, "local_bases": (BASE,), **options},
        )
        held = [
            Candidate(
                r["resourceType"],
                r.get("id", str(key)),
                1_600_000_000_000_000 + key * 1000,
                indexer.entries(r),
                key,
            )
            for key, r in enumerate(resources)
        ]
        return [candidate.id for candidate in select(search.query, Resources(held))]

    return run


def lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        pytest.skip(f"{path} is not beside this checkout")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line, parse_float=Decimal)["resource"] for line in file]


@pytest.fixture(scope="session")
def examples() -> list[dict[str, Any]]:
    return lines(DATA / "hl7-r4-examples" / "examples-even.ndjson.gz")
