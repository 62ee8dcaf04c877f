"""What a predicate hides is hidden in every method of the permitted store."""

from __future__ import annotations

import pytest
from memory_store import MemoryStore

from fhirserver.access.store import PermittedStore, SelectionChanged, Selects, VersionConflict
from fhirserver.errors import Forbidden, NotFound
from fhirserver.model.content import content
from fhirserver.model.version import ABSENT, ANY, Change, HistorySelection
from fhirserver.search.entries import ReferenceEntry, TokenEntry
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Chain,
    Compare,
    Everything,
    Has,
    Identity,
    Kind,
    Match,
    Not,
    Nothing,
    OfType,
    Query,
)


def entries(resource):
    found = [TokenEntry("_tag", "", tag["code"]) for tag in resource["meta"].get("tag", [])]
    if "subject" in resource:
        type, id = resource["subject"]["reference"].split("/")
        found.append(ReferenceEntry("subject", type, id))
    return found


def put(type, id, tag="open", expect=ANY, **elements):
    resource = {"resourceType": type, "id": id, "meta": {"tag": [{"code": tag}]}, **elements}
    return Change("PUT", type, id, content(resource, id), entries(resource), expect)


def remove(type, id, expect=ANY):
    return Change("DELETE", type, id, None, (), expect)


def tagged(code):
    return Match("_tag", Kind.TOKEN, Compare("code", "eq", code))


OPEN = tagged("open")


@pytest.fixture
async def engine():
    store = MemoryStore()
    await store.commit([put("Patient", "a")])
    await store.commit([put("Patient", "b", "secret")])
    await store.commit([put("Observation", "of-a", subject={"reference": "Patient/a"})])
    await store.commit([put("Observation", "of-b", subject={"reference": "Patient/b"})])
    await store.commit([put("Observation", "x", "secret", subject={"reference": "Patient/a"})])
    return store


@pytest.fixture
def permitted(engine):
    return PermittedStore(engine, OPEN, entries)


def ids(page):
    return [version.id for version in page.versions]


async def test_open_mode_is_the_engine_itself(engine):
    store = PermittedStore(engine)
    assert (await store.read("Patient", "b")).id == "b"
    assert await store.count(Query(())) == 5


def test_a_predicate_without_a_way_to_judge_is_refused(engine):
    with pytest.raises(TypeError):
        PermittedStore(engine, OPEN)


async def test_nothing_permits_nothing(engine):
    store = PermittedStore(engine, Nothing(), entries)
    assert await store.read("Patient", "a") is None
    assert ids(await store.search(Query(()))) == []
    with pytest.raises(Forbidden):
        await store.commit([put("Patient", "new")])


async def test_read_of_hidden_resource_is_that_of_an_unknown_one(permitted):
    assert (await permitted.read("Patient", "a")).id == "a"
    assert await permitted.read("Patient", "b") is None
    assert await permitted.read("Patient", "never") is None


async def test_vread_judges_the_version_and_the_current_one(engine, permitted):
    await engine.commit([put("Patient", "a", "secret")])
    assert await permitted.vread("Patient", "a", 1) is None  # current one is hidden
    await engine.commit([put("Patient", "a")])
    assert (await permitted.vread("Patient", "a", 1)).version == 1
    assert await permitted.vread("Patient", "a", 2) is None
    assert (await permitted.vread("Patient", "a", 3)).version == 3


async def test_deletion_shows_when_what_was_deleted_did(engine, permitted):
    await engine.commit([remove("Patient", "a")])
    await engine.commit([remove("Patient", "b")])
    assert (await permitted.read("Patient", "a")).deleted
    assert await permitted.read("Patient", "b") is None


async def test_read_many_leaves_out_hidden(permitted):
    found = await permitted.read_many(
        [("Patient", "a"), ("Patient", "b"), ("Observation", "x"), ("Observation", "of-a")]
    )
    assert {(v.type, v.id) for v in found} == {("Patient", "a"), ("Observation", "of-a")}


async def test_read_many_keeps_type_and_id_together(engine, permitted):
    await engine.commit([put("Group", "of-a")])
    found = await permitted.read_many([("Patient", "a"), ("Observation", "of-a")])
    assert {(v.type, v.id) for v in found} == {("Patient", "a"), ("Observation", "of-a")}


async def test_search_and_count_see_only_the_permitted(permitted):
    assert ids(await permitted.search(Query(("Observation",)))) == ["of-a", "of-b"]
    assert await permitted.count(Query(("Observation",))) == 2


async def test_negation_does_not_reach_the_hidden(permitted):
    query = Query(("Patient",), Not(Identity(("a",))))
    assert ids(await permitted.search(query)) == []


async def test_page_is_full_of_permitted_matches(engine, permitted):
    for n in range(6):
        await engine.commit([put("Group", f"g{n}", "secret" if n % 2 else "open")])
    page = await permitted.search(Query(("Group",), count=2))
    assert ids(page) == ["g0", "g2"]
    page = await permitted.search(Query(("Group",), count=2, after=page.next))
    assert ids(page) == ["g4"]
    assert page.next is None


async def test_chain_does_not_reveal_a_hidden_target(permitted):
    query = Query(("Observation",), Chain("subject", ("Patient",), Everything()))
    assert ids(await permitted.search(query)) == ["of-a"]


async def test_has_does_not_reveal_a_hidden_source(engine, permitted):
    await engine.commit([remove("Observation", "of-a")])
    query = Query(("Patient",), Has("Observation", "subject", Everything()))
    assert ids(await permitted.search(query)) == []  # only x points there, and it is hidden


async def test_nested_chain_in_has_is_bound_too(permitted):
    inner = Chain("subject", ("Patient",), Identity(("b",)))
    query = Query(("Patient",), AnyOf((Has("Observation", "subject", inner), Nothing())))
    assert ids(await permitted.search(query)) == []


async def test_history_leaves_out_hidden_versions_and_fills_its_pages(engine, permitted):
    for tag in ("secret", "open", "secret", "open"):
        await engine.commit([put("Patient", "a", tag)])
    selection = HistorySelection("Patient", "a", count=2)
    page = await permitted.history(selection)
    assert [v.version for v in page.versions] == [5, 3]
    assert await permitted.history_count(selection) == 3
    page = await permitted.history(HistorySelection("Patient", "a", count=2, after=page.next))
    assert [v.version for v in page.versions] == [1]


async def test_history_of_a_resource_now_hidden_is_empty(engine, permitted):
    await engine.commit([put("Patient", "a", "secret")])
    assert (await permitted.history(HistorySelection("Patient", "a"))).versions == []
    assert await permitted.history_count(HistorySelection("Patient", "a")) == 0


async def test_changes_leave_out_the_hidden(permitted):
    seen = [v.id async for v in permitted.changes(0)]
    assert seen == ["a", "of-a", "of-b"]


async def test_commit_needs_a_permitted_after_image(engine, permitted):
    with pytest.raises(Forbidden):
        await permitted.commit([put("Patient", "a", "secret")])
    assert (await engine.read("Patient", "a")).version == 1
    assert [v.version for v in await permitted.commit([put("Patient", "a")])] == [2]


async def test_commit_over_a_hidden_before_image_is_not_found(engine, permitted):
    with pytest.raises(NotFound):
        await permitted.commit([put("Patient", "b")])
    assert (await engine.read("Patient", "b")).version == 1


async def test_deletion_of_hidden_resource_answers_like_that_of_an_unknown(engine, permitted):
    hidden, unknown = await permitted.commit([remove("Patient", "b"), remove("Patient", "none")])
    assert hidden.version == unknown.version == 0
    assert hidden.deleted
    assert not (await engine.read("Patient", "b")).deleted


async def test_skipped_deletion_keeps_the_order_of_answers(permitted):
    made = await permitted.commit(
        [put("Patient", "n1"), remove("Patient", "b"), put("Patient", "n2")]
    )
    assert [v.id for v in made] == ["n1", "b", "n2"]


async def test_if_match_on_hidden_is_that_of_an_unknown_one(permitted):
    for id in ("b", "none"):
        with pytest.raises(VersionConflict) as conflict:
            await permitted.commit([put("Patient", id, expect=1)])
        assert conflict.value.current == 0


async def test_absent_is_judged_before_content(permitted):
    with pytest.raises(VersionConflict):
        await permitted.commit([put("Patient", "a", "secret", expect=ABSENT)])


async def test_commit_does_not_overwrite_what_was_hidden_meanwhile(engine):
    permitted = PermittedStore(engine, OPEN, entries)
    original = engine.commit

    async def late(changes, selects=(), log=()):
        engine.commit = original
        await original([put("Patient", "a", "secret")])
        return await original(changes, selects)

    engine.commit = late
    with pytest.raises(VersionConflict):
        await permitted.commit([put("Patient", "a")])
    assert (await engine.read("Patient", "a")).version == 2


async def test_precondition_counts_only_what_the_caller_sees(permitted):
    query = Query(("Patient",), Identity(("b",)))
    (made,) = await permitted.commit([put("Patient", "n")], [Selects(query, frozenset())])
    assert made.version == 1
    visible = Query(("Patient",), Identity(("a",)))
    with pytest.raises(SelectionChanged):
        await permitted.commit([put("Patient", "m")], [Selects(visible, frozenset())])


async def test_one_refused_unit_does_not_hinder_another(permitted):
    refused, made = await permitted.commit_many(
        [([put("Patient", "p", "secret")], ()), ([put("Patient", "q")], ())]
    )
    assert isinstance(refused, Forbidden)
    assert made[0].id == "q"


async def test_server_work_is_forbidden_to_a_bound_caller(permitted):
    with pytest.raises(Forbidden):
        await permitted.reindex("Patient", None, 10)
    with pytest.raises(Forbidden):
        await permitted.replace_entries([])
    with pytest.raises(Forbidden):
        await permitted.get_state("x")
    with pytest.raises(Forbidden):
        await permitted.set_state("x", b"")


async def test_predicate_can_reach_other_resources(engine):
    of_open_patient = AnyOf(
        (
            All((OfType(("Patient",)), OPEN)),
            All((OfType(("Observation",)), Chain("subject", ("Patient",), OPEN))),
        )
    )
    store = PermittedStore(engine, of_open_patient, entries)
    assert (await store.read("Observation", "x")).id == "x"
    assert await store.read("Observation", "of-b") is None
    (made,) = await store.commit([put("Observation", "n", subject={"reference": "Patient/a"})])
    assert made.version == 1
    with pytest.raises(Forbidden):
        await store.commit([put("Observation", "m", subject={"reference": "Patient/b"})])


async def test_predicate_can_ask_what_points_to_the_resource(engine):
    observed = Has("Observation", "subject", tagged("secret"))
    store = PermittedStore(engine, observed, entries)
    assert (await store.read("Patient", "a")).id == "a"
    assert await store.read("Patient", "b") is None
    not_observed = PermittedStore(engine, Not(observed), entries)
    assert await not_observed.read("Patient", "a") is None
    assert (await not_observed.read("Patient", "b")).id == "b"


async def test_has_in_a_predicate_looks_at_type_and_id(engine):
    await engine.commit([put("Group", "a")])
    pointing = Match("subject", Kind.REFERENCE, Both((Compare("type", "eq", "Patient"),)))
    store = PermittedStore(engine, Has("Observation", "subject", pointing), entries)
    assert await store.read("Group", "a") is None
    assert (await store.read("Patient", "a")).id == "a"
