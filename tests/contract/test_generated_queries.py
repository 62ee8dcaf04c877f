"""Engines against the in-memory meaning of a query (fhirserver/search/evaluate.py)."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import generated
import pytest
import resources
from clock import START, STEP, Clock
from engines import ENGINES, engine_named
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirserver.search import evaluate
from fhirserver.search.evaluate import Candidate, Resources

times = st.sampled_from([START + n * STEP for n in range(-1, 16)])


async def compare(engine: Any, writes: list[Any], queries: list[Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        store = await engine.create(Path(folder), Clock())
        try:
            there: dict[tuple[str, str], Candidate] = {}
            for type, id, entries in writes:
                if entries is None:
                    await store.commit([resources.delete(type, id)])
                    there.pop((type, id), None)
                    continue
                version = await resources.commit(store, resources.put(type, id, entries))
                there[type, id] = Candidate(type, id, version.updated, entries, version.key)
            held = Resources(there.values())
            for query in queries:
                await agree(store, query, held)
            assert await store.check() == []
        finally:
            await engine.discard(store)


async def agree(store: Any, query: Any, held: Resources) -> None:
    everything = evaluate.select(replace(query, count=10_000), held)
    expected = [(candidate.type, candidate.id) for candidate in everything]
    found = [(v.type, v.id) for v in await resources.walk(store, query)]
    assert found == expected
    assert await store.count(query) == len(expected)
    assert await store.count(query, 2) == min(2, len(expected))


VARIANTS = (*ENGINES, "sqlite_walking")
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.timeout(600)  # shrinking a failure takes its time
@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=60, deadline=None, suppress_health_check=CHECKS)
@given(writes=generated.writes, queries=st.lists(generated.queries(times), min_size=3, max_size=8))
def test_engine_finds_what_the_query_means(name: str, writes: Any, queries: Any) -> None:
    asyncio.run(compare(engine_named(name), writes, queries))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=40, deadline=None, suppress_health_check=CHECKS)
@given(writes=generated.writes, queries=st.lists(generated.orders, min_size=3, max_size=8))
def test_engine_orders_and_pages_as_the_query_says(name: str, writes: Any, queries: Any) -> None:
    asyncio.run(compare(engine_named(name), writes, queries))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=5_000, deadline=None, suppress_health_check=CHECKS)
@given(
    writes=generated.writes,
    queries=st.lists(st.one_of(generated.queries(times), generated.orders), min_size=3, max_size=8),
)
def test_engine_finds_what_thousands_of_queries_mean(name: str, writes: Any, queries: Any) -> None:
    asyncio.run(compare(engine_named(name), writes, queries))
