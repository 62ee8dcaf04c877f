"""A stream as items: JSON documents, the lines of NDJSON, the members of an array, XML documents.

Lines are read one by one, so a file of any length takes the memory of its longest line.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fhirserver.errors import FHIRError
from fhirserver.load.report import Refusal
from fhirserver.load.sources import DAMAGED
from fhirserver.load.streams import MAX_ITEM_BYTES, MIB, Unusable
from fhirserver.model import json, xml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.load.sources import Source

_BOM = b"\xef\xbb\xbf"
_skim = msgspec.json.Decoder(msgspec.Raw).decode
_members = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Item:
    """One JSON object as it stands in its source. `line` is where it begins; `entry` its place
    when it is a member of an array."""

    source: str
    data: bytes
    line: int | None = None
    entry: int | None = None


def items(source: Source) -> Iterator[Item | Refusal]:
    """The items of a source; what cannot be read is refused and the rest goes on."""
    try:
        yield from _items(source)
    except Unusable as error:
        yield Refusal(source.name, str(error))
    except DAMAGED as error:
        yield Refusal(source.name, f"cannot be read to its end: {error}")


def _items(source: Source) -> Iterator[Item | Refusal]:
    stream = source.stream
    number, first = 0, b""
    while not first.strip():
        first = _line(stream)
        number += 1
        if not first:
            yield Refusal(source.name, "is empty")
            return
    first = first.removeprefix(_BOM)
    start = first.lstrip()[:1]
    if first[:2] in (b"\xfe\xff", b"\xff\xfe"):
        yield Refusal(source.name, "is UTF-16; FHIR is exchanged in UTF-8")
    elif start == b"<":
        yield from _xml(source.name, first + _rest(stream, len(first)), number)
    elif _is_lines(source.name, first):
        yield from _lines(source.name, stream, first, number)
    elif start in (b"{", b"["):
        body = first + _rest(stream, len(first))
        if start == b"[":
            yield from _array(source.name, body, number)
        else:
            yield Item(source.name, body, number)
    else:
        yield Refusal(source.name, "is neither JSON nor XML", number)


def _is_lines(name: str, first: bytes) -> bool:
    """Whether the stream is read line by line: its first line is a whole value, or its name says
    so."""
    if name.lower().removesuffix(".gz").endswith((".ndjson", ".jsonl")):
        return True
    try:
        _skim(first)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(
    name: str, stream: io.BufferedReader, line: bytes, number: int
) -> Iterator[Item | Refusal]:
    while line:
        if len(line) > MAX_ITEM_BYTES:
            yield Refusal(name, _too_long(), number)
            while line and not line.endswith(b"\n"):
                line = stream.readline(16 * MIB)
        elif (stripped := line.strip()) != b"":
            if stripped[:1] == b"[":
                yield from _array(name, stripped, number)
            else:
                yield Item(name, stripped, number)
        line = stream.readline(MAX_ITEM_BYTES + 1)
        number += 1


def _line(stream: io.BufferedReader) -> bytes:
    line = stream.readline(MAX_ITEM_BYTES + 1)
    if len(line) > MAX_ITEM_BYTES:
        raise Unusable(_too_long())
    return line


def _rest(stream: io.BufferedReader, had: int) -> bytes:
    body = stream.read(MAX_ITEM_BYTES + 1 - had)
    if had + len(body) > MAX_ITEM_BYTES:
        raise Unusable(_too_long())
    return body


def _array(name: str, body: bytes, number: int) -> Iterator[Item | Refusal]:
    try:
        members = _members(body)
    except (ValueError, RecursionError):
        yield Refusal(name, _why_not_json(body), number)
        return
    for place, member in enumerate(members):
        yield Item(name, bytes(member), number, place)


def _xml(name: str, body: bytes, number: int) -> Iterator[Item | Refusal]:
    try:
        yield Item(name, json.encode(xml.decode(body)), number)
    except FHIRError as error:
        yield Refusal(name, str(error), number)


def _why_not_json(body: bytes) -> str:
    try:
        json.decode_value(body)
    except FHIRError as error:
        return str(error)
    return "is not JSON"


def _too_long() -> str:
    return f"is longer than {MAX_ITEM_BYTES // MIB} MiB; split it, or make NDJSON of it"
