"""Versions as documents: what a current resource and a past version look like in the database.

A current document (`resources`, `_id` = type/id) holds everything one write changes: the bytes
that are served (`content`), the same resource for people who read with MongoDB's tools
(`resource`), version, time, place in the order of commits, index entries and sort values. A past
version (`history`, `_id` = type/id/version) is the same without the last three.

`previous` is seq and time of the version before, so that the time in which a version was current
is known without changing that version's own document. `fence` counts the takeovers of locks that
this resource was the target of (`locks.py`). A document of version 0 is only a fence: nothing is
stored there.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import bson
import msgspec
from bson import Binary, Decimal128, Int64
from bson.decimal128 import create_decimal128_context
from bson.raw_bson import RawBSONDocument

from fhirserver.errors import TooLarge
from fhirserver.model.dates import instant
from fhirserver.model.version import Change, Version
from fhirserver.storage.mongodb.connection import Connection, Document
from fhirserver.storage.mongodb.dialect import Dialect
from fhirserver.storage.mongodb.entry_document import field_name, index_of, sort_of

#: A document may have 16 MB. Content over this size is kept beside, in `chunks`, and is not
#: repeated as a readable resource.
LARGE = 4 * 1024 * 1024
_LARGEST_DOCUMENT = 15 * 1024 * 1024

_INT64 = 1 << 63
_decimal_context = create_decimal128_context()
_decode = msgspec.json.Decoder(float_hook=Decimal).decode

#: What a read of a version leaves out.
ONLY_VERSION = {"index": 0, "resource": 0, "sort": 0}


def identity(type: str, id: str) -> str:
    return f"{type}/{id}"


def _decimal(value: Decimal, dialect: Dialect) -> Any:
    if not dialect.decimal128:
        return float(value) if abs(value) < Decimal("1e300") else str(value)
    try:
        exact = Decimal128(value)
    except ArithmeticError:
        return str(value)
    return exact if exact.to_decimal() == value else str(value)


def readable(value: Any, dialect: Dialect) -> Any:
    """A JSON value as BSON: decimals as Decimal128 where they fit exactly, else as text."""
    if isinstance(value, dict):
        return {field_name(name): readable(member, dialect) for name, member in value.items()}
    if isinstance(value, list):
        return [readable(member, dialect) for member in value]
    if isinstance(value, Decimal):
        return _decimal(value, dialect)
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return _decimal(Decimal(value), dialect)
    return value


def current_document(
    change: Change, *, version: int, updated: int, seq: int, head: Document | None, dialect: Dialect
) -> tuple[Document, list[Document]]:
    """The document that makes `change` the current version, and chunks to store before it."""
    document: Document = {
        "_id": identity(change.type, change.id),
        "type": change.type,
        "id": change.id,
        "version": version,
        "updated": Int64(updated),
        "method": change.method,
        "deleted": change.content is None,
        "seq": Int64(seq),
        "key": Int64(seq),
        "fence": 0,
        "previous": None,
    }
    if head is not None:
        document["fence"] = head["fence"]
        if head["version"]:
            document["key"] = head["key"]
            document["previous"] = {"seq": head["seq"], "updated": head["updated"]}
    chunks: list[Document] = []
    if change.content is not None:
        content = change.content.stamp(version, instant(updated))
        if len(content) <= LARGE:
            document["content"] = Binary(content)
            document["resource"] = readable(_decode(content), dialect)
        else:
            chunks = _chunks(document["_id"], content)
            document["chunks"] = [chunk["_id"] for chunk in chunks]
        document["index"] = index_of(change.entries)  # type: ignore[arg-type]
        document["sort"] = sort_of(change.entries)  # type: ignore[arg-type]
    return document, chunks


def _chunks(identity: str, content: bytes) -> list[Document]:
    # A token of its own: two writers of one version must not share chunks.
    token = secrets.token_hex(8)
    return [
        {"_id": f"{identity}/{token}/{number}", "data": Binary(content[start : start + LARGE])}
        for number, start in enumerate(range(0, len(content), LARGE))
    ]


def encoded(document: Document) -> RawBSONDocument:
    """A document as it goes to the server; encoded one by one, so that a resource that cannot be
    stored is refused alone. Without its readable copy if it is too large with it."""
    raw = bson.encode(document)
    if len(raw) > _LARGEST_DOCUMENT and "resource" in document:
        del document["resource"]
        raw = bson.encode(document)
    if len(raw) > _LARGEST_DOCUMENT:
        raise TooLarge(
            f"{document['_id']} with what it can be found by is over the {_LARGEST_DOCUMENT} "
            "bytes that one document may have"
        )
    return RawBSONDocument(raw)


def past_document(head: Document) -> Document:
    """The version that `head` (read without index) holds, for `history`."""
    past = {name: value for name, value in head.items() if name not in ONLY_VERSION}
    past["_id"] = f"{head['_id']}/{head['version']}"
    return past


def version_of(document: Mapping[str, Any]) -> Version:
    """The version in a document whose chunks, if any, are in place (`fetch_chunks`)."""
    content = document.get("content")
    return Version(
        document["type"],
        document["id"],
        document["version"],
        int(document["updated"]),
        document["method"],
        None if content is None else bytes(content),
        int(document["key"]),
        int(document["seq"]),
    )


async def fetch_chunks(connection: Connection, documents: Sequence[Document]) -> None:
    """Put the content of large versions into their documents."""
    for document in documents:
        if document.get("chunks"):
            parts = [
                chunk["data"]
                for name in document["chunks"]
                if (chunk := await connection.chunks.find_one({"_id": name})) is not None
            ]
            if len(parts) != len(document["chunks"]):
                raise ConnectionError(f"a part of {document['_id']} is missing in `chunks`")
            document["content"] = b"".join(parts)
