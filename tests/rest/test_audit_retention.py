"""The log forgets what it has held long enough, and still tells of tampering; its readers do not
wait for what is not theirs."""

from __future__ import annotations

from dataclasses import replace

import audit_door
import pytest
from audit_door import Recorded, open_store

from fhirserver.access.audit.record import Record, decode_block, encode
from fhirserver.access.audit.retention import PRUNED
from fhirserver.access.audit.verify import verify
from fhirserver.access.caller import Caller, Role
from fhirserver.access.permit import permit
from fhirserver.search.expression import Query
from fhirserver.storage.interface import Grant

DAY = 86_400_000_000
NOW = 1_795_000_000_000_000


def patient(id):
    return {"resourceType": "Patient", "id": id, "active": True}


@pytest.fixture(params=["sqlite", "mongodb"])
async def server(request, tmp_path):
    store = open_store(request.param, tmp_path)
    if store is None:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    await store.open()
    server = Recorded(store)
    set_clock(server, NOW)
    server.service._days = 30
    await server.service.start()
    await server.put(patient("a"), patient("b"))
    yield server
    await server.client.aclose()
    if request.param == "mongodb":
        await store._connection.client.drop_database(store._connection.database_name)
    await store.close()


def set_clock(server, now):
    server.service._clock = server.service.audit._clock = lambda: now


async def worked_off(server):
    await server.service.materialiser.catch_up()
    await server.notifier.catch_up()


async def records(server):
    found = []
    for head in await server.raw.log_heads():
        for block in await server.raw.read_log(head.chain, 0, 1000):
            found += decode_block(block.content)
    return found


async def old_and_new(server):
    """Ten reads long ago, one now; all worked off, and pruned."""
    for _ in range(10):
        assert (await server.ask("doctor", "GET", "Patient/a")).status_code == 200
    set_clock(server, NOW + 31 * DAY)
    assert (await server.ask("doctor", "GET", "Patient/b")).status_code == 200
    await worked_off(server)
    return await server.service.prune()


async def test_old_records_go_and_the_rest_verifies(server):
    assert await old_and_new(server) == 11  # the witness of the start, and ten reads
    assert [r.patient for r in await records(server) if r.interaction] == ["b"]
    assert (await verify(server.raw)).broken == ()
    assert len(await server.events()) == 11  # the citizen's log stays
    assert (await server.ask("doctor", "GET", "Patient/a")).status_code == 200
    assert (await verify(server.raw)).broken == ()
    assert await server.service.prune() == 0


async def test_a_server_begun_later_bears_witness_of_what_was_cut(server):
    await old_and_new(server)
    later = Recorded(server.raw)
    set_clock(later, NOW + 100 * DAY)
    later.service._days = 30
    await later.service.start()
    await worked_off(later)
    assert await later.service.prune() > 0
    assert (await verify(server.raw)).broken == ()
    await later.client.aclose()


async def test_nothing_goes_before_it_is_worked_off(server):
    await server.ask("doctor", "GET", "Patient/a")
    set_clock(server, NOW + 31 * DAY)
    assert await server.service.prune() == 0
    await server.service.materialiser.catch_up()
    assert await server.service.prune() == 0
    await server.notifier.catch_up()
    assert await server.service.prune() > 0


async def test_without_a_number_of_days_nothing_goes(server):
    server.service._days = 0
    assert await old_and_new(server) == 0
    assert len(await records(server)) == 12


async def test_a_block_taken_away_beside_is_found(server):
    await old_and_new(server)
    await server.ask("doctor", "GET", "Patient/a")
    (head,) = await server.raw.log_heads()
    first = (await server.raw.read_log(head.chain, 0, 1))[0]
    await server.raw.drop_log(head.chain, first.number)
    (broken,) = (await verify(server.raw)).broken
    assert (broken.chain, broken.number) == (head.chain, first.number)


async def test_a_cut_that_no_chain_bears_witness_of_is_found(server):
    for _ in range(3):
        await server.ask("doctor", "GET", "Patient/a")
    (head,) = await server.raw.log_heads()
    second = (await server.raw.read_log(head.chain, 1, 1))[0]
    await server.raw.put_grant(
        Grant(PRUNED, head.chain, b'[2,"%b"]' % second.hash.encode(), 64_060_588_800_000_000)
    )
    await server.raw.drop_log(head.chain, 2)
    (broken,) = (await verify(server.raw)).broken
    assert "witness" in broken.problem


async def test_a_broken_chain_is_not_pruned(server, capfd):
    await server.ask("doctor", "GET", "Patient/a")
    await server.ask("doctor", "GET", "Patient/a")
    await server.ask("doctor", "GET", "Patient/a")
    set_clock(server, NOW + 31 * DAY)
    await worked_off(server)
    (head,) = await server.raw.log_heads()
    await server.raw.drop_log(head.chain, 2)
    assert await server.service.prune() == 0
    assert (await verify(server.raw)).broken


async def burst(server, blocks):
    """Records of other patients, and one of patient a in the midst."""
    for number in range(blocks):
        told = [Record(NOW, "read", patient=f"p{n}", user="Practitioner/d") for n in range(200)]
        if number == blocks // 2:
            told.append(Record(NOW, "read", patient="a", user="Practitioner/z"))
        await server.raw.append_log([encode(record) for record in told])


async def made(server):
    return await server.raw.count(Query(("AuditEvent",)))


async def test_in_a_burst_the_citizen_finds_all_of_their_log_without_waiting_for_others(server):
    caller = Caller(
        Role.CITIZEN, client="app", fhir_user="Patient/a", patient="a", scopes=("patient/*.rs",)
    )

    async def admit(headers, context, request_id):
        permitted = await permit(
            server.service.store, caller, entries=server.entries, registry=context.registry
        )
        return replace(context, caller=caller, store=permitted)

    await burst(server, 50)
    server.endpoint.admit = admit
    answer = await server.client.get(f"{audit_door.BASE}/AuditEvent?patient=a")
    assert answer.status_code == 200, answer.text
    readers = [
        agent["who"]["reference"]
        for entry in answer.json()["entry"]
        for agent in entry["resource"]["agent"]
        if "reference" in agent["who"]
    ]
    assert readers == ["Practitioner/z"]
    assert await made(server) == 1  # nothing was made of the other ten thousand
    # The next look, with more recorded meanwhile, finds that too.
    await burst(server, 2)
    answer = await server.client.get(f"{audit_door.BASE}/AuditEvent?patient=a&_summary=count")
    assert answer.json()["total"] == 3  # both, and the first look itself
    assert await made(server) < 10


async def test_an_event_is_found_by_its_id_before_the_others_are_made(server):
    await burst(server, 3)
    head = next(h for h in await server.raw.log_heads() if h.number >= 3)
    (block,) = await server.raw.read_log(head.chain, head.number - 2, 1)
    url = f"AuditEvent/{block.chain}-{block.number}-0"
    assert (await server.ask("open", "GET", url)).status_code == 200
    for unknown in ("AuditEvent/x-1-0", "AuditEvent/x", f"AuditEvent/{block.chain}-99-0"):
        assert (await server.ask("open", "GET", unknown)).status_code == 404
    assert await made(server) < 202
