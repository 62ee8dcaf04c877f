"""The search expression tree: what a search means, for no engine in particular.

A search request, an access predicate, a compartment and a conditional interaction's criteria all
become one tree of frozen values. Each storage engine translates the tree with one small function
per node and must fail loudly on a node it does not know; `evaluate.py` is the tree's meaning.

A leaf (`Match`) says that *some index entry* of a search parameter passes a test. What an entry
is, and how the FHIR parameter types (token, date, quantity ...) lower their prefixes and
modifiers to tests on named fields, is settled in `types/`, so an engine knows only the kinds and
fields of `entries.py` and the comparisons below.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kind(StrEnum):
    """The kinds of index entry; the fields of each are those of its class in `entries.py`."""

    STRING = "string"
    TOKEN = "token"
    REFERENCE = "reference"
    DATE = "date"
    NUMBER = "number"
    QUANTITY = "quantity"
    URI = "uri"
    POSITION = "position"
    WORD = "word"


# --- tests on the fields of one index entry -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compare:
    """`field` `op` `value`. op: eq lt le gt ge in starts contains ends.

    `in` takes a tuple of values. `starts`, `contains` and `ends` are for text only and compare
    code points; folding is done before, by the parameter type.
    """

    field: str
    op: str
    value: str | int | float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Both:
    """Every one of `tests` holds on the same entry; empty holds always."""

    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of `tests` holds on the entry; empty never holds."""

    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """A position entry lies within `metres` (great circle) of the given point, in degrees."""

    latitude: float
    longitude: float
    metres: float


Test = Compare | Both | Either | Within


# --- nodes that select resources ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Everything:
    """Every resource."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No resource."""


@dataclass(frozen=True, slots=True)
class All:
    """Every one of `parts` selects the resource; empty selects every resource."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of `parts` selects the resource; empty selects none."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """`part` does not select the resource."""

    part: Expression


@dataclass(frozen=True, slots=True)
class OfType:
    """The resource is of one of `types`."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """The resource's logical id is one of `ids`."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Updated:
    """The instant of the resource's last change passes `test`, on the fields `low` and `high`
    (microseconds since 1970 UTC, [low, high), a millisecond wide)."""

    test: Test


@dataclass(frozen=True, slots=True)
class Match:
    """Some index entry of search parameter `param` passes `test`.

    `param` is the parameter's code, or code:facet for the extra entries a type makes
    (`code:text`, `identifier:of-type`, `subject:identifier`). A resource type that lacks the
    parameter has no such entry, so nothing of that type is selected.
    """

    param: str
    kind: Kind
    test: Test


@dataclass(frozen=True, slots=True)
class CompositeMatch:
    """Some composite entry of `param` passes every one of `tests` (component number, test);
    all of them on the same entry, that is: on the same element of the resource.
    `kinds` gives the kind of each component."""

    param: str
    kinds: tuple[Kind, ...]
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Present:
    """The resource has some value for search parameter `param` (`:missing=false`); `kind` is the
    kind of its entries. A value that gives no searchable entry still leaves a presence entry
    (all fields None), see `entries.py`."""

    param: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Chain:
    """Some reference entry of `param` points to a resource of `types` that `target` selects
    (https://hl7.org/fhir/R4/search.html#chaining)."""

    param: str
    types: tuple[str, ...]
    target: Expression


@dataclass(frozen=True, slots=True)
class Has:
    """Some resource of `type` that `source` selects points here by its reference parameter
    `param` (https://hl7.org/fhir/R4/search.html#has)."""

    type: str
    param: str
    source: Expression


Expression = (
    Everything
    | Nothing
    | All
    | AnyOf
    | Not
    | OfType
    | Identity
    | Updated
    | Match
    | CompositeMatch
    | Present
    | Chain
    | Has
)


def nodes(expression: Expression) -> Iterator[Expression]:
    """The expression and those within it that are about the same resource; what is beyond a
    `Chain` or `Has` is about another, and the caller's to go into."""
    waiting = [expression]
    while waiting:
        node = waiting.pop()
        yield node
        match node:
            case All(parts) | AnyOf(parts):
                waiting += reversed(parts)
            case Not(part):
                waiting.append(part)
            case _:
                pass


# --- a whole query --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of `_sort`. `param` is a parameter code with entries of `kind`, or `_id` /
    `_lastUpdated` (kind TOKEN / DATE), which the engine takes from the resource itself.

    Sort value of an entry: string `folded`; token and reference: (`code` or `id`); date, number,
    quantity: `low` ascending, `high` descending; uri `value`. With several entries the smallest
    counts ascending and the largest descending. Resources without a value come last, both ways.
    Ties, and a search without sort, go by the engine's key (order of creation), ascending.
    """

    param: str
    kind: Kind
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Select current, undeleted resources.

    `types`: the resource types searched; empty means every type.
    `count`: at most so many; 0 gives none (for totals).
    `after`: a cursor an earlier page of the same query gave; engine's own text, opaque.
    """

    types: tuple[str, ...]
    where: Expression = Everything()
    sort: tuple[Sort, ...] = ()
    count: int = 20
    after: str | None = None
