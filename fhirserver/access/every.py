"""All that a search finds, page after page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from fhirserver.model.version import Page, Version
    from fhirserver.search.expression import Query


class Searched(Protocol):
    """A store, or a caller's view of it."""

    def search(self, query: Query) -> Awaitable[Page]: ...


async def every(store: Searched, query: Query) -> AsyncIterator[Version]:
    """Every match of a query; its `count` says how many are fetched at a time. What the loop does
    to a match that it was given neither loses nor repeats another (the pages are keysets)."""
    while True:
        page = await store.search(query)
        for version in page.versions:
            yield version
        if page.next is None:
            return
        query = replace(query, after=page.next)
