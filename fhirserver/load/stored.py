"""What the store already has: the same content, the search parameters."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from fhirserver.access.every import every
from fhirserver.model.content import resource_of
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.access.store import PermittedStore
    from fhirserver.model.version import Change, Content, Version

#: Why a POST entry is refused whose resource is there with other content.
DIFFERENT = (
    "is there already with other content, and POST replaces nothing; "
    "say PUT in the entry's request to make a new version"
)


class Verdict(Enum):
    """What a change means beside what is stored. KEPT: it was made by an earlier load and
    changed since, and a create does not undo that."""

    NEW = auto()
    SAME = auto()
    KEPT = auto()
    DIFFERENT = auto()


def compare(
    change: Change,
    there: Mapping[tuple[str, str], Version],
    coming: Mapping[tuple[str, str], Content],
) -> Verdict:
    """`there` are the current versions, `coming` the contents about to be committed."""
    if change.content is None:
        return Verdict.NEW
    identity = (change.type, change.id)
    before = coming.get(identity)
    stored = there.get(identity)
    if before is not None:
        if before == change.content:
            return Verdict.SAME
        return Verdict.NEW if change.method == "PUT" else Verdict.DIFFERENT
    if stored is None:
        return Verdict.NEW
    if stands_as(stored.content, change.content):
        return Verdict.SAME
    if change.method == "PUT":
        return Verdict.NEW
    return Verdict.KEPT if stored.version > 1 else Verdict.DIFFERENT


def stands_as(stored: bytes | None, content: Content) -> bool:
    """Whether `stored` is some version of exactly `content`."""
    if stored is None or not stored.startswith(content.head) or not stored.endswith(content.tail):
        return False
    start = stored.find(content.middle, len(content.head))
    if start < 0 or not stored[len(content.head) : start].isdigit():
        return False
    time = stored[start + len(content.middle) : len(stored) - len(content.tail)]
    return len(time) <= 40 and b'"' not in time


async def search_parameters(store: PermittedStore) -> list[dict[str, Any]]:
    """The SearchParameter resources of the store."""
    query = Query(("SearchParameter",), count=500)
    return [resource_of(v.content) async for v in every(store, query) if v.content is not None]
