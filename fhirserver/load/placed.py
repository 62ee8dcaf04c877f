"""Entries on their way to a server, and how they are put together to Bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.load.streams import MIB

if TYPE_CHECKING:
    from fhirserver.load.bundle import Entry
    from fhirserver.load.items import Item

BUNDLE_ENTRIES = 500
BUNDLE_BYTES = 4 * MIB


class Placed:
    """An entry on its way: where it came from and what is sent for it."""

    __slots__ = ("entry", "item", "resource")

    def __init__(self, item: Item, entry: Entry, resource: dict[str, Any] | None) -> None:
        self.item = item
        self.entry = entry
        self.resource = resource

    def request(self, create_only: bool) -> dict[str, Any]:
        entry = self.entry
        url = f"{entry.type}/{entry.id}" if entry.id else entry.type
        sent: dict[str, Any] = {}
        if entry.method == "POST" and entry.criteria is not None:
            request = {"method": "POST", "url": entry.type, "ifNoneExist": entry.criteria}
            if entry.full_url is not None:
                sent["fullUrl"] = entry.full_url
        elif entry.method == "POST":
            request = {"method": "PUT", "url": url}
            if create_only:
                request["ifNoneMatch"] = "*"
        else:
            if entry.criteria is not None:
                url = f"{entry.type}?{entry.criteria}"
                if entry.full_url is not None and entry.method == "PUT":
                    sent["fullUrl"] = entry.full_url
            request = {"method": entry.method, "url": url}
        if entry.if_match is not None:
            request["ifMatch"] = entry.if_match
        if self.resource is not None:
            sent["resource"] = self.resource
        sent["request"] = request
        return sent


def groups(placed: list[Placed]) -> list[list[Placed]]:
    """`placed` in Bundles of bearable size; entries whose ids the server settles stay together
    with those that point to them."""
    if any(p.entry.criteria is not None for p in placed):
        return [placed] if placed else []
    made: list[list[Placed]] = []
    size = 0
    for one in placed:
        length = len(one.entry.data)
        if not made or len(made[-1]) >= BUNDLE_ENTRIES or size + length > BUNDLE_BYTES:
            made.append([])
            size = 0
        made[-1].append(one)
        size += length
    return made
