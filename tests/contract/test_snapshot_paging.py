"""Pages of a search stand as of the first one, whatever is written between and while they are
read (docs/decisions/0007-snapshot-paging.md)."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from fhirserver.access.store import PermittedStore
from fhirserver.conformance.registry import Registry
from fhirserver.errors import Invalid
from fhirserver.interaction import search_page
from fhirserver.interaction.context import Context
from fhirserver.interaction.search import search
from fhirserver.model.content import content
from fhirserver.model.json import decode
from fhirserver.model.version import Change, Page
from fhirserver.search.expression import Compare, Kind, Match
from fhirserver.search.index import Indexer

REGISTRY = Registry()
INDEXER = Indexer(REGISTRY)
SORTS = (
    "",
    "_lastUpdated",
    "-_lastUpdated",
    "_id",
    "-_id",
    "birthdate",
    "-birthdate",
    "family",
    "-family,birthdate",
    "birthdate,-_lastUpdated",
)
ONLY_FEMALE = Match("gender", Kind.TOKEN, Compare("code", "eq", "female"))


class Busy:
    """An engine that others write to right after each of its searches; `tells`: whether its pages
    say as of when they were read."""

    def __init__(self, store, tells=True):
        self.store, self.tells = store, tells
        self.write = None

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def search(self, query):
        page = await self.store.search(query)
        if self.write is not None:
            await self.write()
        return page if self.tells else Page(page.versions, page.next)


class World:
    """Patients that are written at random, and what is known of them."""

    def __init__(self, store, chance):
        self.store, self.chance = store, chance
        self.made = 0
        self.alive = set()
        self.writes = 0

    async def put(self, id):
        chance = self.chance
        patient = {
            "resourceType": "Patient",
            "id": id,
            "active": chance.random() < 0.7,
            "gender": "female" if int(id[1:]) % 3 else "male",
        }
        if chance.random() < 0.8:
            patient["birthDate"] = chance.choice(("1970", "1980-05", "1980-05-01", "2000-02-02"))
        if chance.random() < 0.8:
            patient["name"] = [{"family": chance.choice(("Abel", "Bé", "be", "Cato", "Dé"))}]
        entries = INDEXER.entries(patient)
        await self.store.commit([Change("PUT", "Patient", id, content(patient, id), entries)])
        self.alive.add(id)

    async def add(self):
        self.made += 1
        await self.put(f"p{self.made}")

    async def delete(self, id):
        await self.store.commit([Change("DELETE", "Patient", id, None)])
        self.alive.discard(id)

    async def write(self):
        for _ in range(self.chance.choice((0, 0, 1, 2, 5))):
            self.writes += 1
            id = f"p{self.chance.randint(1, self.made)}"
            match self.chance.randint(0, 9):
                case 0:
                    await self.add()
                case 1:
                    await self.delete(id)
                case _:
                    await self.put(id)


def context(engine, predicate=None):
    store = PermittedStore(engine)
    if predicate is not None:
        store = PermittedStore(engine, predicate, INDEXER.entries)
    return Context(
        store=store,
        registry=REGISTRY,
        indexer=INDEXER,
        validator=None,
        clock=lambda: datetime.now(UTC),
        new_id=lambda: "x",
    )


async def page_of(ctx, parameters, cursor=None):
    asked = [*parameters, ("_cursor", cursor)] if cursor else parameters
    return await search(ctx, ("Patient",), asked, strict=True)


async def walk(ctx, parameters, between):
    seen, cursor = [], None
    while True:
        page = await page_of(ctx, parameters, cursor)
        seen += page.matches
        cursor = page.next
        if cursor is None:
            return seen
        assert page.matches
        await between()


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("predicate", [None, ONLY_FEMALE])
@pytest.mark.parametrize("seed", range(4))
async def test_each_match_of_the_first_page_comes_once_and_in_its_order(
    store, engine, seed, predicate, tells
):
    chance = random.Random(f"{seed} {predicate} {tells}")
    busy = Busy(store, tells)
    world = World(store, chance)
    for _ in range(25):
        await world.add()
    for sort in SORTS if engine.NAME == "sqlite" else SORTS[seed::4]:
        parameters = [("active", "true"), *([("_sort", sort)] if sort else [])]
        # Sexes never change here, so what the predicate permits stays what it was.
        ctx = context(busy, predicate)
        busy.write = None
        whole = [v.id for v in (await page_of(ctx, [*parameters, ("_count", "1000")])).matches]
        dead = set()

        async def write(dead=dead):
            before = set(world.alive)
            await world.write()
            dead |= before - world.alive

        count = str(chance.choice((1, 2, 3, 7)))
        # Without a word of the engine as of when it read, nothing may be written in between
        # the reading of `whole` and that of the first page.
        busy.write = write if tells and engine.NAME == "sqlite" else None
        seen = await walk(ctx, [*parameters, ("_count", count)], write)
        ids = [version.id for version in seen]
        busy.write = None
        assert len(set(ids)) == len(ids), sort
        assert ids == [id for id in whole if id in set(ids)], sort
        assert set(whole) - set(ids) <= dead, sort
    assert world.writes > 10


async def test_a_changed_resource_comes_in_its_old_place_as_it_is_now(ticking):
    store = ticking
    world = World(store, random.Random(3))
    for _ in range(6):
        await world.add()
    ctx = context(store)
    parameters = [("_sort", "-_lastUpdated"), ("_count", "2")]
    first = await page_of(ctx, parameters)
    assert [v.id for v in first.matches] == ["p6", "p5"]
    await world.put("p3")
    await world.put("p6")
    await world.delete("p2")
    await world.add()
    second = await page_of(ctx, parameters, first.next)
    assert [v.id for v in second.matches] == ["p4", "p3"]
    assert second.matches[1].version == 2
    assert decode(second.matches[1].content)["meta"]["versionId"] == "2"
    third = await page_of(ctx, parameters, second.next)
    assert [v.id for v in third.matches] == ["p1"]
    assert third.next is None


async def test_what_is_hidden_now_does_not_come(store):
    world = World(store, random.Random(3))
    for _ in range(6):
        await world.add()
    ctx = context(store, ONLY_FEMALE)
    parameters = [("_sort", "_id"), ("_count", "1")]
    first = await page_of(ctx, parameters)
    assert [v.id for v in first.matches] == ["p1"]
    patient = {"resourceType": "Patient", "id": "p2", "gender": "male"}
    stored = content(patient, "p2")
    await store.commit([Change("PUT", "Patient", "p2", stored, INDEXER.entries(patient))])
    second = await page_of(ctx, parameters, first.next)
    assert [v.id for v in second.matches] == ["p4"]


async def test_after_very_many_changes_pages_go_on_by_keyset(store, monkeypatch):
    monkeypatch.setattr(search_page, "MOST_CHANGES", 3)
    world = World(store, random.Random(3))
    for _ in range(6):
        await world.add()
    ctx = context(store)
    parameters = [("_count", "2")]

    async def between():
        for id in ("p1", "p3", "p5", "p6"):
            await world.put(id)

    ids = [version.id for version in await walk(ctx, parameters, between)]
    assert ids == ["p1", "p2", "p3", "p4", "p5", "p6"]


async def test_pages_of_a_whole_compartment_stand_as_of_the_first(store):
    world = World(store, random.Random(3))
    await world.add()
    codes = {"coding": [{"system": "http://loinc.org", "code": "1-1"}]}

    async def put(type, id, **more):
        resource = {"resourceType": type, "id": id, "status": "final", "code": codes} | more
        change = Change("PUT", type, id, content(resource, id), INDEXER.entries(resource))
        await store.commit([change])

    subject = {"subject": {"reference": "Patient/p1"}}
    for number in (1, 2, 3):
        await put("Condition", f"c{number}", **subject)
        await put("Observation", f"o{number}", **subject)
    ctx = context(store)
    seen, cursor = [], None
    while True:
        asked = [("_count", "2"), *([("_cursor", cursor)] if cursor else [])]
        page = await search(ctx, (), asked, strict=True, compartment=("Patient", "p1"))
        seen += [version.id for version in page.matches]
        cursor = page.next
        if cursor is None:
            break
        if page.matches[-1].id == "c1":
            await put("Observation", "o2")  # leaves the compartment
            await put("Condition", "c2")
    expected = ["p1", "c1", "c2", "c3", "o1", "o2", "o3"]
    if ctx.store.capabilities and (await store.search(page.search.query)).seq:
        assert seen == expected
    else:
        assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: "9" + c,
        lambda c: c.replace("Patient", ""),
        lambda c: c[:-3],
        lambda c: c.rpartition("~")[0] + "~.abc",
        lambda c: "-" + c,
        lambda c: "~" * 5,
        lambda c: "99999999999999999999~~~~~x",
    ],
)
async def test_a_cursor_that_was_tampered_with_is_refused_or_harmless(store, change):
    world = World(store, random.Random(3))
    for _ in range(4):
        await world.add()
    ctx = context(store)
    first = await page_of(ctx, [("_count", "1")])
    try:
        page = await page_of(ctx, [("_count", "1")], change(first.next))
    except Invalid:
        return
    assert {version.type for version in page.matches} <= {"Patient"}


async def test_a_cursor_of_another_search_is_refused(store):
    world = World(store, random.Random(3))
    for _ in range(4):
        await world.add()
    ctx = context(store)
    first = await page_of(ctx, [("_count", "1")])
    with pytest.raises(Invalid):
        await page_of(ctx, [("_count", "1"), ("_sort", "_id")], first.next)
