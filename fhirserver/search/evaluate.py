"""The meaning of a search expression: does it select this resource?

Slow and obvious on purpose. `access` judges single resources with it, and the storage engines'
tests hold every engine to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import total_ordering
from typing import TYPE_CHECKING, Any, Protocol

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
    Expression,
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
    Test,
    Updated,
    Within,
)
from fhirserver.search.types.position import great_circle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fhirserver.search.entries import Entry

ENTRY_CLASS: dict[Kind, type] = {
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

#: How wide an instant of last change is: a millisecond, in microseconds.
_UPDATED_WIDTH = 1000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A current resource as a search sees it. `key` is the engine's order of creation."""

    type: str
    id: str
    updated: int
    entries: Sequence[Entry]
    key: int | str = 0


class Lookup(Protocol):
    """The other current resources, for chains and `_has`."""

    def find(self, type: str, id: str) -> Candidate | None:
        """That resource, if it is there and not deleted."""

    def of_type(self, type: str) -> Iterable[Candidate]:
        """Every current resource of the type."""


def matches(expression: Expression, candidate: Candidate, lookup: Lookup) -> bool:
    """Whether `expression` selects `candidate`."""
    match expression:
        case Everything():
            return True
        case Nothing():
            return False
        case All(parts):
            return all(matches(part, candidate, lookup) for part in parts)
        case AnyOf(parts):
            return any(matches(part, candidate, lookup) for part in parts)
        case Not(part):
            return not matches(part, candidate, lookup)
        case OfType(types):
            return candidate.type in types
        case Identity(ids):
            return candidate.id in ids
        case Updated(test):
            low = candidate.updated
            return holds(test, DateEntry("_lastUpdated", low, low + _UPDATED_WIDTH))
        case Match(param, kind, test):
            return any(holds(test, entry) for entry in entries_of(candidate, param, kind))
        case CompositeMatch(param, kinds, tests):
            return any(
                isinstance(entry, CompositeEntry)
                and entry.param == param
                and all(
                    isinstance(part, ENTRY_CLASS[kind]) and holds(test, part)
                    for part, kind, test in zip(entry.parts, kinds, tests, strict=True)
                )
                for entry in candidate.entries
            )
        case Present(param, kind):
            return any(True for _ in entries_of(candidate, param, kind))
        case Chain(param, types, target):
            return any(
                matches(target, found, lookup)
                for entry in entries_of(candidate, param, Kind.REFERENCE)
                if entry.type in types and entry.id is not None
                if (found := lookup.find(entry.type, entry.id)) is not None
            )
        case Has(type, param, source):
            return any(
                matches(source, other, lookup)
                for other in lookup.of_type(type)
                if any(
                    entry.type == candidate.type and entry.id == candidate.id
                    for entry in entries_of(other, param, Kind.REFERENCE)
                )
            )
        case _:
            raise TypeError(f"not a search expression: {expression!r}")


def entries_of(candidate: Candidate, param: str, kind: Kind) -> Iterable[Any]:
    """The entries of `kind` that `candidate` has for `param`."""
    entry_class = ENTRY_CLASS[kind]
    return (e for e in candidate.entries if isinstance(e, entry_class) and e.param == param)


def holds(test: Test, entry: Any) -> bool:
    """Whether one index entry passes `test`; an absent field passes no comparison."""
    match test:
        case Both(tests):
            return all(holds(part, entry) for part in tests)
        case Either(tests):
            return any(holds(part, entry) for part in tests)
        case Compare(field, op, value):
            stored = getattr(entry, field)
            return stored is not None and compare(stored, op, value)
        case Within(latitude, longitude, metres):
            return (
                entry.latitude is not None
                and entry.longitude is not None
                and great_circle(latitude, longitude, entry.latitude, entry.longitude) <= metres
            )
        case _:
            raise TypeError(f"not a test of an index entry: {test!r}")


def compare(stored: Any, op: str, value: Any) -> bool:
    match op:
        case "eq":
            return bool(stored == value)
        case "lt":
            return bool(stored < value)
        case "le":
            return bool(stored <= value)
        case "gt":
            return bool(stored > value)
        case "ge":
            return bool(stored >= value)
        case "in":
            return stored in value
        case "starts":
            return bool(stored.startswith(value))
        case "contains":
            return value in stored
        case "ends":
            return bool(stored.endswith(value))
        case _:
            raise ValueError(f"not a comparison: {op}")


# --- order ----------------------------------------------------------------------------------


@total_ordering
class _Reversed:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(self.value == other.value)

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.value < self.value)

    __hash__ = None  # type: ignore[assignment]


def sort_value(key: Sort, candidate: Candidate) -> Any:
    """What `candidate` is placed by under this key; None when it has no value."""
    if key.param == "_id":
        return candidate.id
    if key.param == "_lastUpdated":
        return candidate.updated + (_UPDATED_WIDTH if key.descending else 0)
    field = SORT_FIELD[key.kind] or ("high" if key.descending else "low")
    values = [
        value
        for entry in entries_of(candidate, key.param, key.kind)
        if (value := getattr(entry, field)) is not None
    ]
    if not values:
        return None
    return max(values) if key.descending else min(values)


#: The field that orders entries of each kind; None: `low` ascending, `high` descending.
SORT_FIELD: dict[Kind, str | None] = {
    Kind.STRING: "folded",
    Kind.TOKEN: "code",
    Kind.REFERENCE: "id",
    Kind.DATE: None,
    Kind.NUMBER: None,
    Kind.QUANTITY: None,
    Kind.URI: "value",
}


def sort_key(sort: Sequence[Sort], candidate: Candidate) -> tuple[Any, ...]:
    """A key that puts candidates in the order of `sort`, ties by the engine's key."""
    parts: list[Any] = []
    for key in sort:
        value = sort_value(key, candidate)
        if value is None:
            parts.append((1,))
        else:
            parts.append((0, _Reversed(value) if key.descending else value))
    return (*parts, candidate.key)


# --- a whole query over resources held in memory ---------------------------------------------


class Resources:
    """Candidates in memory that can be looked up."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._by_type: dict[str, dict[str, Candidate]] = {}
        for candidate in candidates:
            self._by_type.setdefault(candidate.type, {})[candidate.id] = candidate

    def find(self, type: str, id: str) -> Candidate | None:
        return self._by_type.get(type, {}).get(id)

    def of_type(self, type: str) -> Iterable[Candidate]:
        return self._by_type.get(type, {}).values()

    def __iter__(self) -> Any:
        return (c for held in self._by_type.values() for c in held.values())


def select(query: Query, resources: Resources) -> list[Candidate]:
    """What `query` selects, in its order, up to its count (its cursor has no meaning here)."""
    found = [
        candidate
        for candidate in resources
        if (not query.types or candidate.type in query.types)
        and matches(query.where, candidate, resources)
    ]
    found.sort(key=lambda candidate: sort_key(query.sort, candidate))
    return found[: query.count]
