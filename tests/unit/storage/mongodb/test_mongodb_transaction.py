from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import stored_resources as resources
from pymongo.errors import OperationFailure
from transaction_double import TransactionalConnection, labelled

from fhirserver.model.version import ABSENT, HistorySelection
from fhirserver.search.entries import TokenEntry
from fhirserver.search.expression import Query
from fhirserver.storage.interface import SelectionChanged, Selects, VersionConflict
from fhirserver.storage.mongodb import MongoStore, sequence, transaction
from fhirserver.storage.mongodb.locks import lock_name

_NOBODY = Selects(Query(("Patient",), resources.token("identifier", "s", "1")), frozenset())


@pytest.fixture
async def store(url):
    store = MongoStore(url)
    store._connection = TransactionalConnection(url)
    await store.open()
    store._connection.log.clear()
    await store.commit([resources.put("Patient", "old")])
    await store.commit([resources.put("Patient", "gone")])
    await store.commit([resources.delete("Patient", "gone")])
    yield store
    await store.close()


def _changes():
    return [
        resources.put("Patient", "new", [TokenEntry("identifier", "s", "1")], expect=ABSENT),
        resources.put("Patient", "old", expect=1),
        resources.delete("Patient", "gone"),
        resources.put("Observation", "new"),
    ]


async def _stored(store) -> dict[str, int]:
    versions = (await store.history(HistorySelection(count=100))).versions
    return {f"{v.type}/{v.id}/{v.version}": v.seq for v in versions}


BEFORE = {"Patient/old/1": 1, "Patient/gone/1": 2, "Patient/gone/2": 3}


async def test_replica_set_has_transactions(store):
    assert store.capabilities.transactions
    assert store.capabilities.reason == ""


async def test_all_changes_are_written_in_order(store):
    made = await store.commit(_changes())
    assert [(v.id, v.version, v.deleted) for v in made] == [
        ("new", 1, False),
        ("old", 2, False),
        ("gone", 2, True),
        ("new", 1, False),
    ]
    assert store._connection.log == ["start", "commit"]
    stored = await _stored(store)
    assert set(stored) == {*BEFORE, "Patient/new/1", "Patient/old/2", "Observation/new/1"}
    assert [v.seq async for v in store.changes()] == sorted(stored.values())
    assert await store.read("Patient", "old") == made[1]
    assert await store.vread("Patient", "old", 1) is not None


async def test_refused_change_leaves_nothing(store):
    with pytest.raises(VersionConflict):
        await store.commit([*_changes(), resources.put("Patient", "x", expect=5)])
    assert store._connection.log == ["start", "abort"]
    assert await _stored(store) == BEFORE


async def test_changed_selection_leaves_nothing(store, database):
    await store.commit([resources.put("Patient", "other", [TokenEntry("identifier", "s", "1")])])
    before = await _stored(store)
    with pytest.raises(SelectionChanged):
        await store.commit(_changes(), [_NOBODY])
    assert await _stored(store) == before
    assert await database.locks.count_documents({}) == 0


async def test_selection_that_holds_commits_and_frees_its_lock(store, database):
    await store.commit(_changes(), [_NOBODY])
    assert "Patient/new/1" in await _stored(store)
    assert await database.locks.count_documents({}) == 0


@pytest.mark.parametrize("where", ["locks.insert_one", "resources.bulk_write", "commit"])
async def test_transient_error_starts_the_transaction_anew(store, where):
    store._connection.failures = {where: [labelled("TransientTransactionError")] * 2}
    await store.commit(_changes(), [_NOBODY])
    assert store._connection.log.count("start") == 3
    assert set(await _stored(store)) == {
        *BEFORE,
        "Patient/new/1",
        "Patient/old/2",
        "Observation/new/1",
    }


async def test_unknown_result_of_a_commit_repeats_the_commit_alone(store):
    store._connection.failures = {"commit": [labelled("UnknownTransactionCommitResult")] * 2}
    await store.commit(_changes())
    assert store._connection.log == ["start", "commit", "commit", "commit"]


async def test_other_error_ends_the_transaction(store):
    store._connection.failures = {"resources.bulk_write": [OperationFailure("no")]}
    with pytest.raises(OperationFailure):
        await store.commit(_changes())
    assert store._connection.log == ["start", "abort"]
    assert await store.read("Patient", "new") is None
    # Nothing that the failure left behind keeps followers waiting.
    await store.commit([resources.put("Patient", "next")])
    assert [v.id async for v in store.changes()][-1] == "next"


async def test_transaction_that_never_gets_through_ends(store, monkeypatch):
    monkeypatch.setattr(transaction, "PATIENCE", 0.05)
    store._connection.failures = {"commit": [labelled("TransientTransactionError")] * 1000}
    with pytest.raises(TimeoutError):
        await store.commit(_changes())
    assert await store.read("Patient", "new") is None


async def test_resource_that_changed_meanwhile_starts_the_transaction_anew(store, monkeypatch):
    """On a replica set the server tells by a write conflict; the comparison is a second guard."""
    holds = store._searcher.holds
    interfered = []

    async def slow(selects, session=None):
        if not interfered:
            interfered.append(True)
            current = store._connection.real("resources")
            await current.update_one({"_id": "Patient/old"}, {"$inc": {"fence": 1}})
        return await holds(selects, session)

    monkeypatch.setattr(store._searcher, "holds", slow)
    await store.commit(_changes(), [_NOBODY])
    assert store._connection.log == ["start", "abort", "start", "commit"]


async def test_transaction_waits_for_a_lock(store, database):
    name = lock_name(_NOBODY.query)
    until = datetime.now(UTC) + timedelta(minutes=1)
    await database.locks.insert_one({"_id": name, "token": "x", "targets": [], "until": until})
    commit = asyncio.create_task(store.commit(_changes(), [_NOBODY]))
    await asyncio.sleep(0.2)
    assert not commit.done()
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    assert await _stored(store) == BEFORE


async def test_transaction_takes_over_the_lock_of_a_crashed_holder(store, database):
    until = datetime.now(UTC) - timedelta(seconds=1)
    await database.locks.insert_one(
        {"_id": lock_name(_NOBODY.query), "token": "x", "targets": ["Patient/y"], "until": until}
    )
    await store.commit(_changes(), [_NOBODY])
    assert "Patient/new/1" in await _stored(store)
    fenced = await database.resources.find_one({"_id": "Patient/y"})
    assert (fenced["version"], fenced["fence"]) == (0, 1)


async def test_transaction_that_outlives_its_reservation_is_renumbered(store, monkeypatch):
    monkeypatch.setattr(sequence, "TERM", timedelta(seconds=-1))
    write = store._transactions._write
    seen = []

    async def late(*arguments):
        versions = await write(*arguments)
        seen.append(await store._sequence.settled())
        monkeypatch.setattr(sequence, "TERM", timedelta(seconds=60))
        return versions

    monkeypatch.setattr(store._transactions, "_write", late)
    made = await store.commit(_changes()[:2])
    assert seen == [5]
    assert [v.seq for v in made] == [6, 7]
    assert [v.seq async for v in store.changes(5)] == [6, 7]


async def test_few_transactions_run_at_once(store, monkeypatch):
    running, most = 0, 0

    async def once(changes, selects):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return []

    monkeypatch.setattr(store._transactions, "_once", once)
    await asyncio.gather(*[store.commit(_changes()) for _ in range(20)])
    assert most == transaction.AT_ONCE
