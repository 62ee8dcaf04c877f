"""What a space holds: the resources that are one citizen's data, and the Binaries of their
documents.

Traces (AuditEvent) are not among them: they say what was done, and stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.binary import carried
from fhirserver.access.decision.build import EVERYTHING, all_of, any_of, negate
from fhirserver.access.decision.ownership import People, belongs
from fhirserver.access.decision.tables import resource_types
from fhirserver.access.every import every
from fhirserver.model import references
from fhirserver.model.json import decode_stored
from fhirserver.model.version import HistorySelection
from fhirserver.search.entries import ReferenceEntry
from fhirserver.search.expression import Identity, OfType, Query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Expression

    Named = tuple[str, str]

_PAGE = 500
_TRACES = frozenset({"AuditEvent"})


def types() -> tuple[str, ...]:
    """The types that can be somebody's data; the Patient itself is the last."""
    record = set(resource_types().record) - _TRACES - {"Patient", "Binary"}
    return (*sorted(record | {"Device"}), "Patient")


def _whose(patient: str) -> Expression:
    """What selects, of any type but Patient, the data of that Patient."""
    alike: dict[Expression, list[str]] = {}
    for type in types()[:-1]:
        alike.setdefault(belongs(type, People(EVERYTHING, patient)), []).append(type)
    return any_of(*(all_of(OfType(tuple(of)), where) for where, of in alike.items()))


async def held(ctx: Context, patient: str) -> AsyncIterator[Version]:
    """The current resources that are data of that Patient, the Patient itself at the end."""
    async for version in every(ctx.store, Query(types()[:-1], _whose(patient), count=_PAGE)):
        yield version
    own = await ctx.store.read("Patient", patient)
    if own is not None and not own.deleted:
        yield own


def is_of(ctx: Context, resource: Resource, patient: str) -> bool:
    """Whether a version, perhaps of a resource deleted since, is data of that Patient."""
    type = str(resource.get("resourceType", ""))
    if type == "Patient":
        return resource.get("id") == patient
    codes: Sequence[str] = ("patient",)
    record = resource_types().record.get(type)
    if record is not None:
        codes = record.subject
    elif type != "Device":
        return False
    if type in _TRACES:
        return False
    return any(
        isinstance(entry, ReferenceEntry)
        and entry.param in codes
        and (entry.type, entry.id) == ("Patient", patient)
        for entry in ctx.indexer.entries(resource)
    )


async def binaries(ctx: Context, versions: Iterable[Version]) -> set[Named]:
    """The Binaries that these resources have ever pointed to."""
    found: set[Named] = set()
    for version in versions:
        found |= _pointed(ctx, version)
        if version.version > 1:
            after: str | None = None
            while True:
                selection = HistorySelection(
                    type=version.type, id=version.id, count=_PAGE, after=after
                )
                page = await ctx.store.history(selection)
                for past in page.versions:
                    found |= _pointed(ctx, past)
                if page.next is None:
                    break
                after = page.next
    return found


async def loose(ctx: Context, named: Iterable[Named]) -> list[Named]:
    """Those of these Binaries that no document carries any more."""
    ids = sorted(id for _, id in named)
    found: list[Named] = []
    for start in range(0, len(ids), _PAGE):
        part = tuple(ids[start : start + _PAGE])
        where = all_of(Identity(part), negate(carried(EVERYTHING)))
        page = await ctx.store.search(Query(("Binary",), where, count=_PAGE))
        found += [(version.type, version.id) for version in page.versions]
        gone = set(part) - {v.id for v in await ctx.store.read_many([("Binary", i) for i in part])}
        found += [("Binary", id) for id in sorted(gone)]  # deleted: their past is still there
    return found


def _pointed(ctx: Context, version: Version) -> set[Named]:
    if version.content is None or b"Binary/" not in version.content:
        return set()
    found = set()
    for link in references.links(decode_stored(version.content)):
        target = references.parse(link.value, ctx.local_bases)
        if target.kind == "literal" and target.type == "Binary":
            found.add(("Binary", target.id))
    return found
