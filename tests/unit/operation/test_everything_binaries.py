"""$everything brings the contents of documents along."""

from __future__ import annotations

import base64
import sys

import pytest

from fhirserver.interaction.update import update
from fhirserver.operation.call import Call
from fhirserver.operation.everything import everything


async def put(ctx, type, id, **elements):
    await update(ctx, type, id, {"resourceType": type, "id": id, **elements})


async def binary(ctx, id, size=10):
    data = base64.b64encode(b"x" * size).decode()
    await put(ctx, "Binary", id, contentType="text/plain", data=data)


@pytest.fixture
async def filled(ctx):
    for id in ("b1", "b2", "b3", "b4", "b5", "b6", "alone"):
        await binary(ctx, id)
    await put(ctx, "Organization", "o", name="Ward")
    await put(ctx, "Patient", "a", managingOrganization={"reference": "Organization/o"})
    for number in range(1, 7):
        await put(
            ctx,
            "DocumentReference",
            f"d{number}",
            status="current",
            subject={"reference": "Patient/a"},
            date=f"202{number}-01-01T00:00:00Z",
            content=[{"attachment": {"url": f"Binary/b{number}"}}],
        )
    return ctx


async def run(ctx, *query):
    return await everything(ctx, Call("Patient", "a", query))


def ids(versions):
    return [f"{v.type}/{v.id}" for v in versions]


BINARIES = [f"Binary/b{number}" for number in range(1, 7)]


async def test_contents_of_documents_come_along(filled):
    assert ids((await run(filled)).included) == [*BINARIES, "Organization/o"]
    assert ids((await run(filled, ("_type", "Binary"))).included) == BINARIES
    assert ids((await run(filled, ("_type", "Patient"))).included) == []


async def test_dates_of_care_bind_contents_too(filled):
    result = await run(filled, ("start", "2025-01-01"))
    assert ids(result.included) == ["Binary/b5", "Binary/b6", "Organization/o"]


@pytest.mark.parametrize("count", [1, 2, 5, 8])
async def test_contents_are_paged_each_once(filled, count):
    seen, cursor = [], None
    for _ in range(30):
        more = [("_cursor", cursor)] if cursor else []
        result = await run(filled, ("_count", str(count)), *more)
        seen += ids(result.included)
        cursor = result.next
        if cursor is None:
            break
    assert seen == [*BINARIES, "Organization/o"]


async def test_page_ends_after_so_many_bytes(filled, monkeypatch):
    monkeypatch.setattr(sys.modules[everything.__module__], "_PAGE_BYTES", 50)
    first = await run(filled)
    assert ids(first.included) == BINARIES[:4]
    second = await run(filled, ("_cursor", first.next))
    assert ids(second.included) == BINARIES[4:]
    third = await run(filled, ("_cursor", second.next))
    assert ids(third.included) == ["Organization/o"]
    assert third.next is None
