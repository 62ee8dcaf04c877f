"""What the server behind the URL understands of MongoDB's language.

MongoDB itself understands everything this engine says. FerretDB 1.x, which the tests run on,
speaks the same wire protocol but has no `$elemMatch` on sub-documents, no Decimal128, and updates
that read and write in two steps; the engine then filters more coarsely and judges each candidate
itself, and takes a lease around each write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Dialect:
    """`element_match`: `$elemMatch` takes conditions on the fields of a sub-document.
    `decimal128`: BSON's Decimal128 can be stored.
    `atomic_updates`: an update finds and changes its document in one step.
    `batch`: how many writes go into one command. FerretDB 1.x keeps a connection of its pool of
    100 for each update of a command until the command ends, and waits for ever for the next."""

    name: str
    element_match: bool = True
    decimal128: bool = True
    atomic_updates: bool = True
    batch: int = 200


MONGODB = Dialect("MongoDB")
FERRETDB_1 = Dialect("FerretDB 1.x", False, False, False, 50)


def dialect_of(build_info: Mapping[str, Any]) -> Dialect:
    """The dialect of the server that answered `buildInfo` so."""
    if str(build_info.get("ferretdbVersion", "")).startswith("v1."):
        return FERRETDB_1
    return MONGODB
