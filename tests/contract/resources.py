"""Small contents, changes and reads for the contract suite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fhirserver.model.version import ANY, Change, Content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.model.version import HistorySelection, Version
    from fhirserver.search.expression import Query
    from fhirserver.storage.interface import Store


def content(type: str, id: str, mark: str = "") -> Content:
    head = json.dumps({"resourceType": type, "id": id})[:-1] + ',"meta":{"versionId":"'
    tail = '"},"implicitRules":' + json.dumps(mark, ensure_ascii=False) + "}"
    return Content(head.encode(), b'","lastUpdated":"', tail.encode())


def put(
    type: str, id: str, entries: Sequence[Any] = (), *, mark: str = "", expect: int = ANY
) -> Change:
    return Change("PUT", type, id, content(type, id, mark), entries, expect)


def post(type: str, id: str, entries: Sequence[Any] = (), *, mark: str = "") -> Change:
    return Change("POST", type, id, content(type, id, mark), entries, 0)


def delete(type: str, id: str, *, expect: int = ANY) -> Change:
    return Change("DELETE", type, id, None, (), expect)


async def commit(store: Store, change: Change) -> Version:
    (version,) = await store.commit([change])
    return version


async def ids(store: Store, query: Query) -> list[str]:
    return [version.id for version in (await store.search(query)).versions]


async def walk(store: Store, query: Query) -> list[Version]:
    """Every version of every page."""
    from dataclasses import replace

    found: list[Version] = []
    while True:
        page = await store.search(query)
        assert len(page.versions) <= query.count
        found += page.versions
        if page.next is None:
            return found
        assert page.versions, "a page with a next page is not empty"
        query = replace(query, after=page.next)


async def walk_history(store: Store, selection: HistorySelection) -> list[Version]:
    from dataclasses import replace

    found: list[Version] = []
    while True:
        page = await store.history(selection)
        assert len(page.versions) <= selection.count
        found += page.versions
        if page.next is None:
            return found
        assert page.versions, "a page with a next page is not empty"
        selection = replace(selection, after=page.next)
