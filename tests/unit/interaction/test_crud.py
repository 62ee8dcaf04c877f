"""read, vread, create, update, delete on a store in memory."""

from __future__ import annotations

import asyncio

import pytest
from memory_store import MemoryStore, stored

from fhirserver import errors
from fhirserver.interaction.context import Limits
from fhirserver.interaction.create import create
from fhirserver.interaction.delete import delete
from fhirserver.interaction.read import read
from fhirserver.interaction.update import update
from fhirserver.interaction.vread import vread
from fhirserver.model import json


def patient(id=None, **elements):
    resource = {"resourceType": "Patient", **elements}
    return resource if id is None else {"resourceType": "Patient", "id": id, **elements}


def identified(value, **elements):
    return patient(identifier=[{"system": "urn:s", "value": value}], **elements)


def resource_of(version):
    return json.decode(version.content)


async def test_create_gives_an_id_and_version_one(ctx):
    written = await create(ctx, "Patient", patient(id="mine", active=True))
    assert (written.result, written.version.version, written.version.method) == (
        "created",
        1,
        "POST",
    )
    assert written.version.id == "new-1"
    stored = resource_of(await read(ctx, "Patient", "new-1"))
    assert stored["id"] == "new-1"
    assert stored["meta"]["versionId"] == "1"
    assert stored["active"] is True


async def test_created_decimal_keeps_its_digits(ctx):
    body = json.decode(
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},'
        b'"valueQuantity":{"value":1.00}}'
    )
    written = await create(ctx, "Observation", body)
    assert b'"value":1.00}' in written.version.content


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Observation", "status": "final", "code": {"text": "x"}},
        {"active": True},
        [],
        None,
        {"resourceType": ["Patient"]},
    ],
)
async def test_create_of_another_type_is_invalid(ctx, body):
    with pytest.raises(errors.Invalid):
        await create(ctx, "Patient", body)


async def test_create_of_invalid_resource_stores_nothing(make_context, engine):
    with pytest.raises(errors.Invalid) as refused:
        await create(make_context(engine), "Patient", patient(gender="alien"))
    assert refused.value.issues[0].expression[0].startswith("Patient.gender")
    assert await stored(engine) == []


async def test_read_of_unknown_resource_is_not_found(ctx):
    with pytest.raises(errors.NotFound):
        await read(ctx, "Patient", "none")


async def test_read_of_deleted_resource_is_gone(ctx):
    await update(ctx, "Patient", "a", patient("a"))
    await delete(ctx, "Patient", "a")
    with pytest.raises(errors.Gone):
        await read(ctx, "Patient", "a")


async def test_vread_gives_each_version_and_gone_for_the_deletion(ctx):
    await update(ctx, "Patient", "a", patient("a", active=True))
    await update(ctx, "Patient", "a", patient("a", active=False))
    await delete(ctx, "Patient", "a")
    assert resource_of(await vread(ctx, "Patient", "a", "1"))["active"] is True
    assert resource_of(await vread(ctx, "Patient", "a", "2"))["active"] is False
    with pytest.raises(errors.Gone):
        await vread(ctx, "Patient", "a", "3")


@pytest.mark.parametrize("version", ["4", "0", "x", "", "01", "-1", "9" * 30])
async def test_vread_of_unknown_version_is_not_found(ctx, version):
    await update(ctx, "Patient", "a", patient("a"))
    with pytest.raises(errors.NotFound):
        await vread(ctx, "Patient", "a", version)


async def test_update_creates_then_updates(ctx):
    first = await update(ctx, "Patient", "a", patient("a"))
    second = await update(ctx, "Patient", "a", patient("a"))
    assert (first.result, first.version.version) == ("created", 1)
    assert (second.result, second.version.version) == ("updated", 2)


async def test_update_without_change_makes_a_version(ctx):
    for number in (1, 2, 3):
        written = await update(ctx, "Patient", "a", patient("a", active=True))
        assert written.version.version == number


async def test_update_after_delete_creates_and_the_version_goes_on(ctx):
    await update(ctx, "Patient", "a", patient("a"))
    await delete(ctx, "Patient", "a")
    again = await update(ctx, "Patient", "a", patient("a"))
    assert (again.result, again.version.version) == ("created", 3)


@pytest.mark.parametrize("body", [patient(), patient("b"), patient(7), patient("")])
async def test_update_needs_the_id_of_the_url(ctx, body):
    with pytest.raises(errors.Invalid):
        await update(ctx, "Patient", "a", body)


@pytest.mark.parametrize("id", ["a b", "ä", "x" * 65, "a/b", ""])
async def test_update_under_an_illegal_id_is_invalid(ctx, id):
    with pytest.raises(errors.Invalid):
        await update(ctx, "Patient", id, patient(id))


async def test_update_create_can_be_forbidden(make_context):
    ctx = make_context(limits=Limits(update_create=False))
    with pytest.raises(errors.MethodNotAllowed):
        await update(ctx, "Patient", "a", patient("a"))


async def test_stale_if_match_fails_on_update_and_delete(ctx):
    await update(ctx, "Patient", "a", patient("a"))
    await update(ctx, "Patient", "a", patient("a"), if_match=1)
    with pytest.raises(errors.PreconditionFailed):
        await update(ctx, "Patient", "a", patient("a"), if_match=1)
    with pytest.raises(errors.PreconditionFailed):
        await delete(ctx, "Patient", "a", if_match=1)
    assert (await delete(ctx, "Patient", "a", if_match=2)).result == "deleted"


async def test_if_match_on_what_does_not_exist_fails(ctx):
    with pytest.raises(errors.PreconditionFailed):
        await update(ctx, "Patient", "a", patient("a"), if_match=1)
    with pytest.raises(errors.PreconditionFailed):
        await delete(ctx, "Patient", "a", if_match=1)


async def test_if_none_match_on_existing_fails_and_creates_otherwise(ctx):
    made = await update(ctx, "Patient", "a", patient("a"), if_none_match=True)
    assert made.result == "created"
    with pytest.raises(errors.PreconditionFailed):
        await update(ctx, "Patient", "a", patient("a"), if_none_match=True)
    await delete(ctx, "Patient", "a")
    made = await update(ctx, "Patient", "a", patient("a"), if_none_match=True)
    assert made.version.version == 3


async def test_delete_twice_makes_one_version(ctx):
    await update(ctx, "Patient", "a", patient("a"))
    assert (await delete(ctx, "Patient", "a")).result == "deleted"
    again = await delete(ctx, "Patient", "a")
    assert (again.result, again.version.version) == ("unchanged", 2)


async def test_delete_of_unknown_changes_nothing(make_context, engine):
    written = await delete(make_context(engine), "Patient", "none")
    assert (written.result, written.version.version) == ("unchanged", 0)
    assert await stored(engine) == []


async def test_parallel_updates_make_gapless_versions(ctx):
    await asyncio.gather(*(update(ctx, "Patient", "a", patient("a")) for _ in range(30)))
    assert (await read(ctx, "Patient", "a")).version == 30


async def test_of_parallel_updates_with_one_if_match_a_single_one_wins(ctx):
    await update(ctx, "Patient", "a", patient("a"))
    outcomes = await asyncio.gather(
        *(update(ctx, "Patient", "a", patient("a"), if_match=1) for _ in range(20)),
        return_exceptions=True,
    )
    failed = [o for o in outcomes if isinstance(o, errors.PreconditionFailed)]
    assert len(failed) == 19
    assert (await read(ctx, "Patient", "a")).version == 2


async def test_of_parallel_creates_by_put_a_single_one_creates(ctx):
    outcomes = await asyncio.gather(*(update(ctx, "Patient", "a", patient("a")) for _ in range(20)))
    assert [o.result for o in outcomes].count("created") == 1


async def test_conditional_create_makes_one_then_finds_it(ctx):
    first = await create(ctx, "Patient", identified("1"), if_none_exist="identifier=urn:s|1")
    again = await create(ctx, "Patient", identified("1"), if_none_exist="identifier=urn:s|1")
    assert (first.result, again.result) == ("created", "found")
    assert again.version == first.version


async def test_conditional_create_with_many_matches_is_refused(ctx):
    await create(ctx, "Patient", identified("1"))
    await create(ctx, "Patient", identified("1"))
    with pytest.raises(errors.MultipleMatches):
        await create(ctx, "Patient", identified("1"), if_none_exist="identifier=urn:s|1")


@pytest.mark.parametrize("criteria", ["", "nonsense=1", "identifier:what=1", "_count=3"])
async def test_conditional_create_refuses_criteria_that_do_not_select(ctx, criteria):
    with pytest.raises((errors.Invalid, errors.PreconditionFailed)):
        await create(ctx, "Patient", identified("1"), if_none_exist=criteria)


async def test_fifty_parallel_conditional_creates_make_one_resource(make_context, engine):
    ctx = make_context(engine)
    outcomes = await asyncio.gather(
        *(
            create(ctx, "Patient", identified("1"), if_none_exist="identifier=urn:s|1")
            for _ in range(50)
        )
    )
    assert [o.result for o in outcomes].count("created") == 1
    assert len({o.version.id for o in outcomes}) == 1
    assert len(await stored(engine)) == 1


async def test_create_under_an_id_that_is_taken_takes_another(ctx):
    await update(ctx, "Patient", "new-1", patient("new-1"))
    written = await create(ctx, "Patient", patient())
    assert (written.version.id, written.version.version) == ("new-2", 1)


async def test_endless_interference_ends_in_conflict(make_context):
    class Contended(MemoryStore):
        async def commit(self, changes, selects=()):
            if selects:
                # Somebody makes and removes a match in every gap.
                from fhirserver.storage.interface import SelectionChanged

                raise SelectionChanged(selects[0])
            return await super().commit(changes, selects)

    ctx = make_context(Contended(), limits=Limits(attempts=3))
    with pytest.raises(errors.Conflict):
        await create(ctx, "Patient", identified("1"), if_none_exist="identifier=urn:s|1")
