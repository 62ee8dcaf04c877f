"""Runtime search parameters and $reindex."""

from __future__ import annotations

import asyncio
import sys

import pytest

from fhirserver import errors
from fhirserver.access.store import PermittedStore
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.create import create
from fhirserver.interaction.delete import delete
from fhirserver.interaction.read import read
from fhirserver.interaction.search import search
from fhirserver.interaction.search_parameter import SearchParameterBehaviour
from fhirserver.interaction.update import update
from fhirserver.operation.call import Call
from fhirserver.operation.reindex import reindex, reindex_all, reindex_status, resume

# Its name in the package is the function's.
reindex_module = sys.modules["fhirserver.operation.reindex"]


def nickname(id="nick", code="nickname", url="http://example.org/SearchParameter/nick", **more):
    return {
        "resourceType": "SearchParameter",
        "id": id,
        "url": url,
        "name": "nick",
        "status": "active",
        "description": "Nicknames",
        "code": code,
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.name.where(use = 'nickname').given",
        **more,
    }


def patient(id):
    return {
        "resourceType": "Patient",
        "id": id,
        "name": [{"use": "nickname", "given": ["Zaza"]}],
    }


@pytest.fixture
def ctx(make_context, engine):
    registry = Registry()
    behaviour = SearchParameterBehaviour(PermittedStore(engine), registry)
    return make_context(engine, registry=registry, behaviours=(behaviour,))


async def found(ctx, code="nickname"):
    result = await search(ctx, ("Patient",), [(code, "zaza")], strict=True)
    return [v.id for v in result.matches]


def told(answer):
    return {p["name"]: next(v for k, v in p.items() if k != "name") for p in answer["parameter"]}


async def finished(ctx):
    for _ in range(500):
        state = told(await reindex_status(ctx, Call()))
        if state["status"] != "in-progress":
            return state
        await asyncio.sleep(0.01)
    raise AssertionError("the job does not end")


async def test_new_data_is_found_at_once_and_old_after_reindex(ctx):
    await update(ctx, "Patient", "old", patient("old"))
    with pytest.raises(errors.Invalid):
        await found(ctx)
    await update(ctx, "SearchParameter", "nick", nickname())
    await update(ctx, "Patient", "new", patient("new"))
    assert await found(ctx) == ["new"]
    before = await read(ctx, "Patient", "old")
    started = told(await reindex(ctx, Call("Patient")))
    assert started["status"] in ("in-progress", "completed")
    assert await finished(ctx) | {"seconds": 0} == {
        "status": "completed",
        "processed": 2,
        "replaced": 2,
        "typesLeft": 0,
        "seconds": 0,
    }
    assert sorted(await found(ctx)) == ["new", "old"]
    assert await read(ctx, "Patient", "old") == before


async def test_changed_expression_drops_old_entries(ctx):
    await update(ctx, "SearchParameter", "nick", nickname())
    await update(ctx, "Patient", "a", patient("a"))
    await update(ctx, "SearchParameter", "nick", nickname(expression="Patient.name.family"))
    await reindex_all(ctx, ("Patient",))
    assert await found(ctx) == []


async def test_deleted_search_parameter_is_unknown_again(ctx):
    await update(ctx, "SearchParameter", "nick", nickname())
    await delete(ctx, "SearchParameter", "nick")
    with pytest.raises(errors.Invalid):
        await found(ctx)


async def test_renamed_url_leaves_nothing_behind(ctx):
    await update(ctx, "SearchParameter", "nick", nickname())
    changed = nickname(url="http://example.org/SearchParameter/other", code="pet")
    await update(ctx, "SearchParameter", "nick", changed)
    await update(ctx, "Patient", "a", patient("a"))
    assert await found(ctx, "pet") == ["a"]
    with pytest.raises(errors.Invalid):
        await found(ctx, "nickname")


@pytest.mark.parametrize(
    "change",
    [
        {"expression": "Patient.name.where("},
        {"code": "name"},
        {"base": ["Nonsense"]},
    ],
)
async def test_bad_search_parameter_is_refused_and_not_stored(ctx, change):
    with pytest.raises((errors.Invalid, errors.Unprocessable)):
        await create(ctx, "SearchParameter", nickname(**change))
    result = await search(ctx, ("SearchParameter",), [], strict=True)
    assert result.matches == []


async def test_another_process_follows_by_refresh(ctx, engine, make_context):
    registry = Registry()
    behaviour = SearchParameterBehaviour(PermittedStore(engine), registry)
    other = make_context(engine, registry=registry, behaviours=(behaviour,))
    assert await behaviour.refresh() is False
    await update(ctx, "SearchParameter", "nick", nickname())
    await update(ctx, "Patient", "a", patient("a"))
    with pytest.raises(errors.Invalid):
        await found(other)
    assert await behaviour.refresh() is True
    assert await found(other) == ["a"]
    epoch = registry.epoch
    assert await behaviour.refresh() is False
    assert registry.epoch == epoch
    await delete(ctx, "SearchParameter", "nick")
    await behaviour.refresh()
    with pytest.raises(errors.Invalid):
        await found(other)


async def test_reindex_of_everything_goes_on_beside_writes(ctx, monkeypatch):
    monkeypatch.setattr(reindex_module, "_BATCH", 3)
    for number in range(10):
        await update(ctx, "Patient", f"p{number}", patient(f"p{number}"))
    await update(ctx, "SearchParameter", "nick", nickname())
    await reindex(ctx, Call())
    for number in range(5):
        await update(ctx, "Patient", f"p{number}", patient(f"p{number}"))
    state = await finished(ctx)
    assert state["status"] == "completed"
    assert state["processed"] == 11
    assert len(await found(ctx)) == 10


async def test_asking_again_tells_of_the_running_job(ctx):
    await update(ctx, "Patient", "a", patient("a"))
    await reindex(ctx, Call())
    again = told(await reindex(ctx, Call("Patient")))
    assert again["status"] == "in-progress"
    assert again["typesLeft"] > 1
    await finished(ctx)


async def test_job_of_a_dead_process_is_taken_over(ctx, monkeypatch):
    await update(ctx, "Patient", "a", patient("a"))
    await update(ctx, "SearchParameter", "nick", nickname())
    monkeypatch.setattr(reindex_module, "_start", lambda ctx, job: None)
    await reindex(ctx, Call("Patient"))
    monkeypatch.undo()
    assert await resume(ctx) is False  # it may still be alive
    monkeypatch.setattr(reindex_module, "_SILENT", -1.0)
    assert await resume(ctx) is True
    assert (await finished(ctx))["status"] == "completed"
    assert await found(ctx) == ["a"]
    assert await resume(ctx) is False


async def test_failure_is_told(ctx, monkeypatch):
    await update(ctx, "Patient", "a", patient("a"))

    async def broken(*_):
        raise TimeoutError("the store is away")

    monkeypatch.setattr(reindex_module, "_replace", broken)
    await reindex(ctx, Call("Patient"))
    state = await finished(ctx)
    assert state["status"] == "failed"
    assert "away" in state["failure"]


async def test_status_before_any_job_is_not_found(ctx):
    with pytest.raises(errors.NotFound):
        await reindex_status(ctx, Call())


@pytest.mark.parametrize(
    "call",
    [
        Call("Nonsense"),
        Call(None, None, (("type", "Nonsense"),)),
        Call(None, None, (("what", "x"),)),
        Call("Patient", None, (("type", "Patient"),)),
        Call(None, None, (), {"resourceType": "Patient"}),
    ],
)
async def test_wrong_reindex_is_invalid(ctx, call):
    with pytest.raises(errors.Invalid):
        await reindex(ctx, call)


async def test_reindex_all_tells_its_progress(ctx):
    for number in range(3):
        await update(ctx, "Patient", f"p{number}", patient(f"p{number}"))
    heard = []
    assert await reindex_all(ctx, ("Patient",), told=lambda *what: heard.append(what)) == 3
    assert heard == [("Patient", 3)]


async def test_reindex_keeps_contained_resources_findable(ctx):
    inner = {"resourceType": "Medication", "id": "m", "code": {"text": "aspirin"}}
    order = {
        "resourceType": "MedicationRequest",
        "id": "r",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/a"},
        "contained": [inner],
        "medicationReference": {"reference": "#m"},
    }
    await update(ctx, "MedicationRequest", "r", order)
    await reindex_all(ctx)
    asked = [("code:text", "aspirin"), ("_contained", "true")]
    assert len((await search(ctx, ("Medication",), asked, strict=True)).matches) == 1
