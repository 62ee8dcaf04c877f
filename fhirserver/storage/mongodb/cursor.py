"""Paging cursors: where a page ended, and for which query. Opaque to everyone else."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from fhirserver.storage.interface import InvalidCursor


def fingerprint(*query: object) -> str:
    """A short name of the query that a cursor belongs to."""
    return hashlib.blake2b(repr(query).encode("utf-8", "replace"), digest_size=9).hexdigest()


def encode(fingerprint: str, *position: Any) -> str:
    text = json.dumps([fingerprint, *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(fingerprint: str, cursor: str, length: int) -> list[Any]:
    """The position in `cursor`: `length` strings, numbers or nulls, the last a whole number."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        given, *position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise InvalidCursor("not a cursor") from error
    if (
        given != fingerprint
        or len(position) != length
        or not all(value is None or isinstance(value, str | int | float) for value in position)
        or not isinstance(position[-1], int)
        or not -(1 << 63) <= position[-1] < 1 << 63
    ):
        raise InvalidCursor("the cursor belongs to another query")
    return list(position)
