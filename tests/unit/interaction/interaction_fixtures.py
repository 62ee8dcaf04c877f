"""A context for interactions, over each engine in turn."""

import itertools
from datetime import UTC, datetime

import pytest
from memory_store import MemoryStore

from fhirserver.access.store import PermittedStore
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.context import Context
from fhirserver.search.index import Indexer
from fhirserver.storage.sqlite import SqliteStore
from fhirserver.validation import Validator

BASE = "http://127.0.0.1/fhir"


@pytest.fixture(scope="session")
def validator():
    return Validator()


@pytest.fixture
def make_context(validator):
    """A context over an engine; by default a fresh store in memory."""

    def make(engine=None, **changed):
        registry = changed.pop("registry", None) or Registry()
        numbers = itertools.count(1)
        return Context(
            store=changed.pop("store", None) or PermittedStore(engine or MemoryStore()),
            registry=registry,
            indexer=Indexer(registry, (BASE,)),
            validator=changed.pop("validator", validator),
            clock=lambda: datetime.now(UTC),
            new_id=lambda: f"new-{next(numbers)}",
            base_url=BASE,
            **changed,
        )

    return make


@pytest.fixture(params=["memory", "sqlite"])
async def engine(request, tmp_path):
    """Each engine in turn: the plain one in memory, and the embedded one."""
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def ctx(make_context, engine):
    return make_context(engine)
