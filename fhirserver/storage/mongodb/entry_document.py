"""Index entries as sub-documents, one array per kind, and the values a search sorts by.

    index: {token: [{param: "identifier", system: "urn:x", code: "12"}, ...], date: [...]}
    sort:  {date: {birthdate: {ascending: ..., descending: ...}}}

An array per kind keeps each multikey index as small as the entries it serves. A field that is
None is left out. Infinite bounds, which not every server stores, become the largest double.

Both sort values are made for a descending sort of the server, in which a missing value comes
last by itself: `descending` is the largest value, `ascending` the smallest, mirrored (a number
negated, each byte of a text taken from 255).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from fhirserver.search.entries import CompositeEntry, Entry
from fhirserver.search.evaluate import ENTRY_CLASS, SORT_FIELD
from fhirserver.search.expression import Kind

KIND_OF: dict[type, Kind] = {cls: kind for kind, cls in ENTRY_CLASS.items()}
COMPOSITE = "composite"

_LARGEST = sys.float_info.max
#: Ends each mirrored text, so that a text comes before every longer one it begins.
_END = "\u0100"
_MIRROR = {code: 255 - code for code in range(256)}
_FIELDS: dict[type, tuple[str, ...]] = {
    cls: cls._fields[1:]  # type: ignore[attr-defined]
    for cls in ENTRY_CLASS.values()
}
_BOUNDED = frozenset({Kind.DATE, Kind.NUMBER, Kind.QUANTITY})


def storable(value: Any) -> Any:
    """`value` as the server can hold it."""
    if isinstance(value, float) and math.isinf(value):
        return math.copysign(_LARGEST, value)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return float(value) if abs(value) < 1 << 1000 else math.copysign(_LARGEST, value)
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, float) and abs(value) == _LARGEST:
        return math.copysign(math.inf, value)
    return value


def mirrored(value: Any) -> Any:
    """A value whose descending order is the ascending order of `value`."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("latin-1").translate(_MIRROR) + _END
    return -value


def field_name(name: str) -> str:
    """`name` as a field name that every server takes: no dot, no leading dollar."""
    if name.startswith("$"):
        name = "＄" + name[1:]
    return name.replace(".", "．").replace("\0", "␀") or "_"


#: Of each class of entry: the name of its array, its fields, whether they need `storable`.
_SHAPE: dict[type, tuple[str, tuple[str, ...], bool]] = {
    cls: (str(kind), _FIELDS[cls], kind in _BOUNDED) for kind, cls in ENTRY_CLASS.items()
}


def _put_fields(entry: Any, shape: tuple[str, tuple[str, ...], bool], into: dict[str, Any]) -> None:
    _, names, bounded = shape
    for name, value in zip(names, entry[1:], strict=True):
        if value is not None:
            into[name] = storable(value) if bounded else value


def index_of(entries: Iterable[Entry]) -> dict[str, list[dict[str, Any]]]:
    """The `index` of a current document."""
    index: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        document: dict[str, Any] = {"param": entry.param}
        shape = _SHAPE.get(type(entry))
        if shape is not None:
            kind = shape[0]
            _put_fields(entry, shape, document)
        elif isinstance(entry, CompositeEntry):
            kind = COMPOSITE
            for number, part in enumerate(entry.parts, 1):
                shape = _SHAPE[type(part)]
                fields = document[f"part{number}"] = {"kind": shape[0]}
                _put_fields(part, shape, fields)
        else:
            raise TypeError(f"not an index entry: {entry!r}")
        of_kind = index.get(kind)
        if of_kind is None:
            index[kind] = [document]
        else:
            of_kind.append(document)
    return index


def sort_of(entries: Iterable[Entry]) -> dict[str, dict[str, dict[str, Any]]]:
    """The `sort` of a current document."""
    extremes: dict[tuple[Kind, str], list[Any]] = {}
    for entry in entries:
        kind = KIND_OF.get(type(entry))
        if kind is None or kind not in SORT_FIELD:
            continue
        if kind in _BOUNDED:
            low, high = storable(entry.low), storable(entry.high)  # type: ignore[union-attr]
        else:
            low = high = getattr(entry, SORT_FIELD[kind])  # type: ignore[arg-type]
        if low is None or high is None:
            continue
        known = extremes.get((kind, entry.param))
        if known is None:
            extremes[kind, entry.param] = [low, high]
        else:
            known[0], known[1] = min(known[0], low), max(known[1], high)
    sort: dict[str, dict[str, dict[str, Any]]] = {}
    for (kind, param), (low, high) in extremes.items():
        sort.setdefault(kind.value, {})[field_name(param)] = {
            "ascending": mirrored(low),
            "descending": high,
        }
    return sort


def _entry(kind: Kind, param: str, document: Mapping[str, Any]) -> Any:
    cls = ENTRY_CLASS[kind]
    return cls(param, *[_restored(document.get(name)) for name in _FIELDS[cls]])


def entries_of(index: Mapping[str, Any]) -> list[Entry]:
    """The entries that `index_of` stored."""
    entries: list[Entry] = []
    for kind, documents in index.items():
        for document in documents:
            param = document["param"]
            if kind == COMPOSITE:
                parts: list[Any] = []
                while (part := document.get(f"part{len(parts) + 1}")) is not None:
                    parts.append(_entry(Kind(part["kind"]), param, part))
                entries.append(CompositeEntry(param, tuple(parts)))
            else:
                entries.append(_entry(Kind(kind), param, document))
    return entries
