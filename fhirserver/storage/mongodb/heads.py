"""Heads: the current documents as a write sees them, without entries and readable copy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fhirserver.model.version import ABSENT, ANY, Change, Version
from fhirserver.storage.interface import VersionConflict
from fhirserver.storage.mongodb.connection import Connection, Document
from fhirserver.storage.mongodb.document import (
    ONLY_VERSION,
    fetch_chunks,
    identity,
    version_of,
)

#: How many documents are asked for at once where one command cannot.
_AT_ONCE = 10


async def read_heads(
    connection: Connection,
    ids: Sequence[str],
    fields: Document = ONLY_VERSION,
    session: Any = None,
) -> dict[str, Document]:
    """The documents of `ids` that are there."""
    current = connection.current
    if len(ids) == 1 or not connection.dialect.atomic_updates:
        # FerretDB 1.x finds by `_id` alone through its index, and by `$in` through a scan.
        found: list[Document | None] = []
        for start in range(0, len(ids), _AT_ONCE):
            found += await asyncio.gather(
                *[
                    current.find_one({"_id": id}, fields, session=session)
                    for id in ids[start : start + _AT_ONCE]
                ]
            )
        return {document["_id"]: document for document in found if document is not None}
    cursor = current.find({"_id": {"$in": list(ids)}}, fields, session=session)
    return {document["_id"]: document async for document in cursor}


def current_version(head: Document | None) -> int:
    """The version now current, in the words of VersionConflict: 0 none, negative a deletion."""
    if head is None:
        return 0
    return -head["version"] if head["deleted"] else int(head["version"])


def check_expectation(change: Change, head: Document | None) -> None:
    current = current_version(head)
    if change.expect == ANY:
        return
    if change.expect == ABSENT:
        if current > 0:
            raise VersionConflict(change.type, change.id, current)
    elif abs(current) != change.expect:
        raise VersionConflict(change.type, change.id, current)


def changes_nothing(change: Change, head: Document | None) -> bool:
    """A deletion of what is absent or deleted already."""
    return change.content is None and (head is None or head["deleted"])


async def unchanged_version(
    connection: Connection, change: Change, head: Document | None
) -> Version:
    if head is None or not head["version"]:
        return Version(change.type, change.id, 0, 0, change.method, None)
    await fetch_chunks(connection, [head])
    return version_of(head)


def head_of(heads: dict[str, Document], change: Change) -> Document | None:
    return heads.get(identity(change.type, change.id))
