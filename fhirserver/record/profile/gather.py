"""What a summary is made of: the resources of each section, read through the caller's eyes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fhirserver.access.decision.build import all_of, any_of, refers, token
from fhirserver.model.dates import microseconds
from fhirserver.model.json import decode_stored
from fhirserver.record.profile.kind import codings, fits, states_absence, table, when
from fhirserver.search.expression import Kind as EntryKind
from fhirserver.search.expression import Query, Sort

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version
    from fhirserver.record.profile.kind import Kind, Section
    from fhirserver.search.expression import Expression

_PAGE = 200
_MOST = 2000  # resources of one kind that are looked at, the newest first
#: Search parameters by which the newest come first, so that a long record is cut at its old end.
_NEWEST = {
    "Observation": "date",
    "DiagnosticReport": "date",
    "MedicationRequest": "authoredon",
    "MedicationStatement": "effective",
    "Immunization": "date",
    "Procedure": "date",
    "Condition": "recorded-date",
    "DocumentReference": "date",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A resource of the record; `key` orders it within its section."""

    version: Version
    resource: Resource
    key: tuple[int, str, str]


@dataclass(slots=True)
class Gathered:
    """`found`: in order, newest first, no more than the section takes; `cut`: there was more;
    `withheld`: no type of the section is within the caller's reach."""

    section: Section
    found: list[Found] = field(default_factory=list)
    cut: bool = False
    withheld: bool = False


async def gather(ctx: Context, patient: str) -> list[Gathered]:
    """Every section of the table, also those in which there is nothing."""
    return [await section(ctx, patient, each) for each in table().sections]


async def section(ctx: Context, patient: str, asked: Section) -> Gathered:
    kinds = [table().kinds[name] for name in asked.kinds]
    gathered = Gathered(asked)
    reached = [kind for kind in kinds if ctx.store.reaches("s", kind.type)]
    gathered.withheld = not reached
    found: list[Found] = []
    for kind in reached:
        of_kind, cut = await _of_kind(ctx, patient, kind)
        found += of_kind
        gathered.cut = gathered.cut or cut
    if any(kind.absence for kind in kinds):
        stated = [each for each in found if not states_absence(each.resource)]
        # “None known” beside something that is there would be wrong and dangerous.
        found = stated or found
    found.sort(key=lambda each: each.key)
    gathered.cut = gathered.cut or len(found) > asked.most
    gathered.found = found[: asked.most]
    return gathered


async def _of_kind(ctx: Context, patient: str, kind: Kind) -> tuple[list[Found], bool]:
    now = microseconds(ctx.clock())
    newest = _NEWEST.get(kind.type)
    sort = (Sort(newest, EntryKind.DATE, descending=True),) if newest else ()
    query = Query((kind.type,), _where(patient, kind), sort, count=_PAGE)
    found: list[Found] = []
    seen = 0
    while True:
        page = await ctx.store.search(query)
        for version in page.versions:
            resource = decode_stored(version.content or b"{}")
            if fits(kind, resource, now):
                order = (-when(kind, resource), version.type, version.id)
                found.append(Found(version, resource, order))
        seen += len(page.versions)
        if page.next is None or seen >= _MOST:
            break
        query = replace(query, after=page.next)
    if kind.newest_of_code:
        found = _newest_of_code(found)
    return found, page.next is not None


def _where(patient: str, kind: Kind) -> Expression:
    """Whose, and of Observations which: a record has far more of those than a summary shows."""
    whose = refers("patient", (("Patient", patient),))
    if kind.type != "Observation":
        return whose
    if kind.categories:
        return all_of(whose, token("category", *kind.categories))
    return all_of(whose, any_of(*(token("code", *c, system=s) for s, c in kind.codes.items())))


def _newest_of_code(found: list[Found]) -> list[Found]:
    kept: dict[object, Found] = {}
    for each in sorted(found, key=lambda each: each.key):
        concept = each.resource.get("code")
        # Without a code nothing tells that it is the same again.
        mark = next(codings(concept), None) or each.key
        kept.setdefault(mark, each)
    return list(kept.values())
