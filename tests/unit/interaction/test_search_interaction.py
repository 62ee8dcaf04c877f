"""Search: pages, totals, includes, compartments, contained resources."""

from __future__ import annotations

import random

import pytest
from memory_store import MemoryStore

from fhirserver import errors
from fhirserver.access.store import PermittedStore
from fhirserver.interaction import contained
from fhirserver.interaction.context import Limits
from fhirserver.interaction.delete import delete
from fhirserver.interaction.search import search
from fhirserver.interaction.update import update
from fhirserver.search.expression import Identity, Not


async def put(ctx, type, id, **elements):
    await update(ctx, type, id, {"resourceType": type, "id": id, **elements})


def observation(subject=None, **elements):
    made = {"status": "final", "code": {"text": "x"}, **elements}
    if subject:
        made["subject"] = {"reference": subject}
    return made


async def find(ctx, types, *parameters, strict=True, **more):
    types = tuple(types.split(",")) if types else ()
    return await search(ctx, types, list(parameters), strict=strict, **more)


def ids(versions):
    return [f"{v.type}/{v.id}" for v in versions]


@pytest.fixture
async def filled(ctx):
    await put(ctx, "Organization", "o", name="Hospital")
    await put(ctx, "Organization", "part", name="Ward", partOf={"reference": "Organization/o"})
    await put(ctx, "Practitioner", "d", name=[{"family": "Doctor"}])
    await put(
        ctx,
        "Patient",
        "a",
        name=[{"family": "Adam"}],
        managingOrganization={"reference": "Organization/part"},
        generalPractitioner=[{"reference": "Practitioner/d"}],
    )
    await put(ctx, "Patient", "b", name=[{"family": "Bertin"}])
    await put(ctx, "Observation", "1", **observation("Patient/a"))
    await put(ctx, "Observation", "2", **observation("Patient/a"))
    await put(ctx, "Observation", "3", **observation("Patient/b"))
    return ctx


async def test_matches_and_self_link_parameters(filled):
    result = await find(filled, "Patient", ("name", "adam"))
    assert ids(result.matches) == ["Patient/a"]
    assert result.search.applied == (("name", "adam"),)
    assert (result.total, result.next, result.issues) == (1, None, ())


async def test_pages_meet_each_match_once(filled):
    seen, cursor = [], None
    while True:
        more = [("_cursor", cursor)] if cursor else []
        result = await find(filled, "Observation", ("_count", "2"), *more)
        seen += ids(result.matches)
        assert ("_cursor", cursor) not in result.search.applied
        cursor = result.next
        if cursor is None:
            break
    assert seen == ["Observation/1", "Observation/2", "Observation/3"]


async def test_foreign_cursor_is_invalid(filled):
    with pytest.raises(errors.Invalid):
        await find(filled, "Observation", ("_cursor", "nonsense"))
    with pytest.raises(errors.Invalid):
        await find(filled, "Observation", ("_cursor", "1"), ("_cursor", "2"))


async def test_total_is_given_when_asked_on_every_page(filled):
    result = await find(filled, "Observation", ("_count", "2"), ("_total", "accurate"))
    assert result.total == 3
    result = await find(
        filled, "Observation", ("_count", "2"), ("_total", "accurate"), ("_cursor", result.next)
    )
    assert result.total == 3
    assert (await find(filled, "Observation", ("_total", "none"))).total is None


@pytest.mark.parametrize("parameter", [("_count", "0"), ("_summary", "count")])
async def test_count_alone_has_no_entries(filled, parameter):
    result = await find(filled, "Observation", parameter, ("_include", "Observation:subject"))
    assert (result.matches, result.included, result.total) == ([], [], 3)


async def test_estimate_stops_counting(make_context):
    ctx = make_context(limits=Limits(estimate=2))
    for id in "abc":
        await put(ctx, "Patient", id)
    assert (await find(ctx, "Patient", ("_total", "estimate"))).total == 2


async def test_unknown_parameter_is_ignored_with_a_warning_or_refused(filled):
    result = await find(filled, "Patient", ("nonsense", "1"), ("name", "adam"), strict=False)
    assert ids(result.matches) == ["Patient/a"]
    assert result.search.applied == (("name", "adam"),)
    assert [i.severity for i in result.issues] == ["warning"]
    assert "nonsense" in result.issues[0].diagnostics
    with pytest.raises(errors.Invalid):
        await find(filled, "Patient", ("nonsense", "1"))


async def test_include_comes_once_beside_the_matches(filled):
    result = await find(filled, "Observation", ("_include", "Observation:subject"))
    assert ids(result.included) == ["Patient/a", "Patient/b"]
    result = await find(filled, "Patient,Observation", ("_include", "Observation:subject"))
    assert result.included == []


async def test_include_of_one_target_type(filled):
    asked = ("_include", "Patient:general-practitioner:Organization")
    assert (await find(filled, "Patient", asked)).included == []
    asked = ("_include", "Patient:general-practitioner:Practitioner")
    assert ids((await find(filled, "Patient", asked)).included) == ["Practitioner/d"]


async def test_include_of_everything_referenced(filled):
    result = await find(filled, "Patient", ("_include", "*"))
    assert sorted(ids(result.included)) == ["Organization/part", "Practitioner/d"]
    result = await find(filled, "Patient", ("_include", "Patient:*"))
    assert sorted(ids(result.included)) == ["Organization/part", "Practitioner/d"]


async def test_include_follows_included_only_when_it_iterates(filled):
    asked = [("_include", "Patient:organization"), ("_include", "Organization:partof")]
    result = await find(filled, "Patient", *asked)
    assert ids(result.included) == ["Organization/part"]
    asked[1] = ("_include:iterate", "Organization:partof")
    result = await find(filled, "Patient", *asked)
    assert ids(result.included) == ["Organization/part", "Organization/o"]


async def test_iterating_include_ends_on_a_cycle(ctx):
    await put(ctx, "Organization", "x", name="x")
    await put(ctx, "Organization", "y", name="y", partOf={"reference": "Organization/x"})
    await put(ctx, "Organization", "x", name="x", partOf={"reference": "Organization/y"})
    result = await find(
        ctx, "Organization", ("_id", "x"), ("_include:iterate", "Organization:partof")
    )
    assert ids(result.included) == ["Organization/y"]
    assert result.issues == ()


async def test_revinclude_and_its_iteration(filled):
    result = await find(filled, "Patient", ("name", "adam"), ("_revinclude", "Observation:subject"))
    assert ids(result.included) == ["Observation/1", "Observation/2"]
    result = await find(
        filled,
        "Organization",
        ("name", "ward"),
        ("_revinclude", "Patient:organization"),
        ("_revinclude:iterate", "Observation:subject"),
    )
    assert ids(result.included) == ["Patient/a", "Observation/1", "Observation/2"]


async def test_revinclude_of_every_reference_of_a_type(filled):
    result = await find(filled, "Patient", ("name", "adam"), ("_revinclude", "Observation:*"))
    assert ids(result.included) == ["Observation/1", "Observation/2"]


async def test_include_of_a_versioned_reference_is_that_version(ctx):
    await put(ctx, "Patient", "a", active=True)
    await put(ctx, "Patient", "a", active=False)
    await put(ctx, "Observation", "1", **observation("Patient/a/_history/1"))
    result = await find(ctx, "Observation", ("_include", "Observation:subject"))
    assert [(v.id, v.version) for v in result.included] == [("a", 1)]


async def test_include_follows_canonical_references(ctx):
    await put(ctx, "Questionnaire", "q", url="http://example.org/q", status="active", version="1")
    await put(
        ctx,
        "QuestionnaireResponse",
        "r",
        status="completed",
        questionnaire="http://example.org/q|1",
    )
    result = await find(
        ctx, "QuestionnaireResponse", ("_include", "QuestionnaireResponse:questionnaire")
    )
    assert ids(result.included) == ["Questionnaire/q"]


async def test_dangling_and_deleted_references_include_nothing(ctx):
    await put(ctx, "Patient", "a")
    await put(ctx, "Observation", "1", **observation("Patient/a"))
    await put(ctx, "Observation", "2", **observation("Patient/never"))
    await delete(ctx, "Patient", "a")
    result = await find(ctx, "Observation", ("_include", "Observation:subject"))
    assert result.included == []


async def test_included_resources_are_permitted_ones(make_context):
    engine = MemoryStore()
    ctx = make_context(engine)
    await put(ctx, "Patient", "a")
    await put(ctx, "Observation", "1", **observation("Patient/a"))
    bound = make_context(store=PermittedStore(engine, Not(Identity(("a",))), ctx.indexer.entries))
    result = await find(bound, "Observation", ("_include", "Observation:subject"))
    assert ids(result.matches) == ["Observation/1"]
    assert result.included == []


async def test_too_many_includes_are_cut_with_a_warning(make_context):
    ctx = make_context(limits=Limits(includes=2))
    await put(ctx, "Patient", "a")
    for id in ("1", "2", "3"):
        await put(ctx, "Observation", id, **observation("Patient/a"))
    result = await find(ctx, "Patient", ("_revinclude", "Observation:subject"))
    assert len(result.included) == 2
    assert result.issues[0].code == "too-costly"
    ctx = make_context(ctx.store._store, limits=Limits(includes=3))
    result = await find(ctx, "Patient", ("_revinclude", "Observation:subject"))
    assert len(result.included) == 3
    assert result.issues == ()


async def test_compartment_search(filled):
    result = await find(filled, "Observation", compartment=("Patient", "a"))
    assert ids(result.matches) == ["Observation/1", "Observation/2"]
    result = await find(filled, "", compartment=("Patient", "a"))
    assert ids(result.matches) == ["Patient/a", "Observation/1", "Observation/2"]
    result = await find(filled, "Observation", ("_id", "2"), compartment=("Patient", "a"))
    assert ids(result.matches) == ["Observation/2"]
    assert (await find(filled, "Observation", compartment=("Patient", "none"))).matches == []


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_whole_compartment_pages_through_its_types(filled, count):
    seen, cursor = [], None
    for _ in range(10):
        more = [("_cursor", cursor)] if cursor else []
        asked = [("_count", str(count)), ("_total", "accurate"), *more]
        result = await find(filled, "", *asked, compartment=("Patient", "a"))
        assert result.total == 3
        assert len(result.matches) <= count
        seen += ids(result.matches)
        cursor = result.next
        if cursor is None:
            break
    assert seen == ["Patient/a", "Observation/1", "Observation/2"]


async def test_whole_compartment_takes_types_sort_and_totals(filled):
    within = {"compartment": ("Patient", "a")}
    result = await find(filled, "", ("_type", "Observation"), **within)
    assert ids(result.matches) == ["Observation/1", "Observation/2"]
    result = await find(filled, "", ("_sort", "-_id"), **within)
    assert ids(result.matches) == ["Patient/a", "Observation/2", "Observation/1"]
    assert (await find(filled, "", ("_summary", "count"), **within)).total == 3
    assert (await find(filled, "", ("_total", "estimate"), **within)).total == 3
    with pytest.raises(errors.NotFound):
        await find(filled, "", ("_type", "Medication"), **within)
    with pytest.raises(errors.Invalid):
        await find(filled, "", ("_cursor", "Medication:"), **within)
    with pytest.raises(errors.Invalid):
        await find(filled, "", ("_cursor", "Observation:nonsense"), **within)


async def test_compartment_and_type_must_be_known(filled):
    with pytest.raises(errors.NotFound):
        await find(filled, "Observation", compartment=("Organization", "o"))
    with pytest.raises(errors.NotFound):
        await find(filled, "Medication", compartment=("Patient", "a"))


async def test_list_search(filled):
    await put(
        filled,
        "List",
        "l",
        status="current",
        mode="working",
        entry=[{"item": {"reference": "Patient/b"}}],
    )
    assert ids((await find(filled, "Patient", ("_list", "l"))).matches) == ["Patient/b"]
    assert (await find(filled, "Patient", ("_list", "none"))).matches == []


# --- contained ------------------------------------------------------------------------------


@pytest.fixture
async def containing(ctx):
    def order(*drugs):
        return {
            "status": "active",
            "intent": "order",
            "subject": {"reference": "Patient/a"},
            "contained": [
                {"resourceType": "Medication", "id": f"m{n}", "code": {"text": drug}}
                for n, drug in enumerate(drugs)
            ],
            "medicationReference": {"reference": "#m0"},
            "supportingInformation": [{"reference": f"#m{n}"} for n in range(len(drugs))],
        }

    await put(ctx, "Medication", "own", code={"coding": [{"code": "x"}]})
    await put(ctx, "MedicationRequest", "1", **order("aspirin"))
    await put(ctx, "MedicationRequest", "2", **order("paracetamol", "aspirin", "aspirin"))
    await put(ctx, "MedicationRequest", "3", **order("paracetamol"))
    return ctx


ASPIRIN = ("code:text", "aspirin")


async def test_contained_resources_are_not_searched_unless_asked(containing):
    assert (await find(containing, "Medication", ASPIRIN)).matches == []


async def test_contained_search_gives_the_containers(containing):
    result = await find(
        containing, "Medication", ASPIRIN, ("_contained", "true"), ("_total", "accurate")
    )
    assert ids(result.matches) == ["MedicationRequest/1", "MedicationRequest/2"]
    assert result.total == 2


async def test_contained_search_can_give_the_contained(containing):
    result = await find(
        containing,
        "Medication",
        ASPIRIN,
        ("_contained", "true"),
        ("_containedType", "contained"),
    )
    assert ids(result.matches) == [
        "MedicationRequest/1#m0",
        "MedicationRequest/2#m1",
        "MedicationRequest/2#m2",
    ]
    assert b'"resourceType":"Medication"' in result.matches[0].content


@pytest.mark.parametrize("kind", ["container", "contained"])
@pytest.mark.parametrize("which", ["true", "both"])
@pytest.mark.parametrize("count", [1, 2, 3])
async def test_contained_search_pages(containing, kind, which, count):
    asked = [("_contained", which), ("_containedType", kind)]
    whole = ids((await find(containing, "Medication", *asked)).matches)
    assert len(whole) == {"container": 3, "contained": 5}[kind] + (which == "both")
    seen, cursor = [], None
    for _ in range(10):
        more = [("_cursor", cursor)] if cursor else []
        result = await find(containing, "Medication", *asked, ("_count", str(count)), *more)
        assert len(result.matches) <= count
        seen += ids(result.matches)
        cursor = result.next
        if cursor is None:
            break
    assert seen == whole


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("kind", ["container", "contained"])
@pytest.mark.parametrize("which", ["true", "both"])
async def test_pages_of_a_contained_search_give_each_match_once_whatever_is_written(
    ctx, monkeypatch, chunk, kind, which
):
    monkeypatch.setattr(contained, "_CHUNK", chunk)
    chance = random.Random(f"{chunk} {kind} {which}")

    async def order(n, *drugs):
        # Local ids stay with what they name, in whatever place it stands.
        await put(
            ctx,
            "MedicationRequest",
            f"r{n}",
            status="active",
            intent="order",
            subject={"reference": "Patient/a"},
            contained=[
                {"resourceType": "Medication", "id": f"m{drug}", "code": {"text": "aspirin"}}
                for drug in drugs
            ],
            medicationReference={"reference": f"#m{drugs[0]}"},
            supportingInformation=[{"reference": f"#m{drug}"} for drug in drugs],
        )

    for n in range(8):
        await order(n, 0, 1, 2)
        await put(ctx, "Medication", f"own{n}", code={"text": "aspirin"})
    gone = set()
    asked = [ASPIRIN, ("_contained", which), ("_containedType", kind), ("_count", "2")]
    seen, cursor = [], None
    while True:
        more = [("_cursor", cursor)] if cursor else []
        result = await find(ctx, "Medication", *asked, *more)
        seen += ids(result.matches)
        cursor = result.next
        if cursor is None:
            break
        n = chance.randrange(8)
        match chance.randrange(4):
            case 0 if len(gone) < 3:
                await delete(ctx, "MedicationRequest", f"r{n}")
                gone.add(f"MedicationRequest/r{n}")
            case 1:
                await order(8 + len(seen), 0, 1, 2)
            case _ if f"MedicationRequest/r{n}" not in gone:
                # One in front is new, the others move.
                await order(n, 3, 0, 1, 2)
            case _:
                pass
    assert len(seen) == len(set(seen))
    alive = [f"MedicationRequest/r{n}" for n in range(8)]
    alive = [one for one in alive if one not in gone]
    if kind == "contained":
        alive = [f"{one}#m{drug}" for one in alive for drug in range(3)]
    if which == "both":
        alive += [f"Medication/own{n}" for n in range(8)]
    assert set(alive) <= set(seen)


async def test_both_does_not_repeat_a_container_that_matches_itself(ctx):
    inner = {"resourceType": "Observation", "id": "i", **observation()}
    await put(
        ctx,
        "Observation",
        "1",
        **observation(contained=[inner], hasMember=[{"reference": "#i"}]),
    )
    result = await find(ctx, "Observation", ("_contained", "both"), ("_total", "accurate"))
    assert ids(result.matches) == ["Observation/1"]
    assert result.total == 1


@pytest.mark.parametrize(
    "parameter",
    [
        ("_sort", "code"),
        ("_id", "m0"),
        ("_lastUpdated", "gt2001"),
        ("ingredient:Medication.code", "x"),
        ("_list", "1"),
    ],
)
async def test_what_contained_search_cannot_answer_is_refused(containing, parameter):
    with pytest.raises(errors.NotSupported):
        await find(containing, "Medication", parameter, ("_contained", "true"))


@pytest.mark.parametrize(
    "cursor", ["~", "~x~", "nonsense", "~1", "~-1~", "~~~~nonsense", "~x~1~~", "~1~x~~", "~1~1~#~"]
)
async def test_foreign_cursor_of_a_contained_search_is_invalid(containing, cursor):
    with pytest.raises(errors.Invalid):
        await find(containing, "Medication", ("_contained", "true"), ("_cursor", cursor))


async def test_too_many_containers_to_count_are_refused(make_context, containing, monkeypatch):
    monkeypatch.setattr(contained, "_CHUNK", 1)
    ctx = make_context(containing.store._store, limits=Limits(estimate=2))
    with pytest.raises(errors.TooCostly):
        await find(ctx, "Medication", ASPIRIN, ("_contained", "true"), ("_total", "accurate"))


async def test_page_of_a_contained_search_ends_when_it_has_looked_enough(
    make_context, containing, monkeypatch
):
    monkeypatch.setattr(contained, "_CHUNK", 1)
    ctx = make_context(containing.store._store, limits=Limits(estimate=1))
    result = await find(ctx, "Medication", ASPIRIN, ("_contained", "true"))
    assert ids(result.matches) == ["MedicationRequest/1"]
    result = await find(
        ctx, "Medication", ASPIRIN, ("_contained", "true"), ("_cursor", result.next)
    )
    assert ids(result.matches) == ["MedicationRequest/2"]
