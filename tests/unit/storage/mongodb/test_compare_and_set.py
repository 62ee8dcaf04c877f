"""The compare-and-set that servers with atomic updates get. FerretDB understands it too; only two
of them at once it may mix up, so here they follow each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import stored_resources as resources

from fhirserver.model.version import ABSENT, HistorySelection
from fhirserver.storage.interface import VersionConflict
from fhirserver.storage.mongodb.dialect import FERRETDB_1


@pytest.fixture
async def store(store):
    store._connection.dialect = replace(FERRETDB_1, atomic_updates=True)
    return store


@pytest.fixture
def interfere(store, monkeypatch):
    """Lets another writer in between the reading of heads and the replacement, once."""

    def let(change) -> None:
        compare_and_set = store._writer._compare_and_set

        async def late(writes):
            monkeypatch.setattr(store._writer, "_compare_and_set", compare_and_set)
            await store.commit([change])
            return await compare_and_set(writes)

        monkeypatch.setattr(store._writer, "_compare_and_set", late)

    return let


async def test_many_are_written_in_one_command(store):
    for version in (1, 2):
        made = await store.commit_many(
            [([resources.put("Patient", str(n))], ()) for n in range(20)]
        )
        assert [v.version for [v] in made] == [version] * 20
    assert await store.history_count(HistorySelection()) == 40


async def test_outrun_write_is_tried_again_on_the_new_version(store, interfere):
    await store.commit([resources.put("Patient", "1")])
    interfere(resources.put("Patient", "1", rest=b',"by":"other"'))
    [made] = await store.commit([resources.put("Patient", "1", rest=b',"by":"me"')])
    assert made.version == 3
    assert b"other" in (await store.vread("Patient", "1", 2)).content
    assert await store.history_count(HistorySelection("Patient", "1")) == 3


async def test_outrun_write_that_expected_a_version_is_refused(store, interfere):
    await store.commit([resources.put("Patient", "1")])
    interfere(resources.put("Patient", "1"))
    with pytest.raises(VersionConflict) as conflict:
        await store.commit([resources.put("Patient", "1", expect=1)])
    assert conflict.value.current == 2


async def test_outrun_creation_is_refused(store, interfere):
    interfere(resources.put("Patient", "1"))
    with pytest.raises(VersionConflict) as conflict:
        await store.commit([resources.put("Patient", "1", expect=ABSENT)])
    assert conflict.value.current == 1


async def test_only_the_outrun_one_of_a_batch_is_tried_again(store, interfere):
    for id in "123":
        await store.commit([resources.put("Patient", id)])
    interfere(resources.put("Patient", "2"))
    made = await store.commit_many([([resources.put("Patient", id)], ()) for id in "123"])
    assert [v.version for [v] in made] == [2, 3, 2]
    assert [v.version async for v in store.changes(3)] == [2, 2, 2, 3]
