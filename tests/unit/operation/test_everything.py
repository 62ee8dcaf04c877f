"""$everything: the whole compartment and what it references, each once."""

from __future__ import annotations

import random

import pytest

from fhirserver import errors
from fhirserver.interaction.delete import delete
from fhirserver.interaction.update import update
from fhirserver.model import dates
from fhirserver.operation.call import Call
from fhirserver.operation.everything import everything
from fhirserver.search.expression import Query


async def put(ctx, type, id, **elements):
    written = await update(ctx, type, id, {"resourceType": type, "id": id, **elements})
    return written.version


def observation(subject, date=None, **elements):
    made = {"status": "final", "code": {"text": "x"}, "subject": {"reference": subject}, **elements}
    if date:
        made["effectiveDateTime"] = date
    return made


@pytest.fixture
async def filled(ctx):
    await put(ctx, "Organization", "top", name="Group")
    await put(ctx, "Organization", "o", name="Ward", partOf={"reference": "Organization/top"})
    await put(ctx, "Organization", "other", name="Elsewhere")
    await put(ctx, "Practitioner", "d", name=[{"family": "Doctor"}])
    await put(
        ctx,
        "Patient",
        "a",
        managingOrganization={"reference": "Organization/o"},
        link=[{"other": {"reference": "Patient/b"}, "type": "seealso"}],
    )
    await put(ctx, "Patient", "b", managingOrganization={"reference": "Organization/other"})
    await put(
        ctx,
        "Encounter",
        "e",
        status="finished",
        **{"class": {"code": "AMB"}},
        subject={"reference": "Patient/a"},
        period={"start": "2020-05-01", "end": "2020-05-02"},
    )
    by = {"performer": [{"reference": "Practitioner/d"}]}
    inside = {"encounter": {"reference": "Encounter/e"}}
    await put(ctx, "Observation", "1", **observation("Patient/a", "2020-01-10", **by, **inside))
    await put(ctx, "Observation", "2", **observation("Patient/a", "2021-01-10", **by))
    await put(ctx, "Observation", "3", **observation("Patient/b", "2020-01-10", **by))
    await put(ctx, "Observation", "undated", **observation("Patient/a"))
    return ctx


HELD = ["Patient/a", "Encounter/e", "Observation/1", "Observation/2", "Observation/undated"]
REFERENCED = ["Organization/o", "Organization/top", "Practitioner/d"]


def ids(versions):
    return [f"{v.type}/{v.id}" for v in versions]


async def run(ctx, *query, type="Patient", id="a"):
    return await everything(ctx, Call(type, id, query))


async def test_everything_is_the_compartment_and_what_it_references(filled):
    result = await run(filled)
    assert ids(result.matches) == HELD
    assert ids(result.included) == REFERENCED
    assert result.next is None


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
async def test_pages_meet_each_resource_once(filled, count):
    seen, cursor = [], None
    for _ in range(20):
        more = [("_cursor", cursor)] if cursor else []
        result = await run(filled, ("_count", str(count)), *more)
        page = ids(result.matches) + ids(result.included)
        assert len(page) <= count
        seen += page
        cursor = result.next
        if cursor is None:
            break
        assert result.search.applied == (("_count", str(count)),)
    assert seen == HELD + REFERENCED


@pytest.mark.parametrize("count", [1, 3, 100])
async def test_everything_of_the_type_is_that_of_each_patient(filled, count):
    patients = [v.id for v in (await filled.store.search(Query(("Patient",)))).versions]
    expected = []
    for id in patients:
        result = await run(filled, id=id)
        expected += ids(result.matches) + ids(result.included)
    assert len(patients) > 1
    seen, cursor = [], None
    for _ in range(100):
        more = [("_cursor", cursor)] if cursor else []
        result = await run(filled, ("_count", str(count)), *more, id=None)
        page = ids(result.matches) + ids(result.included)
        assert len(page) <= count
        assert len(set(page)) == len(page)
        seen += page
        cursor = result.next
        if cursor is None:
            break
    assert set(seen) == set(expected)
    assert len(seen) <= len(expected)
    with pytest.raises(errors.Invalid):
        await run(filled, ("_cursor", "nonsense"), id=None)


async def test_pages_stay_right_while_others_write(filled):
    first = await run(filled, ("_count", "4"))
    await put(filled, "Account", "new", status="active", subject=[{"reference": "Patient/a"}])
    await put(filled, "Observation", "2", **observation("Patient/a", "2021-01-10"))
    seen, cursor = ids(first.matches), first.next
    while cursor is not None:
        result = await run(filled, ("_count", "2"), ("_cursor", cursor))
        seen += ids(result.matches) + ids(result.included)
        cursor = result.next
    assert seen == HELD + REFERENCED


@pytest.mark.parametrize("seed", range(4))
async def test_each_resource_that_stays_comes_once_whatever_is_written(filled, seed):
    chance = random.Random(seed)
    whole = await run(filled)
    before = set(ids(whole.matches) + ids(whole.included))
    for n in range(20):
        await put(filled, "Observation", f"more{n}", **observation("Patient/a", "2021"))
        before.add(f"Observation/more{n}")
    seen, cursor, gone = [], None, set()
    while True:
        more = [("_cursor", cursor)] if cursor else []
        result = await run(filled, ("_count", "3"), *more)
        seen += ids(result.matches) + ids(result.included)
        cursor = result.next
        if cursor is None:
            break
        n = chance.randrange(20)
        if chance.random() < 0.2:
            await delete(filled, "Observation", f"more{n}")
            gone.add(f"Observation/more{n}")
        else:
            await put(filled, "Observation", f"more{n}", **observation("Patient/a", "2022"))
        await put(filled, "Observation", f"late{len(seen)}", **observation("Patient/a", "2022"))
    assert len(seen) == len(set(seen))
    assert before - gone <= set(seen)


async def test_type_filters_compartment_and_references(filled):
    result = await run(filled, ("_type", "Observation,Practitioner"))
    assert ids(result.matches) == ["Observation/1", "Observation/2", "Observation/undated"]
    assert ids(result.included) == ["Practitioner/d"]
    result = await run(filled, ("_type", "Practitioner"))
    assert (result.matches, ids(result.included)) == ([], ["Practitioner/d"])
    result = await run(filled, ("_type", "Encounter"))
    assert (ids(result.matches), result.included) == (["Encounter/e"], [])


async def test_start_and_end_are_the_dates_of_care(filled):
    result = await run(filled, ("start", "2020-06-01"))
    assert ids(result.matches) == ["Patient/a", "Observation/2", "Observation/undated"]
    result = await run(filled, ("end", "2020-04"))
    assert ids(result.matches) == ["Patient/a", "Observation/1", "Observation/undated"]
    result = await run(filled, ("start", "2020-05-02"), ("end", "2020"))
    assert ids(result.matches) == ["Patient/a", "Encounter/e", "Observation/undated"]


async def test_since_gives_what_changed(filled):
    version = await put(filled, "Observation", "2", **observation("Patient/a"))
    later = dates.instant(version.updated + 1000)
    assert (await run(filled, ("_since", later))).matches == []
    at = dates.instant(version.updated)
    assert "Observation/2" in ids((await run(filled, ("_since", at))).matches)


async def test_everything_of_an_encounter_has_its_patient(filled):
    result = await run(filled, type="Encounter", id="e")
    assert ids(result.matches) == ["Encounter/e", "Observation/1"]
    assert "Patient/a" in ids(result.included)
    assert "Practitioner/d" in ids(result.included)


async def test_everything_of_unknown_or_deleted_patient(filled):
    with pytest.raises(errors.NotFound):
        await run(filled, id="none")
    await delete(filled, "Patient", "a")
    with pytest.raises(errors.Gone):
        await run(filled)


@pytest.mark.parametrize(
    "parameter",
    [
        ("_since", "x"),
        ("start", "2020-02-30"),
        ("_type", "Nonsense"),
        ("_count", "0"),
        ("_count", "-1"),
        ("_cursor", "Nonsense:"),
        ("_cursor", "nonsense"),
        ("_cursor", "Observation:nonsense"),
        ("_cursor", "~nonsense"),
        ("name", "x"),
    ],
)
async def test_wrong_parameter_is_invalid(filled, parameter):
    with pytest.raises(errors.Invalid):
        await run(filled, parameter)


async def test_start_has_no_meaning_for_an_encounter(filled):
    with pytest.raises(errors.Invalid):
        await run(filled, ("start", "2020"), type="Encounter", id="e")


async def test_parameters_resource_is_read_as_the_url(filled):
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "_type", "valueCode": "Encounter"},
            {"name": "_count", "valueInteger": 5},
        ],
    }
    result = await everything(filled, Call("Patient", "a", (), body))
    assert ids(result.matches) == ["Encounter/e"]
