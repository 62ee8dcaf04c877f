"""Items in helpings for the workers: many small ones together, a very large Bundle in parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.load.bundle import Entries, split
from fhirserver.load.items import items
from fhirserver.load.prepare import Part
from fhirserver.load.report import Refusal
from fhirserver.load.sources import sources
from fhirserver.load.streams import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fhirserver.load.items import Item
    from fhirserver.load.streams import Meter

HELPING_BYTES = 256 * 1024
HELPING_ITEMS = 200
#: A Bundle of more bytes is committed in parts, so that memory stays bounded.
WHOLE_BUNDLE_BYTES = 8 * MIB
PART_ENTRIES = 500


def read(files: Sequence[Path], meter: Meter) -> Iterator[Item | Refusal]:
    """Every item of every file."""
    for source in sources(files, meter):
        if isinstance(source, Refusal):
            yield source
        else:
            yield from items(source)


def helpings(read: Iterator[Item | Refusal]) -> Iterator[list[Item | Part] | Refusal]:
    """What one call of a worker gets, in the order of reading."""
    helping: list[Item | Part] = []
    size = 0
    for item in read:
        if isinstance(item, Refusal):
            yield item
            continue
        if len(item.data) > WHOLE_BUNDLE_BYTES:
            if helping:
                yield helping
                helping, size = [], 0
            for part in _parts(item):
                yield [part]
            continue
        helping.append(item)
        size += len(item.data)
        if size >= HELPING_BYTES or len(helping) >= HELPING_ITEMS:
            yield helping
            helping, size = [], 0
    if helping:
        yield helping


def _parts(item: Item) -> Iterator[Item | Part]:
    try:
        entries = split(item.data)
    except (ValueError, RecursionError):
        yield item
        return
    if any(entry.criteria is not None for entry in entries.entries):
        yield item  # what its fullUrls mean is known only when all its searches are answered
        return
    named = replace(item, data=b"")
    refused = entries.refused
    for start in range(0, max(len(entries.entries), 1), PART_ENTRIES):
        chosen = entries.entries[start : start + PART_ENTRIES]
        yield Part(named, Entries(entries.kind, chosen, entries.mapping, refused))
        refused = []
