"""Small resources, entries and expressions for the tests of this engine."""

from __future__ import annotations

from hypothesis import strategies as st

from fhirserver.model.version import ANY, Change, Content
from fhirserver.search.entries import (
    CompositeEntry,
    DateEntry,
    Entry,
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
    Expression,
    Has,
    Identity,
    Kind,
    Match,
    Not,
    Nothing,
    OfType,
    Present,
    Sort,
    Test,
    Updated,
    Within,
)

TYPES = ("Patient", "Observation")


def content(type: str, id: str, rest: bytes = b"") -> Content:
    head = f'{{"resourceType":"{type}","id":"{id}","meta":{{"versionId":"'.encode()
    return Content(head, b'","lastUpdated":"', b'"}' + rest + b"}")


def put(
    type: str,
    id: str,
    entries: list[Entry] | tuple[Entry, ...] = (),
    *,
    expect: int = ANY,
    rest: bytes = b"",
    method: str = "PUT",
) -> Change:
    return Change(method, type, id, content(type, id, rest), entries, expect)


def delete(type: str, id: str, *, expect: int = ANY) -> Change:
    return Change("DELETE", type, id, None, (), expect)


def token(param: str, system: str, code: str) -> Match:
    tests = (Compare("system", "eq", system), Compare("code", "eq", code))
    return Match(param, Kind.TOKEN, Both(tests))


# --- generated ----------------------------------------------------------------------------------

_words = st.sampled_from(
    ["", "a", "ab", "abc", "b", "é", "z.*", "a b", "$x", "\ud7ff", "\U0010ffff", "a\U0010ffff"]
)
_params = st.sampled_from(["p", "q", "p:text"])
_numbers = st.one_of(
    st.integers(-3, 3).map(float), st.sampled_from([0.5, 1e300, -1e-9, float("inf"), float("-inf")])
)
_times = st.integers(-3, 3).map(lambda n: n * 1000)
_ids = st.sampled_from(["1", "2", "3"])
_references = st.sampled_from([*TYPES, ""])
_latitudes = st.sampled_from([-90.0, -89.9, -45.0, 0.0, 0.1, 48.85, 89.9, 90.0])
_longitudes = st.sampled_from([-180.0, -179.9, 0.0, 2.35, 2.4, 179.9, 180.0])


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    return min(pair), max(pair)


_entry_fields = {
    StringEntry: st.tuples(_words, _words),
    TokenEntry: st.tuples(_words, _words),
    ReferenceEntry: st.tuples(_references, _ids),
    DateEntry: st.tuples(_times, _times).map(_ordered),
    NumberEntry: st.tuples(_numbers, _numbers).map(_ordered),
    QuantityEntry: st.tuples(
        st.tuples(_numbers, _numbers).map(_ordered), _words, _words, _words
    ).map(lambda q: (*q[0], *q[1:])),
    UriEntry: st.tuples(_words),
    PositionEntry: st.tuples(_latitudes, _longitudes),
    WordEntry: st.tuples(_words),
}
_PARTS = (TokenEntry, QuantityEntry)


def _of(cls: type, params: st.SearchStrategy[str]) -> st.SearchStrategy[Entry]:
    present = st.builds(lambda p, f: cls(p, *f), params, _entry_fields[cls])
    absent = params.map(lambda p: cls(p, *[None] * (len(cls._fields) - 1)))
    return present if cls in (PositionEntry, WordEntry) else st.one_of(present, present, absent)


_composites = st.builds(
    lambda a, b: CompositeEntry("c", (a, b)), *[_of(cls, st.just("c")) for cls in _PARTS]
)
entries = st.lists(
    st.one_of(*[_of(cls, _params) for cls in _entry_fields], _composites), max_size=8
)


_FIELDS: dict[Kind, dict[str, st.SearchStrategy]] = {
    Kind.STRING: {"folded": _words, "text": _words},
    Kind.TOKEN: {"system": _words, "code": _words},
    Kind.REFERENCE: {"type": _references, "id": _ids},
    Kind.DATE: {"low": _times, "high": _times},
    Kind.NUMBER: {"low": _numbers, "high": _numbers},
    Kind.QUANTITY: {"low": _numbers, "high": _numbers, "system": _words, "code": _words},
    Kind.URI: {"value": _words},
    Kind.WORD: {"word": _words},
}


def _compare(kind: Kind) -> st.SearchStrategy[Test]:
    choices = []
    for field, values in _FIELDS[kind].items():
        numeric = values in (_times, _numbers)
        operators = ["eq", "lt", "le", "gt", "ge"] + ([] if numeric else ["starts", "contains"])
        choices.append(st.builds(Compare, st.just(field), st.sampled_from(operators), values))
        if not numeric:
            several = st.lists(values, max_size=3).map(tuple)
            choices.append(st.builds(Compare, st.just(field), st.just("in"), several))
    return st.one_of(choices)


def tests_of(kind: Kind) -> st.SearchStrategy[Test]:
    if kind == Kind.POSITION:
        metres = st.sampled_from([0.0, 10.0, 20_000.0, 6e6, 3e7])
        return st.builds(Within, _latitudes, _longitudes, metres)
    return st.recursive(
        _compare(kind),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: Both(tuple(parts))),
            st.lists(inner, max_size=3).map(lambda parts: Either(tuple(parts))),
        ),
        max_leaves=4,
    )


_matches = st.one_of(
    *[st.builds(Match, _params, st.just(kind), tests_of(kind)) for kind in Kind],
    *[st.builds(Present, _params, st.just(kind)) for kind in Kind],
    st.builds(
        lambda a, b: CompositeMatch("c", (Kind.TOKEN, Kind.QUANTITY), (a, b)),
        tests_of(Kind.TOKEN),
        tests_of(Kind.QUANTITY),
    ),
)
_types = st.lists(st.sampled_from(TYPES), unique=True).map(tuple)
_leaves = st.one_of(
    _matches,
    st.just(Everything()),
    st.just(Nothing()),
    st.builds(OfType, _types),
    st.builds(Identity, st.lists(_ids, unique=True).map(tuple)),
)


def updated_tests(times: st.SearchStrategy[int]) -> st.SearchStrategy[Expression]:
    compare = st.builds(
        Compare, st.sampled_from(["low", "high"]), st.sampled_from(["lt", "le", "gt", "ge"]), times
    )
    return st.builds(
        Updated, st.one_of(compare, st.lists(compare, max_size=2).map(lambda t: Both(tuple(t))))
    )


def combined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: All(tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
        st.builds(Not, inner),
    )


flat_expressions = st.recursive(st.one_of(_leaves, updated_tests(_times)), combined, max_leaves=6)
expressions = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        combined(inner),
        st.builds(Chain, _params, _types, inner),
        st.builds(Has, st.sampled_from(TYPES), _params, inner),
    ),
    max_leaves=6,
)
sorts = st.lists(
    st.one_of(
        st.builds(
            Sort,
            st.sampled_from(["p", "q"]),
            st.sampled_from(
                [
                    Kind.STRING,
                    Kind.TOKEN,
                    Kind.REFERENCE,
                    Kind.DATE,
                    Kind.NUMBER,
                    Kind.QUANTITY,
                    Kind.URI,
                ]
            ),
            st.booleans(),
        ),
        st.builds(Sort, st.just("_id"), st.just(Kind.TOKEN), st.booleans()),
        st.builds(Sort, st.just("_lastUpdated"), st.just(Kind.DATE), st.booleans()),
    ),
    max_size=3,
).map(tuple)
