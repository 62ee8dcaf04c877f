"""On a store without transactions: what is interrupted is finished, what is left over is swept."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fhirserver.access.store import Capabilities
from fhirserver.app import context_of, open_engine
from fhirserver.conformance.registry import Registry
from fhirserver.errors import FHIRError
from fhirserver.interaction.create import create
from fhirserver.interaction.read import read
from fhirserver.model.json import decode_stored
from fhirserver.record import service
from fhirserver.record.behaviour import RecordBehaviour
from fhirserver.record.mending import mend
from fhirserver.search.expression import Everything, Query

DATA = base64.b64encode(b"%PDF-1.4 x").decode()


class Interrupted(Exception):
    """The process ends here."""


class Cut(RecordBehaviour):
    """Ends before what follows a commit."""

    async def after_commit(self, ctx, versions):
        if ctx.server is not None:
            raise Interrupted


@pytest.fixture
async def store(tmp_path):
    made = open_engine(f"sqlite:///{tmp_path}/store.db")
    await made.open()
    made.capabilities = Capabilities(False, "as MongoDB without a replica set")
    yield made
    await made.close()


def context(store, behaviour=None, clock=None):
    ctx = context_of(store, Registry())
    rules = service().behaviours if behaviour is None else (behaviour,)
    ctx = replace(ctx, behaviours=(*ctx.behaviours, *rules))
    ctx = replace(ctx, clock=clock) if clock else ctx
    return replace(ctx, server=ctx)


def cut():
    whole, _ = service().behaviours
    return Cut(whole._settings, whole._antivirus)


def document(**more):
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
        "subject": {"reference": "Patient/a"},
        "author": [{"reference": "Practitioner/p"}],
        "content": [{"attachment": {"contentType": "application/pdf", "data": DATA}}],
    } | more


async def count(ctx, type):
    return await ctx.store.count(Query((type,), Everything()))


async def test_a_document_its_content_and_its_set_are_there_with_the_answer(store):
    ctx = context(store)
    written = await create(ctx, "DocumentReference", document())
    made = decode_stored(written.version.content)
    assert "data" not in made["content"][0]["attachment"]
    assert written.version.version == 1
    assert (await count(ctx, "Binary"), await count(ctx, "List")) == (1, 1)


async def test_what_was_interrupted_after_the_document_is_finished(store):
    ctx = context(store)
    old = (await create(ctx, "DocumentReference", document())).version.id
    target = {"reference": f"DocumentReference/{old}"}
    relation = [{"code": "replaces", "target": target}]
    with pytest.raises(Interrupted):
        await create(context(store, cut()), "DocumentReference", document(relatesTo=relation))
    assert decode_stored((await read(ctx, "DocumentReference", old)).content)["status"] == "current"
    assert await count(ctx, "List") == 1
    for _ in range(3):  # as often as it is done
        await mend(ctx.as_server)
    after = await read(ctx, "DocumentReference", old)
    assert decode_stored(after.content)["status"] == "superseded"
    assert after.version == 2
    assert await count(ctx, "List") == 2


async def test_the_content_of_a_document_that_never_came_is_swept_after_a_while(store):
    now = [datetime.now(UTC)]
    ctx = context(store, clock=lambda: now[0])
    kept = (await create(ctx, "DocumentReference", document())).version

    late = replace(ctx, behaviours=(*ctx.behaviours, _Late()))
    late = replace(late, server=ctx.as_server)
    with pytest.raises(FHIRError):
        await create(late, "DocumentReference", document())
    assert await count(ctx, "Binary") == 2
    await mend(ctx.as_server)
    assert await count(ctx, "Binary") == 2  # its document may be on the way
    now[0] += timedelta(minutes=11)
    await mend(ctx.as_server)
    assert await count(ctx, "Binary") == 1
    url = decode_stored(kept.content)["content"][0]["attachment"]["url"]
    assert not (await read(ctx, "Binary", url.partition("/")[2])).deleted


class _Late:
    types = frozenset({"DocumentReference"})

    async def before_commit(self, ctx, drafts):
        raise FHIRError("refused by a later rule")

    async def after_commit(self, ctx, versions):
        pass
