"""On a store without transactions a message and its thread's first message are written one after
the other: an interruption between is made good, once, and never undoes what came later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fhirserver.app import context_of
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.create import create
from fhirserver.interaction.update import update
from fhirserver.messaging import ending
from fhirserver.messaging.behaviour import MessageBehaviour
from fhirserver.messaging.codes import ENDS_THREAD
from fhirserver.messaging.message import thread_state
from fhirserver.messaging.settling import settling
from fhirserver.model.json import decode_stored
from fhirserver.storage.interface import Capabilities
from fhirserver.storage.sqlite import SqliteStore

PATIENT, DOCTOR = "Patient/p", "Practitioner/d"


def message(sender, to, root=None, ends=False):
    made = {"resourceType": "Communication", "status": "in-progress"}
    if ends:
        made["extension"] = [{"url": ENDS_THREAD, "valueBoolean": True}]
    if root:
        made["partOf"] = [{"reference": f"Communication/{root}"}]
    made["subject"] = {"reference": PATIENT}
    made["recipient"] = [{"reference": to}]
    made["sender"] = {"reference": sender}
    return made


@pytest.fixture
async def ctx(tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    store.capabilities = Capabilities(False, "none in this test")
    await store.open()
    now = [datetime(2026, 11, 24, 12, tzinfo=UTC)]

    def clock():
        now[0] += timedelta(seconds=1)
        return now[0]

    made = replace(context_of(store, Registry()), clock=clock, behaviours=(MessageBehaviour(),))
    made = replace(made, server=made)
    for reference in (PATIENT, DOCTOR):
        type, id = reference.split("/")
        await update(made, type, id, {"resourceType": type, "id": id})
    yield made
    await store.close()


async def send(ctx, *args, **more):
    return (await create(ctx, "Communication", message(*args, **more))).version.id


async def ended(ctx, root):
    version = await ctx.store.read("Communication", root)
    return thread_state(decode_stored(version.content)).ended


async def test_a_message_that_ends_its_thread_does_so_without_transactions(ctx):
    root = await send(ctx, DOCTOR, PATIENT)
    await send(ctx, DOCTOR, PATIENT, root, ends=True)
    assert await ended(ctx, root)
    await send(ctx, DOCTOR, PATIENT, root)
    assert not await ended(ctx, root)


async def test_what_was_interrupted_is_made_good(ctx, monkeypatch):
    root = await send(ctx, DOCTOR, PATIENT)

    async def crash(ctx, version):
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(ending, "settle", crash)
        with pytest.raises(ConnectionError):
            await send(ctx, DOCTOR, PATIENT, root, ends=True)
    assert not await ended(ctx, root)
    job = settling()
    await job.run(ctx.as_server)
    assert await ended(ctx, root)
    before = (await ctx.store.read("Communication", root)).version
    await job.run(ctx.as_server)
    assert (await ctx.store.read("Communication", root)).version == before


async def test_what_came_later_is_not_undone(ctx):
    root = await send(ctx, DOCTOR, PATIENT)
    await send(ctx, DOCTOR, PATIENT, root, ends=True)
    await send(ctx, DOCTOR, PATIENT, root)
    assert not await ended(ctx, root)
    await settling().run(ctx.as_server)  # follows from the beginning
    assert not await ended(ctx, root)
