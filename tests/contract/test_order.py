"""The order of results and the paging through them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from resources import commit, delete, ids, post, put, walk

from fhirserver.search.entries import (
    DateEntry,
    NumberEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TokenEntry,
    UriEntry,
)
from fhirserver.search.expression import (
    AnyOf,
    Compare,
    Everything,
    Identity,
    Kind,
    Match,
    Not,
    Query,
    Sort,
)
from fhirserver.storage.interface import InvalidCursor


def resources(entry) -> dict[str, list]:
    """Values 1..4; m has several, the z have none or only a presence."""
    return {
        "z1": [],
        "c": [entry(3)],
        "a": [entry(1)],
        "m": [entry(4), entry(2)],
        "b": [entry(3)],
        "z2": [entry(None)],
    }


def _quantity(n):
    return QuantityEntry("x", *((None,) * 5 if n is None else (n, n + 10, "s", "c", "u")))


KINDS = {
    Kind.STRING: lambda n: StringEntry("x", n and f"s{n}", n and f"{9 - n}"),
    Kind.TOKEN: lambda n: TokenEntry("x", n and f"{9 - n}", n and f"c{n}"),
    Kind.REFERENCE: lambda n: ReferenceEntry("x", n and "Patient", n and f"i{n}"),
    Kind.DATE: lambda n: DateEntry("x", n, n and n + 10),
    Kind.NUMBER: lambda n: NumberEntry("x", n, n and n + 10),
    Kind.QUANTITY: _quantity,
    Kind.URI: lambda n: UriEntry("x", n and f"u{n}"),
}


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("kind", KINDS)
async def test_smallest_value_ascending_largest_descending_missing_last(store, kind, count):
    for id, entries in resources(KINDS[kind]).items():
        await commit(store, post("Patient", id, entries))
    for descending, expected in ((False, "a m c b z1 z2"), (True, "m c b a z1 z2")):
        query = Query(("Patient",), sort=(Sort("x", kind, descending),), count=count)
        assert " ".join(v.id for v in await walk(store, query)) == expected


async def test_open_ends_sort_before_and_after_all_numbers(store):
    for id, low, high in (("a", 0.0, 1.0), ("b", float("-inf"), 5.0), ("c", 3.0, float("inf"))):
        await commit(store, post("Patient", id, [NumberEntry("x", low, high)]))
    query = Query(("Patient",), sort=(Sort("x", Kind.NUMBER),), count=1)
    assert [v.id for v in await walk(store, query)] == ["b", "a", "c"]
    query = replace(query, sort=(Sort("x", Kind.NUMBER, True),))
    assert [v.id for v in await walk(store, query)] == ["c", "b", "a"]


@pytest.mark.parametrize("count", [1, 2, 20])
async def test_sort_by_id_and_last_change(ticking, count):
    for id in ("b", "a", "C", "10", "9"):
        await commit(ticking, post("Patient", id))
    await commit(ticking, put("Patient", "a"))

    async def sorted_by(param, descending):
        kind = Kind.TOKEN if param == "_id" else Kind.DATE
        query = Query(("Patient",), sort=(Sort(param, kind, descending),), count=count)
        return " ".join(v.id for v in await walk(ticking, query))

    assert await sorted_by("_id", False) == "10 9 C a b"
    assert await sorted_by("_id", True) == "b a C 9 10"
    assert await sorted_by("_lastUpdated", False) == "b C 10 9 a"
    assert await sorted_by("_lastUpdated", True) == "a 9 10 C b"


@pytest.mark.parametrize("count", [1, 2, 3, 20])
async def test_several_sort_keys(store, count):
    people = [
        ("1", "b", 2),
        ("2", "a", 1),
        ("3", "b", None),
        ("4", None, 3),
        ("5", "a", 2),
        ("6", "b", 2),
        ("7", None, None),
    ]
    for id, name, day in people:
        entries = [StringEntry("name", name, name)] if name else []
        entries += [DateEntry("date", day, day + 1)] if day else []
        await commit(store, post("Patient", id, entries))
    name, date = Sort("name", Kind.STRING), Sort("date", Kind.DATE)
    down = Sort("date", Kind.DATE, True)
    for sort, expected in (
        ((name, date), "2 5 1 6 3 4 7"),
        ((name, down), "5 2 1 6 3 4 7"),
        ((date, name), "2 5 1 6 4 3 7"),
        ((replace(name, descending=True), down), "1 6 3 5 2 4 7"),
        ((name, Sort("_id", Kind.TOKEN, True)), "5 2 6 3 1 7 4"),
        ((Sort("nothing", Kind.TOKEN), name), "2 5 1 3 6 4 7"),
    ):
        query = Query(("Patient",), sort=sort, count=count)
        assert " ".join(v.id for v in await walk(store, query)) == expected
        some = replace(query, where=AnyOf((Match("date", Kind.DATE, Compare("low", "lt", 3)),)))
        kept = [id for id in expected.split() if id in "1256"]
        assert [v.id for v in await walk(store, some)] == kept


@pytest.mark.parametrize("count", [1, 2, 20])
async def test_order_over_several_types(ticking, count):
    for type, id, name in (
        ("Patient", "1", "b"),
        ("Group", "2", "a"),
        ("Patient", "3", "a"),
        ("Location", "4", None),
        ("Group", "5", "b"),
    ):
        await commit(ticking, post(type, id, [StringEntry("name", name, name)] if name else []))

    async def walked(sort, types=()):
        return " ".join(v.id for v in await walk(ticking, Query(types, sort=sort, count=count)))

    assert await walked(()) == "1 2 3 4 5"
    assert await walked((Sort("name", Kind.STRING),)) == "2 3 1 5 4"
    assert await walked((Sort("name", Kind.STRING, True),)) == "1 5 2 3 4"
    assert await walked((Sort("name", Kind.STRING),), ("Group", "Location")) == "2 5 4"
    assert await walked((Sort("_lastUpdated", Kind.DATE, True),)) == "5 4 3 2 1"


async def test_without_sort_the_order_is_that_of_creation(store):
    for id in ("z", "a", "m"):
        await commit(store, post("Patient", id))
    await commit(store, put("Patient", "z"))
    await commit(store, delete("Patient", "a"))
    await commit(store, put("Patient", "a"))
    assert await ids(store, Query(("Patient",))) == ["z", "a", "m"]


async def test_a_full_last_page_has_no_next(store):
    for id in "abcd":
        await commit(store, post("Patient", id))
    first = await store.search(Query(("Patient",), count=2))
    assert first.next is not None
    second = await store.search(Query(("Patient",), count=2, after=first.next))
    assert [v.id for v in second.versions] == ["c", "d"]
    assert second.next is None


async def test_count_zero_selects_nothing(store):
    await commit(store, post("Patient", "1"))
    page = await store.search(Query(("Patient",), count=0))
    assert (page.versions, page.next) == ([], None)


SORTS = [
    (),
    (Sort("name", Kind.STRING),),
    (Sort("name", Kind.STRING, True),),
    (Sort("name", Kind.STRING), Sort("_id", Kind.TOKEN)),
    (Sort("_lastUpdated", Kind.DATE),),
]


@pytest.mark.parametrize(
    "where", [Everything(), Not(Match("no", Kind.URI, Compare("value", "eq", "")))]
)
@pytest.mark.parametrize("sort", SORTS)
async def test_what_was_there_appears_exactly_once_whatever_is_written(store, sort, where):
    """Ties in the sort key, with insertions and deletions before, at and after the cursor."""
    names = ["a", "b", "b", "b", None]
    for n in range(40):
        name = names[n % 5]
        entries = [StringEntry("name", name, name)] if name else []
        await commit(store, post("Patient", f"old-{n}", entries))
    query = Query(("Patient",), where, sort, count=4)
    seen, step = [], 0
    while True:
        page = await store.search(query)
        seen += [v.id for v in page.versions]
        if page.next is None:
            break
        for name in ("", "a", "b", "c"):
            step += 1
            entry = [StringEntry("name", name, name)]
            await commit(store, post("Patient", f"new-{step}", entry))
        await commit(store, delete("Patient", f"new-{step - 2}"))
        query = replace(query, after=page.next)
        assert step < 400
    old = [id for id in seen if id.startswith("old")]
    assert len(old) == len(set(old)) == 40
    assert len(seen) == len(set(seen))


async def test_paging_beside_a_busy_writer(store):
    await store.commit_many([([post("Patient", f"old-{n}")], []) for n in range(200)])
    stop = asyncio.Event()

    async def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            await commit(store, post("Patient", f"new-{n}"))

    writer = asyncio.create_task(write())
    query = Query(("Patient",), sort=(Sort("_id", Kind.TOKEN, True),), count=7)
    found = [v.id for v in await walk(store, query)]
    stop.set()
    await writer
    old = [id for id in found if id.startswith("old")]
    assert len(old) == len(set(old)) == 200
    assert old == sorted(old, reverse=True)


async def a_cursor(store) -> str:
    for id in "abcd":
        await commit(store, post("Patient", id, [StringEntry("name", id, id)]))
    page = await store.search(Query(("Patient",), sort=(Sort("name", Kind.STRING),), count=1))
    assert page.next is not None
    return page.next


async def test_a_cursor_of_another_search_is_invalid(store):
    after = await a_cursor(store)
    name = Sort("name", Kind.STRING)
    same = Query(("Patient",), sort=(name,), count=3, after=after)
    assert await ids(store, same) == ["b", "c", "d"]
    for other in (
        replace(same, types=("Group",)),
        replace(same, types=()),
        replace(same, sort=()),
        replace(same, sort=(replace(name, descending=True),)),
        replace(same, sort=(name, Sort("_id", Kind.TOKEN))),
        replace(same, where=Match("name", Kind.STRING, Compare("folded", "eq", "a"))),
    ):
        with pytest.raises(InvalidCursor):
            await store.search(other)


async def test_the_value_sought_belongs_to_the_search_of_a_cursor(store):
    for n in range(4):
        await commit(store, post("Patient", str(n), [TokenEntry("code", "", "a")]))
    query = Query(("Patient",), Match("code", Kind.TOKEN, Compare("code", "eq", "a")), count=1)
    page = await store.search(query)
    other = Match("code", Kind.TOKEN, Compare("code", "eq", "b"))
    with pytest.raises(InvalidCursor):
        await store.search(replace(query, where=other, after=page.next))


@pytest.mark.parametrize("after", ["", "x", "AAAA", "é", "W10", "bnVsbA", "x" * 100_000, "W10="])
async def test_a_cursor_that_was_never_given_is_invalid(store, after):
    await a_cursor(store)
    with pytest.raises(InvalidCursor):
        await store.search(Query(("Patient",), after=after))


async def test_a_damaged_cursor_is_invalid_or_harmless(store):
    after = await a_cursor(store)
    query = Query(("Patient",), sort=(Sort("name", Kind.STRING),), count=2)
    for place in range(0, len(after), 3):
        damaged = after[:place] + ("A" if after[place] != "A" else "B") + after[place + 1 :]
        try:
            page = await store.search(replace(query, after=damaged))
        except InvalidCursor:
            continue
        assert len(page.versions) <= 2


async def test_a_cursor_still_holds_in_another_store(engine, store):
    after = await a_cursor(store)
    other = await engine.again(store)
    try:
        query = Query(("Patient",), sort=(Sort("name", Kind.STRING),), after=after)
        assert await ids(other, query) == ["b", "c", "d"]
    finally:
        await other.close()


async def test_paging_through_one_of_many_alternatives(store):
    for n in range(60):
        await commit(store, post("Patient", str(n), [TokenEntry("code", "", f"c{n}")]))
    many = tuple(f"c{n}" for n in range(0, 200, 2))
    for where in (
        Match("code", Kind.TOKEN, Compare("code", "in", many)),
        Identity(tuple(str(n) for n in range(0, 200, 2))),
    ):
        query = Query(("Patient",), where, count=7)
        assert [int(v.id) for v in await walk(store, query)] == list(range(0, 60, 2))
        page = await store.search(query)
        other = Match("code", Kind.TOKEN, Compare("code", "in", many[1:]))
        with pytest.raises(InvalidCursor):
            await store.search(replace(query, where=other, after=page.next))
