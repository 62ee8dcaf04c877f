"""Every node and comparison of the search expression, on resources made for it."""

from __future__ import annotations

from math import inf

import pytest
from resources import commit, delete, ids, post, put

from fhirserver.search.entries import (
    CompositeEntry,
    DateEntry,
    NumberEntry,
    PositionEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TokenEntry,
    UriEntry,
    WordEntry,
)
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Chain,
    Compare,
    CompositeMatch,
    Either,
    Everything,
    Has,
    Identity,
    Kind,
    Match,
    Not,
    Nothing,
    OfType,
    Present,
    Query,
    Updated,
    Within,
)

BIG = 2**62 + 1


def match(param: str, kind: Kind, field: str, op: str, value) -> Match:
    return Match(param, kind, Compare(field, op, value))


async def found(store, where, types=("Patient",)) -> str:
    """The ids selected, in order, and at once checks the counts."""
    query = Query(types, where, count=100)
    selected = await ids(store, query)
    assert await store.count(query) == len(selected)
    assert await store.count(query, 1) == min(1, len(selected))
    return " ".join(selected)


ENTRIES = {
    "a": [
        StringEntry("name", "eve", "Eve"),
        StringEntry("name", "adam", "Adam"),
        TokenEntry("code", "urn:x", "1"),
        TokenEntry("code", "urn:y", "2"),
        ReferenceEntry("link", "Patient", "b"),
        DateEntry("date", 100, 200),
        NumberEntry("num", 1.0, 2.0),
        QuantityEntry("val", 1.0, 2.0, "ucum", "mg", "mg"),
        UriEntry("url", "http://x/a"),
        PositionEntry("near", 48.8566, 2.3522),
        WordEntry("_text", "fever"),
        WordEntry("_text", "cough"),
        WordEntry("_content", "pain"),
    ],
    "b": [
        StringEntry("name", "evelyn", "Évelyn"),
        TokenEntry("code", "urn:x", "2"),
        TokenEntry("code", "urn:y", "1"),
        ReferenceEntry("link", "Group", "b"),
        ReferenceEntry("link", "", "http://elsewhere/Patient/b"),
        DateEntry("date", 150, BIG),
        NumberEntry("num", -inf, 0.5),
        QuantityEntry("val", 1.0, 2.0, "", "", "mg"),
        UriEntry("url", "http://x/a/b"),
        PositionEntry("near", 43.6047, 1.4442),
        WordEntry("_text", "feverish"),
    ],
    "c": [
        StringEntry("name", "eve%", "EVE%"),
        TokenEntry("code", "", "1"),
        ReferenceEntry("link", "Patient", "a"),
        DateEntry("date", -(2**60), 100),
        NumberEntry("num", 3.0, inf),
        QuantityEntry("val", 5.0, 5.0, "ucum", "g", "g"),
        UriEntry("url", "urn:uuid:1"),
        PositionEntry("near", -90.0, 180.0),
        WordEntry("_content", "fever"),
    ],
    "d": [
        StringEntry("name", None, None),
        TokenEntry("code", None, None),
        ReferenceEntry("link", None, None),
        DateEntry("date", None, None),
        NumberEntry("num", None, None),
        QuantityEntry("val", None, None, None, None, None),
        UriEntry("url", None),
        PositionEntry("near", None, None),
        WordEntry("_text", None),
    ],
    "e": [],
}


@pytest.fixture
async def five(store):
    for id, entries in ENTRIES.items():
        await commit(store, post("Patient", id, entries))
    return store


S, T, R, D, N = Kind.STRING, Kind.TOKEN, Kind.REFERENCE, Kind.DATE, Kind.NUMBER
Q, U, P, W = Kind.QUANTITY, Kind.URI, Kind.POSITION, Kind.WORD

COMPARISONS = [
    ("name", S, "folded", "eq", "eve", "a"),
    ("name", S, "folded", "starts", "eve", "a b c"),
    ("name", S, "folded", "starts", "", "a b c"),
    ("name", S, "folded", "starts", "eve%", "c"),
    ("name", S, "folded", "starts", "%", ""),
    ("name", S, "folded", "contains", "ve", "a b c"),
    ("name", S, "folded", "contains", "%", "c"),
    ("name", S, "folded", "contains", "_", ""),
    ("name", S, "folded", "in", ("adam", "evelyn"), "a b"),
    ("name", S, "folded", "in", (), ""),
    ("name", S, "folded", "lt", "eve", "a"),
    ("name", S, "folded", "le", "eve", "a"),
    ("name", S, "folded", "gt", "eve", "b c"),
    ("name", S, "folded", "ge", "eve", "a b c"),
    ("name", S, "text", "eq", "Eve", "a"),
    ("name", S, "text", "eq", "eve", ""),
    ("name", S, "text", "eq", "Évelyn", "b"),
    ("name", S, "text", "starts", "EVE", "c"),
    ("code", T, "code", "eq", "1", "a b c"),
    ("code", T, "system", "eq", "urn:x", "a b"),
    ("code", T, "system", "eq", "", "c"),
    ("code", T, "system", "eq", "urn:unknown", ""),
    ("code", T, "system", "in", ("urn:x", "urn:y", "urn:z"), "a b"),
    ("code", T, "system", "starts", "urn:", "a b"),
    ("code", T, "system", "lt", "urn:y", "a b c"),
    ("code", T, "code", "in", ("2", "3"), "a b"),
    ("code", T, "code", "in", tuple(str(n) for n in range(2, 60)), "a b"),
    ("link", R, "id", "eq", "b", "a b"),
    ("link", R, "type", "eq", "Patient", "a c"),
    ("link", R, "type", "eq", "", "b"),
    ("link", R, "id", "eq", "http://elsewhere/Patient/b", "b"),
    ("date", D, "low", "eq", 100, "a"),
    ("date", D, "low", "lt", 150, "a c"),
    ("date", D, "low", "le", 150, "a b c"),
    ("date", D, "high", "gt", 200, "b"),
    ("date", D, "high", "ge", 200, "a b"),
    ("date", D, "high", "eq", BIG, "b"),
    ("date", D, "high", "eq", BIG - 1, ""),
    ("date", D, "high", "lt", 10**40, "a b c"),
    ("date", D, "high", "gt", -(10**40), "a b c"),
    ("date", D, "low", "in", (100, 150), "a b"),
    ("date", D, "low", "in", tuple(range(0, 200, 2)), "a b"),
    ("num", N, "low", "in", (*(n / 2 for n in range(40)), inf), "a c"),
    ("num", N, "low", "eq", 1, "a"),
    ("num", N, "low", "eq", -inf, "b"),
    ("num", N, "high", "eq", inf, "c"),
    ("num", N, "high", "ge", 1e308, "c"),
    ("num", N, "low", "lt", 1.0, "b"),
    ("num", N, "low", "le", 1.0, "a b"),
    ("num", N, "high", "gt", 0.5, "a c"),
    ("val", Q, "low", "eq", 1.0, "a b"),
    ("val", Q, "code", "eq", "mg", "a"),
    ("val", Q, "unit", "eq", "mg", "a b"),
    ("val", Q, "system", "eq", "", "b"),
    ("val", Q, "unit", "in", ("g", "kg"), "c"),
    ("val", Q, "high", "gt", 2.0, "c"),
    ("url", U, "value", "eq", "http://x/a", "a"),
    ("url", U, "value", "starts", "http://x/a", "a b"),
    ("url", U, "value", "in", ("urn:uuid:1", "http://x/a/b"), "b c"),
    ("url", U, "value", "contains", "/a", "a b"),
    ("near", P, "latitude", "gt", 0.0, "a b"),
    ("near", P, "longitude", "eq", 180.0, "c"),
    ("_text", W, "word", "eq", "fever", "a"),
    ("_text", W, "word", "starts", "fever", "a b"),
    ("_text", W, "word", "starts", "", "a b"),
    ("_text", W, "word", "contains", "eve", "a b"),
    ("_text", W, "word", "in", ("cough", "feverish"), "a b"),
    ("_text", W, "word", "in", (), ""),
    ("_text", W, "word", "gt", "fever", "b"),
    ("_text", W, "word", "le", "fever", "a"),
    ("_text", W, "word", "eq", "pain", ""),
    ("_content", W, "word", "eq", "fever", "c"),
    ("name", T, "code", "eq", "eve", ""),
    ("unknown", T, "code", "eq", "1", ""),
    ("unknown", W, "word", "eq", "fever", ""),
]


@pytest.mark.parametrize(("param", "kind", "field", "op", "value", "expected"), COMPARISONS)
async def test_comparison_of_an_entry(five, param, kind, field, op, value, expected):
    where = match(param, kind, field, op, value)
    assert await found(five, where) == expected
    rest = " ".join(id for id in "abcde" if id not in expected.split())
    assert await found(five, Not(where)) == rest


async def test_both_holds_on_one_entry_only(five):
    same = Both((Compare("system", "eq", "urn:x"), Compare("code", "eq", "1")))
    assert await found(five, Match("code", T, same)) == "a"
    apart = All(
        (
            match("code", T, "system", "eq", "urn:x"),
            match("code", T, "code", "eq", "1"),
        )
    )
    assert await found(five, apart) == "a b"


async def test_either_and_empty_tests(five):
    either = Either((Compare("code", "eq", "1"), Compare("system", "eq", "urn:y")))
    assert await found(five, Match("code", T, either)) == "a b c"
    assert await found(five, Match("code", T, Either(()))) == ""
    assert await found(five, Match("code", T, Both(()))) == "a b c d"
    assert await found(five, Match("_text", W, Both(()))) == "a b d"
    assert await found(five, Match("_text", W, Either(()))) == ""


async def test_words_pass_both_on_one_word(five):
    both = Both((Compare("word", "starts", "f"), Compare("word", "contains", "ish")))
    assert await found(five, Match("_text", W, both)) == "b"
    either = Either((Compare("word", "eq", "cough"), Compare("word", "contains", "ish")))
    assert await found(five, Match("_text", W, either)) == "a b"


@pytest.mark.parametrize(
    ("param", "kind", "expected"),
    [
        ("name", S, "a b c d"),
        ("code", T, "a b c d"),
        ("link", R, "a b c d"),
        ("date", D, "a b c d"),
        ("num", N, "a b c d"),
        ("val", Q, "a b c d"),
        ("url", U, "a b c d"),
        ("near", P, "a b c d"),
        ("_text", W, "a b d"),
        ("_content", W, "a c"),
        ("unknown", T, ""),
    ],
)
async def test_presence_counts_values_that_cannot_be_searched(five, param, kind, expected):
    assert await found(five, Present(param, kind)) == expected
    rest = " ".join(id for id in "abcde" if id not in expected.split())
    assert await found(five, Not(Present(param, kind))) == rest


async def test_constants_and_their_combinations(five):
    everyone = "a b c d e"
    assert await found(five, Everything()) == everyone
    assert await found(five, Nothing()) == ""
    assert await found(five, All(())) == everyone
    assert await found(five, AnyOf(())) == ""
    assert await found(five, Not(Nothing())) == everyone
    assert await found(five, Not(Not(Everything()))) == everyone
    assert await found(five, All((Everything(), Nothing()))) == ""
    assert await found(five, AnyOf((Nothing(), Everything()))) == everyone
    assert await found(five, OfType(("Patient",))) == everyone
    assert await found(five, OfType(("Group",))) == ""
    assert await found(five, OfType(())) == ""
    assert await found(five, Not(OfType(("Group", "Unknown")))) == everyone


async def test_alternatives_and_exclusions(five):
    one, two = match("code", T, "code", "eq", "1"), match("name", S, "folded", "eq", "evelyn")
    assert await found(five, AnyOf((two, one))) == "a b c"
    assert await found(five, AnyOf((two, Identity(("e", "a", "zzz"))))) == "a b e"
    assert await found(five, All((one, Not(two)))) == "a c"
    assert await found(five, Not(AnyOf((one, two)))) == "d e"
    assert await found(five, AnyOf((Not(one), two))) == "b d e"
    assert await found(five, All((Not(one), Not(two), Present("name", S)))) == "d"


async def test_identity(five):
    assert await found(five, Identity(("e", "a"))) == "a e"
    assert await found(five, Identity(())) == ""
    assert await found(five, Not(Identity(("e", "a")))) == "b c d"
    many = Identity((*(f"x{n}" for n in range(2000)), "c"))
    assert await found(five, many) == "c"
    assert await found(five, All((many, Present("name", S)))) == "c"
    assert await found(five, Not(many)) == "a b d e"


async def test_updated(ticking):
    versions = [await commit(ticking, put("Patient", id)) for id in "abca"]
    instants = [v.updated for v in versions]
    assert await found(ticking, Updated(Compare("low", "ge", instants[2]))) == "a c"
    assert await found(ticking, Updated(Compare("low", "eq", instants[1]))) == "b"
    assert await found(ticking, Updated(Compare("low", "eq", instants[0]))) == ""
    assert await found(ticking, Updated(Compare("high", "le", instants[1] + 1000))) == "b"
    assert await found(ticking, Updated(Compare("high", "gt", instants[2] + 1000))) == "a"
    assert await found(ticking, Not(Updated(Compare("low", "gt", instants[2])))) == "b c"
    wide = Both((Compare("low", "ge", instants[1]), Compare("high", "le", instants[2] + 1000)))
    assert await found(ticking, Updated(wide)) == "b c"
    assert await found(ticking, Updated(Either(()))) == ""


@pytest.mark.parametrize(
    ("latitude", "longitude", "metres", "expected"),
    [
        (48.8566, 2.3522, 0.0, "a"),
        (48.8566, 2.3522, 1.0, "a"),
        (48.8606, 2.3376, 1000.0, ""),
        (48.8606, 2.3376, 2000.0, "a"),
        (43.6, 1.44, 5_000.0, "b"),
        (48.8566, 2.3522, 580_000.0, "a"),
        (48.8566, 2.3522, 590_000.0, "a b"),
        (-89.99, 0.0, 2_000.0, "c"),
        (0.0, 0.0, 30_000_000.0, "a b c"),
    ],
)
async def test_within_a_distance_on_the_sphere(five, latitude, longitude, metres, expected):
    assert await found(five, Match("near", P, Within(latitude, longitude, metres))) == expected


async def test_distance_crosses_the_date_line(store):
    await commit(store, post("Location", "fiji", [PositionEntry("near", -17.0, 179.9)]))
    await commit(store, post("Location", "far", [PositionEntry("near", -17.0, 170.0)]))
    near = Match("near", P, Within(-17.0, -179.9, 25_000.0))
    assert await found(store, near, ("Location",)) == "fiji"


async def test_composite_holds_on_one_element(store):
    def pressure(code: str, low: float) -> CompositeEntry:
        value = QuantityEntry("cv", low, low, "ucum", "mm", "mm")
        return CompositeEntry("cv", (TokenEntry("cv", "loinc", code), value))

    await commit(
        store, post("Observation", "bp", [pressure("8480-6", 140), pressure("8462-4", 160)])
    )
    await commit(store, post("Observation", "high", [pressure("8480-6", 151)]))

    def where(code: str, low: float) -> CompositeMatch:
        return CompositeMatch(
            "cv", (T, Q), (Compare("code", "eq", code), Compare("low", "gt", low))
        )

    types = ("Observation",)
    assert await found(store, where("8480-6", 150.0), types) == "high"
    assert await found(store, where("8480-6", 139.0), types) == "bp high"
    assert await found(store, where("8462-4", 150.0), types) == "bp"
    assert await found(store, Not(where("8480-6", 150.0)), types) == "bp"
    either = CompositeMatch(
        "cv",
        (T, Q),
        (Compare("code", "in", ("8462-4", "8480-6")), Compare("high", "ge", 160.0)),
    )
    assert await found(store, either, types) == "bp"
    assert await found(store, All((where("8480-6", 139.0), where("8462-4", 150.0))), types) == "bp"


@pytest.fixture
async def family(store):
    """o1 and o2 are of Patient p1, o3 of Group p1, o4 of nobody here; p1 has doctor d1."""
    doctor = ReferenceEntry("general-practitioner", "Practitioner", "d1")
    name = StringEntry("name", "house", "House")
    await commit(store, post("Practitioner", "d1", [name]))
    await commit(store, post("Patient", "p1", [StringEntry("name", "eve", "Eve"), doctor]))
    await commit(store, post("Patient", "p2", [StringEntry("name", "adam", "Adam")]))
    await commit(store, post("Group", "p1", [StringEntry("name", "eve", "Eve")]))
    for id, type, target, code in (
        ("o1", "Patient", "p1", "1"),
        ("o2", "Patient", "p1", "2"),
        ("o3", "Group", "p1", "1"),
        ("o4", "Patient", "gone", "1"),
    ):
        entries = [ReferenceEntry("subject", type, target), TokenEntry("code", "", code)]
        await commit(store, post("Observation", id, entries))
    return store


async def test_chain(family):
    eve = match("name", S, "folded", "starts", "eve")
    types = ("Observation",)
    assert await found(family, Chain("subject", ("Patient",), eve), types) == "o1 o2"
    assert await found(family, Chain("subject", ("Patient", "Group"), eve), types) == "o1 o2 o3"
    assert await found(family, Chain("subject", ("Basic",), eve), types) == ""
    assert await found(family, Chain("subject", (), eve), types) == ""
    assert await found(family, Chain("unknown", ("Patient",), eve), types) == ""
    assert await found(family, Not(Chain("subject", ("Patient",), eve)), types) == "o3 o4"
    assert await found(family, Chain("subject", ("Patient",), Everything()), types) == "o1 o2"
    house = Chain(
        "general-practitioner", ("Practitioner",), match("name", S, "folded", "eq", "house")
    )
    assert await found(family, Chain("subject", ("Patient",), house), types) == "o1 o2"
    assert await found(family, Chain("subject", ("Patient",), Not(house)), types) == ""
    two = All((Chain("subject", ("Patient",), eve), match("code", T, "code", "eq", "2")))
    assert await found(family, two, types) == "o2"


async def test_has(family):
    one, two = match("code", T, "code", "eq", "1"), match("code", T, "code", "eq", "2")
    assert await found(family, Has("Observation", "subject", one)) == "p1"
    both = All((Has("Observation", "subject", one), Has("Observation", "subject", two)))
    assert await found(family, both) == "p1"
    assert await found(family, Has("Observation", "subject", All((one, two)))) == ""
    assert await found(family, Has("Observation", "subject", one), ("Group",)) == "p1"
    assert await found(family, Not(Has("Observation", "subject", one))) == "p2"
    assert await found(family, Has("Basic", "subject", one)) == ""
    assert await found(family, Has("Observation", "unknown", one)) == ""
    assert await found(family, Has("Observation", "subject", Everything())) == "p1"
    treated = Has("Patient", "general-practitioner", Has("Observation", "subject", two))
    assert await found(family, treated, ("Practitioner",)) == "d1"


async def test_chains_do_not_pass_through_deleted_resources(family):
    eve = Chain("subject", ("Patient",), Everything())
    assert await found(family, eve, ("Observation",)) == "o1 o2"
    await commit(family, delete("Patient", "p1"))
    assert await found(family, eve, ("Observation",)) == ""
    await commit(family, delete("Observation", "o3"))
    assert await found(family, Has("Observation", "subject", Everything()), ("Group",)) == ""


async def test_no_types_are_all_types(family):
    eve = match("name", S, "folded", "eq", "eve")
    assert await found(family, eve, ()) == "p1 p1"
    page = await family.search(Query((), eve))
    assert [v.type for v in page.versions] == ["Patient", "Group"]
    assert await found(family, All((eve, OfType(("Group", "Basic")))), ()) == "p1"
    assert await found(family, Everything(), ("Group", "Observation")) == "p1 o1 o2 o3 o4"
    assert await found(family, Everything(), ("Basic",)) == ""
    assert await found(family, Everything(), ("Group", "Group", "Basic")) == "p1"


async def test_a_search_finds_the_newest_entries_only(store):
    one, two = match("code", T, "code", "eq", "1"), match("code", T, "code", "eq", "2")
    await commit(
        store, post("Patient", "1", [TokenEntry("code", "", "1"), WordEntry("_text", "x")])
    )
    assert await found(store, one) == "1"
    await commit(store, put("Patient", "1", [TokenEntry("code", "", "2"), WordEntry("_text", "y")]))
    assert await found(store, one) == ""
    assert await found(store, two) == "1"
    assert await found(store, match("_text", W, "word", "eq", "x")) == ""
    assert await found(store, match("_text", W, "word", "eq", "y")) == "1"
    await commit(store, delete("Patient", "1"))
    for where in (one, two, Everything(), match("_text", W, "word", "eq", "y")):
        assert await found(store, where) == ""
    await commit(store, put("Patient", "1", [TokenEntry("code", "", "1"), WordEntry("_text", "z")]))
    assert await found(store, one) == "1"
    assert await found(store, match("_text", W, "word", "eq", "z")) == "1"


async def test_results_carry_the_current_version(store):
    await commit(store, post("Patient", "1"))
    newest = await commit(store, put("Patient", "1", mark="two"))
    assert (await store.search(Query(("Patient",)))).versions == [newest]


HOSTILE = [
    "$ne",
    '{"$gt": ""}',
    "'; DROP TABLE resource; --",
    '"',
    "\\",
    "a.b",
    "%",
    "_",
    "*",
    "(a+)+$",
    "x" * 1024,
    "𝄞" * 1024,
    "\u202e",
    "e\u0301",
    "é",
    " ",
    "",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_any_text_is_only_text(store, text):
    entries = [
        StringEntry("name", text, text),
        TokenEntry("code", text, text),
        ReferenceEntry("link", "", text),
        QuantityEntry("val", 1.0, 1.0, text, text, text),
        UriEntry("url", text),
        WordEntry("_text", text),
        CompositeEntry("cc", (TokenEntry("cc", text, text), StringEntry("cc", text, text))),
    ]
    await commit(store, post("Patient", "other", [StringEntry("name", "other", "other")]))
    await commit(store, post("Patient", "1", entries, mark=text))
    for param, kind, field in (
        ("name", S, "folded"),
        ("name", S, "text"),
        ("code", T, "code"),
        ("code", T, "system"),
        ("link", R, "id"),
        ("val", Q, "system"),
        ("val", Q, "unit"),
        ("url", U, "value"),
        ("_text", W, "word"),
    ):
        for op in ("eq", "in"):
            value = (text,) if op == "in" else text
            assert await found(store, match(param, kind, field, op, value)) == "1"
        assert "1" in await found(store, match(param, kind, field, "starts", text[:3]))
        assert "1" in await found(store, match(param, kind, field, "contains", text[:3]))
    both = CompositeMatch("cc", (T, S), (Compare("code", "eq", text), Compare("text", "eq", text)))
    assert await found(store, both) == "1"


async def test_hostile_parameter_codes_and_ids(store):
    for n, code in enumerate(("$where", "a.b", "x'y", "code:text", "é")):
        await commit(store, post("Patient", f"id-{n}.x", [TokenEntry(code, "", "1")]))
        assert await found(store, match(code, T, "code", "eq", "1")) == f"id-{n}.x"


async def test_text_is_compared_by_code_points(store):
    for n, text in enumerate(("e", "é", "f", "\ue000", "𝄞")):
        await commit(store, post("Patient", str(n), [StringEntry("name", text, text)]))
    assert await found(store, match("name", S, "folded", "gt", "f")) == "1 3 4"
    assert await found(store, match("name", S, "folded", "lt", "\ue000")) == "0 1 2"
    assert await found(store, match("name", S, "folded", "ge", "\ue000")) == "3 4"


@pytest.mark.parametrize(
    "where",
    [
        object(),
        All((object(),)),
        Match("code", T, object()),
        Match("code", T, Compare("nothing", "eq", "1")),
        Match("code", T, Compare("code", "like", "1")),
    ],
)
async def test_an_unknown_node_fails_loudly(store, where):
    await commit(store, post("Patient", "1", [TokenEntry("code", "", "1")]))
    with pytest.raises((TypeError, ValueError)):
        await store.search(Query(("Patient",), where))


async def test_count_stops_at_its_limit(store):
    await store.commit_many([([post("Patient", str(n))], []) for n in range(30)])
    await store.commit_many([([post("Group", str(n))], []) for n in range(30)])
    assert await store.count(Query(("Patient",))) == 30
    assert await store.count(Query(("Patient",), count=0), 7) == 7
    assert await store.count(Query(("Patient",)), 100) == 30
    assert await store.count(Query(()), 40) == 40
    assert await store.count(Query(())) == 60
