"""$meta, $meta-add, $meta-delete."""

from __future__ import annotations

import pytest

from fhirserver import errors
from fhirserver.interaction.read import read
from fhirserver.interaction.search import search
from fhirserver.interaction.update import update
from fhirserver.operation.call import Call
from fhirserver.operation.meta import meta, meta_add, meta_delete

RED = {"system": "urn:colour", "code": "red"}
BLUE = {"system": "urn:colour", "code": "blue"}
PROFILE = "http://example.org/StructureDefinition/p"


def call(id="a", type="Patient", **elements):
    parameter = [{"name": "meta", "valueMeta": elements}] if elements else []
    return Call(type, id, (), {"resourceType": "Parameters", "parameter": parameter})


def meta_in(answer):
    (parameter,) = answer["parameter"]
    assert parameter["name"] == "return"
    return parameter["valueMeta"]


@pytest.fixture
async def filled(ctx):
    resource = {"resourceType": "Patient", "id": "a", "meta": {"tag": [RED]}, "active": True}
    await update(ctx, "Patient", "a", resource)
    return ctx


async def test_meta_of_a_resource(filled):
    found = meta_in(await meta(filled, Call("Patient", "a")))
    assert found["tag"] == [RED]
    assert found["versionId"] == "1"


async def test_meta_of_a_type_and_the_system_is_what_is_in_use(filled):
    resource = {"resourceType": "Organization", "id": "o", "name": "x", "meta": {"tag": [BLUE]}}
    await update(filled, "Organization", "o", resource)
    assert meta_in(await meta(filled, Call("Patient"))) == {"tag": [RED]}
    assert meta_in(await meta(filled, Call())) == {"tag": [RED, BLUE]}


async def test_meta_add_adds_what_is_not_there(filled):
    added = meta_in(
        await meta_add(filled, call(tag=[RED, BLUE], profile=[PROFILE], security=[BLUE]))
    )
    assert added["tag"] == [RED, BLUE]
    assert added["profile"] == [PROFILE]
    assert added["security"] == [BLUE]
    assert (await read(filled, "Patient", "a")).version == 2
    result = await search(filled, ("Patient",), [("_tag", "urn:colour|blue")], strict=True)
    assert [v.id for v in result.matches] == ["a"]


async def test_meta_delete_takes_only_what_is_named(filled):
    await meta_add(filled, call(tag=[BLUE], profile=[PROFILE]))
    left = meta_in(await meta_delete(filled, call(tag=[RED], profile=["http://example.org/x"])))
    assert left["tag"] == [BLUE]
    assert left["profile"] == [PROFILE]
    left = meta_in(await meta_delete(filled, call(tag=[BLUE])))
    assert "tag" not in left


async def test_meta_of_unknown_resource_is_not_found(filled):
    with pytest.raises(errors.NotFound):
        await meta(filled, Call("Patient", "none"))
    with pytest.raises(errors.NotFound):
        await meta_add(filled, call("none", tag=[RED]))


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"resourceType": "Patient"},
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": [{"valueMeta": {}}]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueString": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": 1}}]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [1]}}]},
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "meta", "valueMeta": {"tag": [{"nonsense": "x"}]}}],
        },
    ],
)
async def test_wrong_body_is_invalid_and_changes_nothing(filled, body):
    with pytest.raises(errors.Invalid):
        await meta_add(filled, Call("Patient", "a", (), body))
    assert (await read(filled, "Patient", "a")).version == 1
