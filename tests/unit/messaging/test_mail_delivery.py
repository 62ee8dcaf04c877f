"""Mails that go out: once each, whatever processes try at once or end in the midst of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fhirserver.app import context_of
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.update import update
from fhirserver.messaging.gateway import outgoing
from fhirserver.messaging.gateway.addresses import EMAIL_TYPE
from fhirserver.messaging.gateway.settings import GatewaySettings
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Everything, Query
from fhirserver.storage.sqlite import SqliteStore

SETTINGS = GatewaySettings(server="smtp://127.0.0.1:1")
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "288043155511272"}],
    "name": [{"given": ["Camille\tA\nBcc: b@example.org"], "family": "Petit"}],
}
MAILBOX = {
    "extension": [{"url": EMAIL_TYPE, "valueCoding": {"code": "MSSANTE"}}],
    "system": "email",
    "value": "d@mssante.example",
}


class Sender:
    """Keeps what it is given; `fails`: raised before."""

    def __init__(self):
        self.mails = []
        self.fails = []

    async def deliver(self, mail, address):
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails.pop(0)
        self.mails.append((address, bytes(mail)))


@pytest.fixture
async def ctx(tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    made = context_of(store, Registry())
    doctor = {"resourceType": "Practitioner", "id": "d", "telecom": [MAILBOX]}
    for resource in (PATIENT, doctor):
        await update(made, resource["resourceType"], resource["id"], resource)
    yield replace(made, server=None)
    await store.close()


async def write(ctx, id, **changed):
    message = {
        "resourceType": "Communication",
        "id": id,
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "sent": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipient": [{"reference": "Practitioner/d"}],
        "sender": {"reference": "Patient/p"},
        "payload": [{"contentString": "Bonjour"}],
    } | changed
    await update(ctx, "Communication", id, message)


async def tasks(ctx):
    page = await ctx.store.search(Query(("Task",), Everything(), count=50))
    return sorted(decode_stored(v.content)["status"] for v in page.versions)


async def notices(ctx):
    page = await ctx.store.search(Query(("Communication",), Everything(), count=50))
    return sum(version.id.startswith("undelivered-") for version in page.versions)


async def test_several_processes_send_a_mail_once(ctx):
    sender = Sender()
    for number in range(5):
        await write(ctx, f"m{number}")
    await outgoing.enqueue(ctx)
    await asyncio.gather(*(outgoing.send_due(ctx, SETTINGS, sender) for _ in range(4)))
    assert len(sender.mails) == 5
    assert await tasks(ctx) == ["completed"] * 5
    address, content = sender.mails[0]
    assert address == "d@mssante.example"
    head = content.partition(b"\n\n")[0]
    assert not any(line.startswith(b"Bcc") for line in head.splitlines())


async def test_what_a_process_had_begun_is_sent_again_when_it_must_have_ended(ctx):
    class Ended(BaseException):
        pass

    sender = Sender()
    sender.fails = [Ended()]
    await write(ctx, "m")
    await outgoing.enqueue(ctx)
    with pytest.raises(Ended):
        await outgoing.send_due(ctx, SETTINGS, sender)
    await outgoing.send_due(ctx, SETTINGS, sender)
    assert (sender.mails, await tasks(ctx)) == ([], ["in-progress"])
    later = datetime.now(UTC) + timedelta(seconds=outgoing.BEGUN_SECONDS + 1)
    await outgoing.send_due(replace(ctx, clock=lambda: later), SETTINGS, sender)
    assert (len(sender.mails), await tasks(ctx)) == (1, ["completed"])


async def test_a_mail_that_cannot_be_made_does_not_hold_up_the_others(ctx):
    sender = Sender()
    sender.fails = [ValueError("no such header")]
    await write(ctx, "m1")
    await write(ctx, "m2")
    await outgoing.enqueue(ctx)
    await outgoing.send_due(ctx, SETTINGS, sender)
    assert (len(sender.mails), await tasks(ctx)) == (1, ["completed", "failed"])
    assert await notices(ctx) == 1


async def test_what_was_withdrawn_before_does_not_go_out_and_nobody_is_told(ctx):
    sender = Sender()
    await write(ctx, "m")
    await outgoing.enqueue(ctx)
    await write(ctx, "m", status="entered-in-error")
    await outgoing.send_due(ctx, SETTINGS, sender)
    assert (sender.mails, await tasks(ctx), await notices(ctx)) == ([], ["cancelled"], 0)


async def test_a_conversation_of_long_ago_that_is_loaded_does_not_go_out(ctx):
    before = datetime.now(UTC) - timedelta(days=2)
    await outgoing.enqueue(ctx)  # the gateway is there already
    await write(ctx, "m1", sent=before.isoformat(timespec="seconds"))
    await write(ctx, "m2")
    await outgoing.enqueue(ctx)
    assert await tasks(ctx) == ["requested"]
