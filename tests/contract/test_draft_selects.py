"""A behaviour's precondition on the commit of a draft it was shown."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fhirserver.access.store import Selects
from fhirserver.app import context_of
from fhirserver.conformance.registry import Registry
from fhirserver.errors import Unprocessable
from fhirserver.interaction.create import create
from fhirserver.interaction.update import update
from fhirserver.search.expression import All, Compare, Identity, Kind, Match, Query

ENDED = Query(
    ("Basic",),
    All((Identity(("root",)), Match("code", Kind.TOKEN, Compare("code", "eq", "ended")))),
)


def basic(code, **more):
    return {"resourceType": "Basic", "code": {"coding": [{"code": code}]}, **more}


class OnlyWhileOpen:
    """Nothing is added once Basic/root has the code `ended`."""

    types = frozenset({"Basic"})

    async def before_commit(self, ctx, drafts):
        if drafts[0].id == "root":
            return [replace(drafts[0], selects=(Selects(ENDED, frozenset(), server=True),))]
        if await ctx.store.count(ENDED):
            raise Unprocessable("ended")
        await asyncio.sleep(0.01)
        return [replace(drafts[0], selects=(Selects(ENDED, frozenset(), server=True),))]

    async def after_commit(self, ctx, versions):
        pass


async def test_what_a_behaviour_saw_holds_when_it_is_committed(store):
    ctx = replace(context_of(store, Registry()), behaviours=(OnlyWhileOpen(),))
    await update(ctx, "Basic", "root", basic("open", id="root"))

    async def add():
        try:
            return (await create(ctx, "Basic", basic("x"))).version.seq
        except Unprocessable:
            return None

    async def end():
        await asyncio.sleep(0.008)
        return (await update(ctx, "Basic", "root", basic("ended", id="root"))).version.seq

    added = await asyncio.gather(*(add() for _ in range(5)), end(), *(add() for _ in range(5)))
    ended = added.pop(5)
    assert all(seq is None or seq < ended for seq in added)
    with pytest.raises(Unprocessable):
        await create(ctx, "Basic", basic("x"))
