"""Hypothesis strategies: small sets of resources as index entries, and queries over them.

The pools of values are tiny, so that ties, overlaps and near misses are the rule.
"""

from __future__ import annotations

from math import inf
from typing import Any

from hypothesis import strategies as st

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
    Sort,
    Updated,
    Within,
)

TYPES = ("Patient", "Observation", "Location")
IDS = ("1", "2", "a", "b", "c-1", "Z", "10", "x.y")

TEXTS = (
    "",
    "a",
    "ab",
    "abc",
    "b",
    "a b",
    "%",
    "_a",
    "$gt",
    "o'neil",
    '"',
    "\\",
    "é",
    "ß",
    "\ud7ff",
    "\ue000",
    "𝄞",
    "a\U0010ffff",
    "\U0010ffff",
    "x" * 1024,
    "-- ;",
    "{$ne: 1}",
    "日本",
)
SYSTEMS = ("", "http://a", "http://ab", "urn:b", "$s")
INSTANTS = (-62135596800000000, -1, 0, 1, 1000, 10**15, 10**15 + 1, 253402300800000000)
NUMBERS = (-inf, -1e300, -2.5, -0.0, 0.0, 1.0, 1.5, 2.0, 9007199254740993.0, 1e300, inf)
WORDS = ("a", "ab", "fever", "fièvre", "日本", "$gt", "OR", "NEAR", "a*b", '"', "x" * 200, "𝄞")
LATITUDES = (-90.0, -45.5, 0.0, 43.6, 43.61, 48.85, 90.0)
LONGITUDES = (-180.0, -1.5, 0.0, 1.44, 2.35, 179.99, 180.0)

# A few values come often, so that most queries find some resources and miss others.
texts = st.one_of(st.sampled_from(("a", "ab", "b")), st.sampled_from(TEXTS))
systems = st.one_of(st.just("http://a"), st.sampled_from(SYSTEMS))
instants = st.one_of(st.sampled_from((0, 1000)), st.sampled_from(INSTANTS))
numbers = st.one_of(st.sampled_from((1.0, 2.0)), st.sampled_from(NUMBERS))
words = st.one_of(st.sampled_from(("a", "fever")), st.sampled_from(WORDS))

#: Parameters of each kind.
PARAMS: dict[Kind, tuple[str, ...]] = {
    Kind.STRING: ("name", "code:text"),
    Kind.TOKEN: ("code", "identifier:of-type"),
    Kind.REFERENCE: ("subject", "link"),
    Kind.DATE: ("date",),
    Kind.NUMBER: ("probability",),
    Kind.QUANTITY: ("value-quantity",),
    Kind.URI: ("url",),
    Kind.POSITION: ("near",),
    Kind.WORD: ("_text", "_content"),
}
COMPOSITES: dict[str, tuple[Kind, ...]] = {
    "code-value-quantity": (Kind.TOKEN, Kind.QUANTITY),
    "name-date": (Kind.STRING, Kind.DATE),
    "link-number": (Kind.REFERENCE, Kind.NUMBER),
    "url-code": (Kind.URI, Kind.TOKEN),
}


def _ordered(values: Any) -> Any:
    return st.tuples(values, values).map(lambda pair: (min(pair), max(pair)))


references = st.one_of(
    st.tuples(st.just("Patient"), st.sampled_from(IDS)),
    st.tuples(st.sampled_from(TYPES), st.sampled_from(IDS)),
    st.tuples(st.just(""), st.sampled_from(("http://elsewhere/Patient/1", "1", "urn:uuid:1"))),
)

FIELDS: dict[Kind, Any] = {
    Kind.STRING: st.tuples(texts, texts),
    Kind.TOKEN: st.tuples(systems, texts),
    Kind.REFERENCE: references,
    Kind.DATE: _ordered(instants),
    Kind.NUMBER: _ordered(numbers),
    Kind.QUANTITY: st.tuples(
        _ordered(numbers), systems, st.sampled_from(("", "mg", "g")), st.sampled_from(("", "mg"))
    ).map(lambda parts: (*parts[0], *parts[1:])),
    Kind.URI: st.tuples(texts),
    Kind.POSITION: st.tuples(st.sampled_from(LATITUDES), st.sampled_from(LONGITUDES)),
    Kind.WORD: st.tuples(words),
}
CLASSES: dict[Kind, Any] = {
    Kind.STRING: StringEntry,
    Kind.TOKEN: TokenEntry,
    Kind.REFERENCE: ReferenceEntry,
    Kind.DATE: DateEntry,
    Kind.NUMBER: NumberEntry,
    Kind.QUANTITY: QuantityEntry,
    Kind.URI: UriEntry,
    Kind.POSITION: PositionEntry,
    Kind.WORD: WordEntry,
}
kinds = st.sampled_from(tuple(PARAMS))


@st.composite
def plain_entries(draw: Any) -> Any:
    kind = draw(kinds)
    param = draw(st.sampled_from(PARAMS[kind]))
    made = CLASSES[kind]
    if draw(st.integers(0, 9)) == 0:
        return made(param, *(None,) * (len(made._fields) - 1))
    return made(param, *draw(FIELDS[kind]))


@st.composite
def composite_entries(draw: Any) -> Any:
    param = draw(st.sampled_from(tuple(COMPOSITES)))
    parts = tuple(CLASSES[kind](param, *draw(FIELDS[kind])) for kind in COMPOSITES[param])
    return CompositeEntry(param, parts)


entries = st.lists(
    st.one_of(plain_entries(), plain_entries(), composite_entries()), min_size=3, max_size=10
)
#: (type, id, entries): a later resource of the same type and id is an update; None deletes.
writes = st.lists(
    st.tuples(
        st.sampled_from(TYPES),
        st.sampled_from(IDS),
        st.one_of(*(entries,) * 9, st.none()),
    ),
    min_size=8,
    max_size=24,
)

# --- tests -----------------------------------------------------------------------------------

OF_FIELD: dict[tuple[Kind, str], Any] = {
    (Kind.STRING, "folded"): texts,
    (Kind.STRING, "text"): texts,
    (Kind.TOKEN, "system"): systems,
    (Kind.TOKEN, "code"): texts,
    (Kind.REFERENCE, "type"): st.sampled_from(("", *TYPES, "Group")),
    (Kind.REFERENCE, "id"): st.sampled_from((*IDS, "http://elsewhere/Patient/1")),
    (Kind.DATE, "low"): st.one_of(instants, st.just(10**30)),
    (Kind.DATE, "high"): instants,
    (Kind.NUMBER, "low"): st.one_of(numbers, st.just(2)),
    (Kind.NUMBER, "high"): numbers,
    (Kind.QUANTITY, "low"): numbers,
    (Kind.QUANTITY, "high"): numbers,
    (Kind.QUANTITY, "system"): systems,
    (Kind.QUANTITY, "code"): st.sampled_from(("", "mg", "g", "kg")),
    (Kind.QUANTITY, "unit"): st.sampled_from(("", "mg", "g")),
    (Kind.URI, "value"): texts,
    (Kind.POSITION, "latitude"): st.sampled_from(LATITUDES),
    (Kind.POSITION, "longitude"): st.sampled_from(LONGITUDES),
    (Kind.WORD, "word"): st.one_of(words, st.sampled_from(("", "f", "unknown"))),
}
TEXTUAL = {field for field in OF_FIELD if field[1] not in ("low", "high", "latitude", "longitude")}


@st.composite
def comparisons(draw: Any, kind: Kind) -> Any:
    if kind == Kind.POSITION and draw(st.booleans()):
        metres = draw(st.sampled_from((0.0, 2000.0, 600_000.0, 1e7, 1e9)))
        return Within(draw(st.sampled_from(LATITUDES)), draw(st.sampled_from(LONGITUDES)), metres)
    key = draw(st.sampled_from([key for key in OF_FIELD if key[0] == kind]))
    values = OF_FIELD[key]
    ops = ["eq", "eq", "lt", "le", "gt", "ge"]
    if key in TEXTUAL:
        ops += ["in", "starts", "contains"]
    op = draw(st.sampled_from(ops))
    if op == "in":
        many = draw(st.integers(0, 9)) == 0
        found = tuple(draw(st.lists(values, max_size=3)))
        return Compare(key[1], op, found * 7 if many else found)
    return Compare(key[1], op, draw(values))


def tests(kind: Kind) -> Any:
    return st.recursive(
        comparisons(kind),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: Both(tuple(parts))),
            st.lists(inner, max_size=3).map(lambda parts: Either(tuple(parts))),
        ),
        max_leaves=3,
    )


TESTS = {kind: tests(kind) for kind in PARAMS}


@st.composite
def matches(draw: Any) -> Any:
    kind = draw(kinds)
    return Match(draw(st.sampled_from(PARAMS[kind])), kind, draw(TESTS[kind]))


@st.composite
def presences(draw: Any) -> Any:
    kind = draw(kinds)
    return Present(draw(st.sampled_from(PARAMS[kind])), kind)


@st.composite
def composite_matches(draw: Any) -> Any:
    param = draw(st.sampled_from(tuple(COMPOSITES)))
    found = COMPOSITES[param]
    return CompositeMatch(param, found, tuple(draw(TESTS[kind]) for kind in found))


some_types = st.lists(st.sampled_from((*TYPES, "Group")), max_size=3, unique=True).map(tuple)


def updates(instants: Any) -> Any:
    return st.tuples(
        st.sampled_from(("low", "high")),
        st.sampled_from(("eq", "lt", "le", "gt", "ge")),
        instants,
    ).map(lambda parts: Updated(Compare(*parts)))


def expressions(times: Any) -> Any:
    leaves = st.one_of(
        matches(),
        matches(),
        matches(),
        presences(),
        composite_matches(),
        st.lists(st.sampled_from((*IDS, "no")), max_size=3).map(lambda ids: Identity(tuple(ids))),
        updates(times),
        some_types.map(OfType),
        st.just(Everything()),
        st.just(Nothing()),
    )
    reference = st.sampled_from(PARAMS[Kind.REFERENCE])
    all_types = st.just(TYPES)

    def nodes(inner: Any) -> Any:
        lists = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.one_of(
            inner,
            st.lists(inner, max_size=3).map(tuple).map(All),
            lists.map(All),
            lists.map(AnyOf),
            st.builds(Not, inner),
            st.builds(Chain, reference, st.one_of(all_types, some_types), inner),
            st.builds(Has, st.sampled_from(("Patient", *TYPES, "Group")), reference, inner),
        )

    return st.one_of(leaves, nodes(leaves), nodes(nodes(leaves)), nodes(nodes(nodes(leaves))))


SORTABLE = [
    (param, kind)
    for kind, params in PARAMS.items()
    if kind not in (Kind.POSITION, Kind.WORD)
    for param in (*params, "nothing-has-this")
] + [("_id", Kind.TOKEN), ("_lastUpdated", Kind.DATE)]
sorts = st.lists(
    st.builds(
        lambda key, descending: Sort(key[0], key[1], descending),
        st.sampled_from(SORTABLE),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
).map(tuple)


def queries(times: Any) -> Any:
    return st.builds(
        Query,
        types=st.one_of(st.just(()), some_types, st.sampled_from([(type,) for type in TYPES])),
        where=st.one_of(st.just(Everything()), expressions(times), expressions(times)),
        sort=st.one_of(st.just(()), sorts, sorts),
        count=st.sampled_from((1, 2, 3, 5, 20)),
    )


#: Everything of some types in every order.
orders = st.builds(
    Query,
    types=st.one_of(st.just(()), st.sampled_from([(type,) for type in TYPES])),
    sort=sorts,
    count=st.sampled_from((1, 2, 3, 5, 20)),
)
