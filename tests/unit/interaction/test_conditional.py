"""Conditional update, delete and patch, and patch by id."""

from __future__ import annotations

import asyncio

import pytest
from memory_store import MemoryStore, stored

from fhirserver import errors
from fhirserver.interaction.conditional_delete import conditional_delete
from fhirserver.interaction.conditional_patch import conditional_patch
from fhirserver.interaction.conditional_update import conditional_update
from fhirserver.interaction.context import Limits
from fhirserver.interaction.create import create
from fhirserver.interaction.delete import delete
from fhirserver.interaction.patch import Patch, patch
from fhirserver.interaction.read import read
from fhirserver.interaction.update import update
from fhirserver.model import json

ONE = "identifier=urn:s|1"


def patient(value="1", **elements):
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:s", "value": value}],
        **elements,
    }


def inactive():
    return Patch("json", [{"op": "add", "path": "/active", "value": False}])


async def test_update_without_match_creates_under_an_id_of_the_server(ctx):
    written = await conditional_update(ctx, "Patient", ONE, patient())
    assert (written.result, written.version.id) == ("created", "new-1")


async def test_update_without_match_creates_under_the_id_of_the_body(ctx):
    written = await conditional_update(ctx, "Patient", ONE, patient(id="mine"))
    assert (written.result, written.version.id) == ("created", "mine")


async def test_update_without_match_does_not_overwrite_another_resource(ctx):
    await update(ctx, "Patient", "mine", patient("2", id="mine"))
    with pytest.raises(errors.Conflict):
        await conditional_update(ctx, "Patient", ONE, patient(id="mine"))


@pytest.mark.parametrize("body", [patient(), patient(id="mine")])
async def test_update_with_one_match_updates_it(ctx, body):
    await update(ctx, "Patient", "mine", patient(id="mine"))
    written = await conditional_update(ctx, "Patient", ONE, body)
    assert (written.result, written.version.id, written.version.version) == ("updated", "mine", 2)
    assert json.decode(written.version.content)["id"] == "mine"


async def test_update_with_the_id_of_another_is_invalid(ctx):
    await update(ctx, "Patient", "mine", patient(id="mine"))
    with pytest.raises(errors.Invalid):
        await conditional_update(ctx, "Patient", ONE, patient(id="other"))


async def test_update_with_many_matches_is_refused(ctx):
    await create(ctx, "Patient", patient())
    await create(ctx, "Patient", patient())
    with pytest.raises(errors.MultipleMatches):
        await conditional_update(ctx, "Patient", ONE, patient())


async def test_update_heeds_if_match(ctx):
    with pytest.raises(errors.PreconditionFailed):
        await conditional_update(ctx, "Patient", ONE, patient(), if_match=1)
    await conditional_update(ctx, "Patient", ONE, patient())
    with pytest.raises(errors.PreconditionFailed):
        await conditional_update(ctx, "Patient", ONE, patient(), if_match=2)
    assert (
        await conditional_update(ctx, "Patient", ONE, patient(), if_match=1)
    ).version.version == 2


async def test_parallel_conditional_updates_make_one_resource(make_context, engine):
    ctx = make_context(engine, limits=Limits(attempts=60))
    await asyncio.gather(*(conditional_update(ctx, "Patient", ONE, patient()) for _ in range(20)))
    assert len({v.id for v in await stored(engine)}) == 1
    assert len(await stored(engine)) == 20


async def test_delete_of_nothing_one_and_many(ctx):
    assert await conditional_delete(ctx, "Patient", ONE) == []
    await create(ctx, "Patient", patient())
    await create(ctx, "Patient", patient())
    await create(ctx, "Patient", patient("2"))
    deleted = await conditional_delete(ctx, "Patient", ONE)
    assert [w.result for w in deleted] == ["deleted", "deleted"]
    assert (await read(ctx, "Patient", "new-3")).version == 1


async def test_delete_of_many_can_be_forbidden(make_context, engine):
    ctx = make_context(engine, limits=Limits(conditional_delete_multiple=False))
    await create(ctx, "Patient", patient())
    await create(ctx, "Patient", patient())
    with pytest.raises(errors.MultipleMatches):
        await conditional_delete(ctx, "Patient", ONE)
    assert len(await stored(engine)) == 2


async def test_delete_of_too_many_is_refused(make_context, engine):
    ctx = make_context(engine, limits=Limits(conditional_delete_max=2))
    for _ in range(3):
        await create(ctx, "Patient", patient())
    with pytest.raises(errors.TooCostly):
        await conditional_delete(ctx, "Patient", ONE)
    assert len(await stored(engine)) == 3


async def test_delete_of_many_works_without_transactions(make_context):
    ctx = make_context(MemoryStore(transactions=False))
    for _ in range(3):
        await create(ctx, "Patient", patient())
    assert len(await conditional_delete(ctx, "Patient", ONE)) == 3


@pytest.mark.parametrize("criteria", ["", "?", "nonsense=1", "_summary=count"])
async def test_delete_without_criteria_is_refused(ctx, criteria):
    await create(ctx, "Patient", patient())
    with pytest.raises((errors.Invalid, errors.PreconditionFailed)):
        await conditional_delete(ctx, "Patient", criteria)
    assert (await read(ctx, "Patient", "new-1")).version == 1


async def test_patch_makes_a_version(ctx):
    await update(ctx, "Patient", "a", patient(id="a", active=True))
    written = await patch(ctx, "Patient", "a", inactive())
    assert (written.result, written.version.version, written.version.method) == (
        "updated",
        2,
        "PATCH",
    )
    stored = json.decode(written.version.content)
    assert stored["active"] is False
    assert stored["meta"]["versionId"] == "2"


async def test_patch_of_unknown_and_deleted(ctx):
    with pytest.raises(errors.NotFound):
        await patch(ctx, "Patient", "a", inactive())
    await update(ctx, "Patient", "a", patient(id="a"))
    await delete(ctx, "Patient", "a")
    with pytest.raises(errors.Gone):
        await patch(ctx, "Patient", "a", inactive())


async def test_patch_heeds_if_match(ctx):
    await update(ctx, "Patient", "a", patient(id="a"))
    await patch(ctx, "Patient", "a", inactive(), if_match=1)
    with pytest.raises(errors.PreconditionFailed):
        await patch(ctx, "Patient", "a", inactive(), if_match=1)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/id", "value": "b"},
        {"op": "remove", "path": "/id"},
        {"op": "replace", "path": "/resourceType", "value": "Person"},
        {"op": "add", "path": "/gender", "value": "alien"},
        {"op": "add", "path": "/nonsense", "value": 1},
        {"op": "remove", "path": "/birthDate"},
        {"op": "what", "path": "/birthDate"},
        {"op": "test", "path": "/active", "value": False},
    ],
)
async def test_patch_that_cannot_be_is_refused_and_stores_nothing(ctx, operation):
    await update(ctx, "Patient", "a", patient(id="a", active=True))
    with pytest.raises((errors.Invalid, errors.Unprocessable, errors.PreconditionFailed)):
        await patch(ctx, "Patient", "a", Patch("json", [operation]))
    assert (await read(ctx, "Patient", "a")).version == 1


async def test_parallel_patches_are_all_there(make_context):
    ctx = make_context(limits=Limits(attempts=60))
    await update(ctx, "Patient", "a", patient(id="a", name=[]) | {"name": [{"family": "x"}]})
    add = [{"op": "add", "path": "/name/-", "value": {"family": "y"}}]
    await asyncio.gather(*(patch(ctx, "Patient", "a", Patch("json", add)) for _ in range(10)))
    stored = json.decode((await read(ctx, "Patient", "a")).content)
    assert len(stored["name"]) == 11


async def test_conditional_patch(ctx):
    with pytest.raises(errors.NotFound):
        await conditional_patch(ctx, "Patient", ONE, inactive())
    await create(ctx, "Patient", patient())
    written = await conditional_patch(ctx, "Patient", ONE, inactive())
    assert (written.result, written.version.version) == ("updated", 2)
    with pytest.raises(errors.PreconditionFailed):
        await conditional_patch(ctx, "Patient", ONE, inactive(), if_match=1)
    await create(ctx, "Patient", patient())
    with pytest.raises(errors.MultipleMatches):
        await conditional_patch(ctx, "Patient", ONE, inactive())
