"""Index entries: what a resource can be found by, for no engine in particular.

`index.py` makes a list of these from a resource; engines store them, `evaluate.py` tests them.
They are named tuples since thousands are made each second. In each, `param` is the search
parameter's code, or `code:facet` for extra entries of a type:

* `code:text`             (string) display and text of codings, for `:text`
* `identifier:of-type`    (token)  system = Identifier.type's system, code = `type code|value`
* `subject:identifier`    (token)  the identifier inside a Reference

Where an element has a value that yields nothing searchable (a coded element with text only, a
reference with display only), one entry with every other field None marks its presence.
Field types are those of the class; all text is at most 1024 characters (longer is cut, both in
entries and in tests).
"""

from __future__ import annotations

from typing import NamedTuple


class StringEntry(NamedTuple):
    param: str
    folded: str | None  # case- and accent-folded, white space collapsed
    text: str | None  # as it stands in the resource, for :exact


class TokenEntry(NamedTuple):
    param: str
    system: str | None  # "" when the coding has no system; None only in a presence entry
    code: str | None  # "" when a coding has a system but no code


class ReferenceEntry(NamedTuple):
    param: str
    type: str | None  # resource type of a literal reference to this server; "" for a URL
    id: str | None  # logical id; or the absolute URL, canonical, urn


class DateEntry(NamedTuple):
    param: str
    low: int | None  # microseconds since 1970-01-01T00:00Z, inclusive
    high: int | None  # exclusive; open ends are MIN_TIME and MAX_TIME of search/types/date.py


class NumberEntry(NamedTuple):
    param: str
    low: float | None  # a point has low == high; a Range's open end is ±inf
    high: float | None


class QuantityEntry(NamedTuple):
    param: str
    low: float | None
    high: float | None
    system: str | None  # "" when absent
    code: str | None  # "" when absent
    unit: str | None  # "" when absent


class UriEntry(NamedTuple):
    param: str
    value: str | None


class PositionEntry(NamedTuple):
    param: str
    latitude: float | None  # degrees
    longitude: float | None


class WordEntry(NamedTuple):
    """One word of the narrative (`_text`) or of all text (`_content`), folded."""

    param: str
    word: str | None


class CompositeEntry(NamedTuple):
    """The components that one element has together; each an entry of a kind above whose `param`
    is this composite's code."""

    param: str
    parts: tuple[
        StringEntry
        | TokenEntry
        | ReferenceEntry
        | DateEntry
        | NumberEntry
        | QuantityEntry
        | UriEntry,
        ...,
    ]


Entry = (
    StringEntry
    | TokenEntry
    | ReferenceEntry
    | DateEntry
    | NumberEntry
    | QuantityEntry
    | UriEntry
    | PositionEntry
    | WordEntry
    | CompositeEntry
)
