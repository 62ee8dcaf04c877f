"""A FHIR document: the Composition and what it leads to, in one Bundle
(https://hl7.org/fhir/R4/documents.html).

What the caller may not see does not exist for it, so it is told as missing like anything else that
is not there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fhirserver.model import references
from fhirserver.model.json import decode_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version

#: Type, id, and the version a reference asks for ("" for the current one).
Key = tuple[str, str, str]
_AT_A_TIME = 50  # resources walked before other requests get their turn


@dataclass(slots=True)
class Reached:
    """What a walk along references came to. `cut`: there was more than `most`."""

    found: dict[Key, Version] = field(default_factory=dict)
    missing: set[Key] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)
    cut: bool = False


async def reach(
    ctx: Context,
    start: Sequence[Version],
    *,
    most: int,
    follow: Callable[[int, str], bool],
    keep: Callable[[Resource], bool] = lambda resource: True,
) -> Reached:
    """Everything that `start` refers to, and what that refers to in turn, each once.

    `follow`: whether a reference to a type is gone along, by how many steps away from `start` it
    leads. `keep`: whether a resource that was read belongs to it. A circle ends where it began.
    """
    reached = Reached()
    known = {(v.type, v.id, "") for v in start}
    frontier = list(start)
    step = 0
    while frontier:
        step += 1
        wanted: set[Key] = set()
        for number, version in enumerate(frontier, 1):
            for reference in _references(ctx, version, reached.elsewhere):
                key = (reference.type, reference.id, reference.version or "")
                if key not in known and follow(step, reference.type):
                    wanted.add(key)
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        known |= wanted
        listed = sorted(wanted)
        room = most - len(reached.found)
        if len(listed) > room:
            reached.cut = True
            listed = listed[:room]
        frontier = []
        for key, read in (await _read(ctx, listed)).items():
            if read is None or read.content is None:
                reached.missing.add(key)
            elif keep(decode_stored(read.content)):
                reached.found[key] = read
                frontier.append(read)
    return reached


def _references(ctx: Context, version: Version, elsewhere: set[str]) -> list[references.Reference]:
    found = []
    for link in references.links(decode_stored(version.content or b"{}")):
        if link.type != "reference":
            continue
        reference = references.parse(link.value, ctx.local_bases)
        if reference.kind == "literal":
            found.append(reference)
        elif reference.kind in ("absolute", "urn"):
            elsewhere.add(reference.text)
    return found


async def _read(ctx: Context, keys: Sequence[Key]) -> dict[Key, Version | None]:
    # A type out of the caller's reach is not demanded: its resources are simply not there.
    reached = [key for key in keys if ctx.store.reaches("r", key[0])]
    current = {
        (v.type, v.id): v
        for v in await ctx.store.read_many(list(dict.fromkeys(key[:2] for key in reached)))
    }
    found: dict[Key, Version | None] = dict.fromkeys(keys)
    for key in reached:
        version = current.get(key[:2])
        if key[2] and version is not None and str(version.version) != key[2]:
            version = await ctx.store.vread(*key[:2], int(key[2])) if key[2].isdecimal() else None
        found[key] = version
    return found


def full_url(ctx: Context, version: Version) -> str:
    return f"{ctx.base_url.rstrip('/')}/{version.type}/{version.id}"


def document(
    entries: Sequence[tuple[str, Resource]], *, identifier: str, timestamp: str
) -> Resource:
    """The Bundle of fullUrls and resources, the Composition first; each pair of fullUrl and
    version stands once (bdl-7)."""
    listed, seen = [], set()
    for url, resource in entries:
        mark = (url, (resource.get("meta") or {}).get("versionId"))
        if mark not in seen:
            seen.add(mark)
            listed.append({"fullUrl": url, "resource": resource})
    return {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": identifier},
        "type": "document",
        "timestamp": timestamp,
        "entry": listed,
    }
