"""Versions, what a change expects of them, and deletions."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise

import pytest
from resources import commit, content, delete, post, put

from fhirserver.model.version import ABSENT, Change
from fhirserver.storage.interface import TransactionsUnavailable, VersionConflict


async def test_read_of_what_never_was_is_none(store):
    assert await store.read("Patient", "1") is None
    assert await store.vread("Patient", "1", 1) is None


async def test_content_carries_the_version_and_instant_of_its_commit(store):
    version = await commit(store, post("Patient", "1"))
    stored = json.loads(version.content)
    assert stored["meta"]["versionId"] == "1"
    instant = stored["meta"]["lastUpdated"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", instant)
    assert instant.endswith(f".{version.updated // 1000 % 1000:03d}Z")
    assert version.updated % 1000 == 0
    assert await store.read("Patient", "1") == version


async def test_stored_bytes_are_the_stamped_bytes(store):
    body = content("Patient", "1", 'é 𝄞 \\ " 1.00')
    (version,) = await store.commit([Change("PUT", "Patient", "1", body)])
    instant = json.loads(version.content)["meta"]["lastUpdated"]
    assert version.content == body.stamp(1, instant)
    assert (await store.read("Patient", "1")).content == version.content


async def test_updates_count_versions_and_keep_the_key(store):
    first = await commit(store, post("Patient", "1", mark="one"))
    second = await commit(store, put("Patient", "1", mark="two"))
    third = await commit(store, put("Patient", "1", mark="three"))
    assert [v.version for v in (first, second, third)] == [1, 2, 3]
    assert first.key == second.key == third.key
    assert first.seq < second.seq < third.seq
    assert first.updated < second.updated < third.updated
    assert [v.method for v in (first, second)] == ["POST", "PUT"]
    assert await store.read("Patient", "1") == third
    for version in (first, second, third):
        assert await store.vread("Patient", "1", version.version) == version


@pytest.mark.parametrize("version", [0, -1, 3, 10**30])
async def test_vread_of_a_version_that_is_not_is_none(store, version):
    await commit(store, post("Patient", "1"))
    await commit(store, put("Patient", "1"))
    assert await store.vread("Patient", "1", version) is None


async def test_same_id_of_two_types_are_two_resources(store):
    patient = await commit(store, post("Patient", "1"))
    group = await commit(store, post("Group", "1"))
    assert patient.key != group.key
    assert (await store.read("Group", "1")).type == "Group"
    assert await store.read("Observation", "1") is None


async def test_ids_are_case_sensitive(store):
    await commit(store, post("Patient", "Ab"))
    assert await store.read("Patient", "aB") is None
    assert (await commit(store, post("Patient", "aB"))).version == 1


async def test_read_of_a_deleted_resource_is_a_deletion(store):
    await commit(store, post("Patient", "1"))
    gone = await commit(store, delete("Patient", "1"))
    assert gone.deleted
    assert (gone.version, gone.method, gone.content) == (2, "DELETE", None)
    assert await store.read("Patient", "1") == gone
    assert await store.vread("Patient", "1", 2) == gone
    assert not (await store.vread("Patient", "1", 1)).deleted


async def test_deleting_twice_makes_no_version(store):
    await commit(store, post("Patient", "1"))
    gone = await commit(store, delete("Patient", "1"))
    assert await commit(store, delete("Patient", "1")) == gone
    assert (await store.read("Patient", "1")).version == 2


async def test_deleting_what_never_was_changes_nothing(store):
    version = await commit(store, delete("Patient", "1"))
    assert (version.version, version.deleted) == (0, True)
    assert await store.read("Patient", "1") is None
    assert [v async for v in store.changes()] == []


async def test_a_deleted_resource_comes_back_with_its_next_version(store):
    first = await commit(store, post("Patient", "1"))
    await commit(store, delete("Patient", "1"))
    back = await commit(store, put("Patient", "1"))
    assert (back.version, back.key) == (3, first.key)
    assert not (await store.read("Patient", "1")).deleted
    assert (await store.vread("Patient", "1", 2)).deleted


async def test_expecting_the_current_version_succeeds(store):
    await commit(store, post("Patient", "1"))
    assert (await commit(store, put("Patient", "1", expect=1))).version == 2
    assert (await commit(store, delete("Patient", "1", expect=2))).version == 3


@pytest.mark.parametrize("expect", [1, 3])
async def test_expecting_another_version_conflicts(store, expect):
    await commit(store, post("Patient", "1"))
    await commit(store, put("Patient", "1"))
    for change in (put("Patient", "1", expect=expect), delete("Patient", "1", expect=expect)):
        with pytest.raises(VersionConflict) as raised:
            await store.commit([change])
        assert (raised.value.type, raised.value.id, raised.value.current) == ("Patient", "1", 2)
    assert (await store.read("Patient", "1")).version == 2


async def test_expecting_a_version_of_what_never_was_conflicts(store):
    with pytest.raises(VersionConflict) as raised:
        await store.commit([put("Patient", "1", expect=1)])
    assert raised.value.current == 0
    assert await store.read("Patient", "1") is None


async def test_expecting_absence(store):
    await commit(store, put("Patient", "1", expect=ABSENT))
    with pytest.raises(VersionConflict) as raised:
        await store.commit([put("Patient", "1", expect=ABSENT)])
    assert raised.value.current == 1
    await commit(store, delete("Patient", "1"))
    assert (await commit(store, put("Patient", "1", expect=ABSENT))).version == 3


async def test_a_deletion_counts_as_a_version_to_expect(store):
    await commit(store, post("Patient", "1"))
    await commit(store, delete("Patient", "1"))
    with pytest.raises(VersionConflict) as raised:
        await store.commit([put("Patient", "1", expect=1)])
    assert raised.value.current == -2
    assert (await commit(store, put("Patient", "1", expect=2))).version == 3


async def test_of_many_writers_expecting_one_version_one_wins(store):
    await commit(store, post("Patient", "1"))
    done = await asyncio.gather(
        *(store.commit([put("Patient", "1", mark=str(n), expect=1)]) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(not isinstance(result, Exception) for result in done) == 1
    assert all(isinstance(r, VersionConflict) for r in done if isinstance(r, Exception))
    assert (await store.read("Patient", "1")).version == 2


async def test_parallel_updates_make_gapless_versions(store):
    done = await asyncio.gather(*(commit(store, put("Patient", "1")) for _ in range(30)))
    assert sorted(v.version for v in done) == list(range(1, 31))
    assert len({v.seq for v in done}) == 30
    ordered = sorted(done, key=lambda v: v.version)
    assert [v.seq for v in ordered] == sorted(v.seq for v in done)
    assert all(a.updated < b.updated for a, b in pairwise(ordered))


async def test_read_many_gives_current_resources_only(store):
    for id in ("1", "2", "3"):
        await commit(store, post("Patient", id))
    await commit(store, put("Patient", "2"))
    await commit(store, delete("Patient", "3"))
    await commit(store, post("Group", "1"))
    asked = [("Patient", "1"), ("Patient", "2"), ("Patient", "3"), ("Patient", "4")]
    found = await store.read_many([*asked, ("Group", "1"), ("Patient", "1"), ("Nothing", "1")])
    assert sorted((v.type, v.id, v.version) for v in found) == [
        ("Group", "1", 1),
        ("Patient", "1", 1),
        ("Patient", "2", 2),
    ]
    assert await store.read_many([]) == []


async def test_read_many_of_hundreds(store):
    await store.commit_many([([post("Patient", str(n))], []) for n in range(300)])
    found = await store.read_many([("Patient", str(n)) for n in range(0, 600, 2)])
    assert sorted(int(v.id) for v in found) == list(range(0, 300, 2))


async def test_capabilities_are_what_the_store_does(store):
    changes = [post("Patient", "1"), post("Group", "1")]
    if store.capabilities.transactions:
        assert [v.type for v in await store.commit(changes)] == ["Patient", "Group"]
    else:
        assert store.capabilities.reason
        with pytest.raises(TransactionsUnavailable):
            await store.commit(changes)
        assert await store.read("Patient", "1") is None
        assert await store.read("Group", "1") is None


async def test_a_new_store_is_well(store):
    assert await store.check() == []
    await commit(store, post("Patient", "1"))
    await commit(store, delete("Patient", "1"))
    assert await store.check() == []


async def test_what_was_committed_is_there_for_another_store_on_the_same_database(engine, store):
    await commit(store, post("Patient", "1"))
    other = await engine.again(store)
    try:
        assert (await other.read("Patient", "1")).version == 1
        assert (await commit(other, put("Patient", "1"))).version == 2
        assert (await commit(store, put("Patient", "1"))).version == 3
        assert [v.version async for v in other.changes()] == [1, 2, 3]
    finally:
        await other.close()


async def test_closing_twice_is_harmless(engine, store):
    other = await engine.again(store)
    await other.close()
    await other.close()
