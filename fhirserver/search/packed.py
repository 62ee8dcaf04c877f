"""Index entries as one string of bytes, so that a resource's thirty cross from process to process
as one value.

Inside, the entries lie by kind. Words, the most of them, are in hexadecimal, those of one
parameter in one string: an engine can make of it what it needs without touching each word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import msgspec

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

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The kinds whose fields are packed as they are; the place of each is its number.
PLAIN: tuple[type, ...] = (
    TokenEntry,
    ReferenceEntry,
    StringEntry,
    DateEntry,
    QuantityEntry,
    NumberEntry,
    UriEntry,
    PositionEntry,
)
_NUMBERS = {kind: number for number, kind in enumerate(PLAIN)}
#: The number of words.
WORD = len(PLAIN)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Groups(NamedTuple):
    """Entries by kind, each a list of its fields.

    `plain`: (number of the kind, its entries). `bare`: (number of the kind, param) of presence
    entries. `words`: (param, words in hexadecimal with a space between). `composites`: (param,
    parts), a part being the number of its kind and its fields.
    """

    plain: list[tuple[int, list[Any]]]
    bare: list[tuple[int, str]]
    words: list[tuple[str, str]]
    composites: list[tuple[str, list[tuple[int, list[Any]]]]]


class PackedEntries(Sequence[tuple[Any, ...]]):
    """A resource's entries; `groups` gives them by kind, iteration as they were, in that order."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @classmethod
    def of(cls, entries: Sequence[tuple[Any, ...]]) -> PackedEntries:
        plain: dict[int, list[Any]] = {}
        bare: list[tuple[int, str]] = []
        words: dict[str, list[str]] = {}
        composites: list[Any] = []
        for entry in entries:
            kind = type(entry)
            if kind is WordEntry:
                if entry[1] is None:
                    bare.append((WORD, entry[0]))
                elif entry[0] in words:
                    words[entry[0]].append(entry[1].encode().hex())
                else:
                    words[entry[0]] = [entry[1].encode().hex()]
            elif kind is CompositeEntry:
                parts = [(_NUMBERS[type(part)], part) for part in entry[1]]
                composites.append((entry[0], parts))
            elif entry[1] is None:
                bare.append((_NUMBERS[kind], entry[0]))
            else:
                number = _NUMBERS[kind]
                if number in plain:
                    plain[number].append(entry)
                else:
                    plain[number] = [entry]
        joined = [(param, " ".join(them)) for param, them in words.items()]
        return cls(_encode((list(plain.items()), bare, joined, composites)))

    @property
    def groups(self) -> Groups:
        return Groups(*_decode(self._data))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        groups = self.groups
        for number, entries in groups.plain:
            kind = PLAIN[number]
            for fields in entries:
                yield kind(*fields)
        for number, param in groups.bare:
            kind = WordEntry if number == WORD else PLAIN[number]
            yield kind(param, *[None] * (len(kind.__annotations__) - 1))
        for param, words in groups.words:
            for word in words.split(" "):
                yield WordEntry(param, bytes.fromhex(word).decode())
        for param, parts in groups.composites:
            yield CompositeEntry(param, tuple(PLAIN[n](*fields) for n, fields in parts))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, at: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[Any, ...]]: ...
    def __getitem__(self, at: int | slice) -> Any:
        return list(self)[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedEntries) and other._data == self._data

    def __hash__(self) -> int:
        return hash(self._data)

    def __reduce__(self) -> tuple[type[PackedEntries], tuple[bytes]]:
        return PackedEntries, (self._data,)
