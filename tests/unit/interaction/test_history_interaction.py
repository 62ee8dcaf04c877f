"""History of a resource, a type and the system."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhirserver import errors
from fhirserver.interaction.delete import delete
from fhirserver.interaction.history import history
from fhirserver.interaction.update import update
from fhirserver.model import dates


async def put(ctx, type, id, **elements):
    await update(ctx, type, id, {"resourceType": type, "id": id, **elements})


def told(result):
    return [(v.type, v.id, v.version) for v in result.versions]


async def test_history_is_newest_first_past_ten(ctx):
    for _ in range(11):
        await put(ctx, "Patient", "a")
    result = await history(ctx, "Patient", "a", [])
    assert [v.version for v in result.versions] == list(range(11, 0, -1))
    assert result.total == 11


async def test_history_has_deletions_with_their_method(ctx):
    await put(ctx, "Patient", "a")
    await delete(ctx, "Patient", "a")
    await put(ctx, "Patient", "a")
    result = await history(ctx, "Patient", "a", [])
    assert [(v.method, v.deleted) for v in result.versions] == [
        ("PUT", False),
        ("DELETE", True),
        ("PUT", False),
    ]


async def test_history_of_unknown_resource_is_not_found(ctx):
    with pytest.raises(errors.NotFound):
        await history(ctx, "Patient", "none", [])


async def test_history_of_type_and_system(ctx):
    await put(ctx, "Patient", "a")
    await put(ctx, "Organization", "o", name="x")
    assert told(await history(ctx, "Patient", None, [])) == [("Patient", "a", 1)]
    assert len((await history(ctx, None, None, [])).versions) == 2


async def test_history_pages_by_cursor(ctx):
    for _ in range(5):
        await put(ctx, "Patient", "a")
    seen = []
    cursor = None
    for _ in range(3):
        parameters = [("_count", "2")] + ([("_cursor", cursor)] if cursor else [])
        result = await history(ctx, "Patient", "a", parameters)
        seen += [v.version for v in result.versions]
        assert result.applied == (("_count", "2"),)
        assert result.total == 5
        cursor = result.next
    assert seen == [5, 4, 3, 2, 1]
    assert cursor is None


async def test_total_is_on_every_page_of_a_type_and_the_system(ctx):
    for _ in range(3):
        await put(ctx, "Patient", "a")
    for type in ("Patient", None):
        first = await history(ctx, type, None, [("_count", "2")])
        second = await history(ctx, type, None, [("_count", "2"), ("_cursor", first.next)])
        assert (first.total, second.total, second.next) == (3, 3, None)


async def test_total_is_left_out_where_counting_takes_long(ctx):
    ctx = replace(ctx, limits=replace(ctx.limits, history_total=2))
    for _ in range(3):
        await put(ctx, "Patient", "a")
    assert (await history(ctx, "Patient", None, [("_count", "1")])).total is None
    assert (await history(ctx, "Patient", "a", [("_count", "1")])).total == 3
    assert (await history(ctx, "Patient", None, [("_count", "0")])).total == 3
    assert (await history(ctx, "Patient", None, [])).total == 3


async def test_count_zero_gives_the_total_alone(ctx):
    await put(ctx, "Patient", "a")
    result = await history(ctx, "Patient", None, [("_count", "0")])
    assert (result.versions, result.total) == ([], 1)


async def test_since_is_of_the_instant_with_its_zone(ctx):
    await put(ctx, "Patient", "a")
    (version,) = (await history(ctx, "Patient", "a", [])).versions
    at = dates.instant(version.updated)
    assert len((await history(ctx, "Patient", "a", [("_since", at)])).versions) == 1
    later = dates.instant(version.updated + 1000)
    assert (await history(ctx, "Patient", "a", [("_since", later)])).versions == []
    # The same instant said in another zone, its plus sign lost on the way.
    hour = dates.instant(version.updated + 3_600_000_000).replace("Z", " 01:00")
    assert len((await history(ctx, "Patient", "a", [("_since", hour)])).versions) == 1


async def test_at_gives_what_was_current(ctx):
    await put(ctx, "Patient", "a")
    assert (await history(ctx, "Patient", "a", [("_at", "2001")])).versions == []
    assert len((await history(ctx, "Patient", "a", [("_at", "2999")])).versions) == 1


@pytest.mark.parametrize(
    "parameter",
    [
        ("name", "x"),
        ("_since", "yesterday"),
        ("_since", "2024-02-30"),
        ("_at", ""),
        ("_count", "-1"),
        ("_count", "x"),
        ("_count", "٣"),
        ("_cursor", "x"),
        ("_sort", "_lastUpdated"),
        ("_elements", "name"),
    ],
)
async def test_other_parameters_are_refused(ctx, parameter):
    await put(ctx, "Patient", "a")
    with pytest.raises(errors.Invalid):
        await history(ctx, "Patient", "a", [parameter])


async def test_parameter_given_twice_is_refused(ctx):
    with pytest.raises(errors.Invalid):
        await history(ctx, None, None, [("_count", "1"), ("_count", "2")])
