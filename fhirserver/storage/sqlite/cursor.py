"""Paging cursors: opaque text that says where a page ended, bound to its query."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from fhirserver.storage.interface import InvalidCursor

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 20_000
LARGEST = 2**63 - 1


def digest(parts: Any) -> str:
    """A short name of a query, the same in every process."""
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def write(query: str, values: Sequence[Any]) -> str:
    if len(values) == 1 and type(values[0]) is int:
        text = f'["{query}",{values[0]}]'
    else:
        text = json.dumps([query, *values], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(cursor: str, query: str, width: int) -> list[Any]:
    """The `width` values of a cursor, the last of which is a number."""
    if len(cursor) > LONGEST:
        raise InvalidCursor("not a cursor of this server")
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = json.loads(urlsafe_b64decode(padded))
    except (ValueError, binascii.Error, RecursionError):
        raise InvalidCursor("not a cursor of this server") from None
    if not isinstance(found, list) or not found or found[0] != query:
        raise InvalidCursor("a cursor of another search")
    values = found[1:]
    if len(values) != width or not all(_scalar(value) for value in values):
        raise InvalidCursor("not a cursor of this server")
    if type(values[-1]) is not int:
        raise InvalidCursor("not a cursor of this server")
    return values


def _scalar(value: Any) -> bool:
    if value is None or isinstance(value, float):
        return True
    if type(value) is int:
        return -LARGEST <= value <= LARGEST
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
