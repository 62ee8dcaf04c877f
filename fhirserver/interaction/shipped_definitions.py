"""Definitions that travel with the server, for the interactions: read and found by `url` or `_id`
where nothing is stored in their place, written by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.conformance.shipped_definitions import TYPES, definition, of_type
from fhirserver.errors import MethodNotAllowed
from fhirserver.model.json import decode_stored
from fhirserver.search.evaluate import Candidate, matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.search.parse import Search

#: A search that names none of these lists what is stored, and nothing else.
_NAMING = frozenset({"url", "_id"})


def read_shipped(ctx: Context, type: str, id: str, stored: Version | None) -> Version | None:
    """What is stored, or else what is shipped under that id, for whom the type is in reach."""
    if type not in TYPES or (stored is not None and stored.content is not None):
        return stored
    found = definition(type, id)
    return found if found is not None and ctx.store.reaches("r", type) else stored


async def find_shipped(ctx: Context, search: Search, stored: Sequence[Version]) -> list[Version]:
    """The shipped definitions that a search selects besides what is stored, on its only page."""
    types = search.query.types
    if len(types) != 1 or types[0] not in TYPES or not _names(search):
        return []
    taken = {version.id for version in stored}
    found = []
    for version in of_type(types[0]):
        if version.id in taken:
            continue
        entries = ctx.indexer.entries(decode_stored(version.content or b"{}"))
        candidate = Candidate(version.type, version.id, version.updated, entries)
        if matches(search.query.where, candidate, _NoOthers()):
            current = await ctx.store.read(version.type, version.id)
            if current is None or current.content is None:
                found.append(version)
    return found


def refuse_shipped(written: Iterable[tuple[str, str]]) -> None:
    """Raises MethodNotAllowed for what is part of the server."""
    for type, id in written:
        if type in TYPES and definition(type, id) is not None:
            raise MethodNotAllowed(f"{type}/{id} is part of this server and is not written.")


def _names(search: Search) -> bool:
    return any(name.partition(":")[0] in _NAMING for name, _ in search.applied)


class _NoOthers:
    def find(self, type: str, id: str) -> Candidate | None:
        return None

    def of_type(self, type: str) -> Iterable[Candidate]:
        return ()
