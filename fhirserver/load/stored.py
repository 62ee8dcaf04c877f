"""What the store already has: the same content, the search parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.model.content import resource_of
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.access.store import PermittedStore
    from fhirserver.model.version import Content


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
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = await store.search(Query(("SearchParameter",), count=500, after=after))
        found.extend(resource_of(v.content) for v in page.versions if v.content is not None)
        after = page.next
        if after is None:
            return found
