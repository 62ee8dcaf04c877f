"""The rules of the medical profile on every write.

They bind what citizens and their apps write, and measures that claim a French profile, whoever
writes them. Everything else, and the server's own writes, they let pass. What is written again as
it was, but for its labels, is not judged anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.errors import Issue, Unprocessable
from fhirserver.interaction.related_person import beside, lasts
from fhirserver.model.dates import microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity
from fhirserver.record.names import TYPES_OF_THE_RECORD
from fhirserver.record.profile import entry, measure
from fhirserver.record.profile.kind import codings, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Draft, Resource
    from fhirserver.model.version import Version

_DIRECTIVES = (TYPES_OF_THE_RECORD, "EXPPAT_3")


class ProfileBehaviour:
    types = frozenset({*entry.rules().entries, "RelatedPerson", "Consent", "DocumentReference"})

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        if ctx.server is None:
            return drafts
        by_citizen = ctx.caller.role in (Role.CITIZEN, Role.PROXY) or bool(ctx.caller.app)
        written: list[Draft] = []
        for draft in drafts:
            resource = draft.resource
            if draft.type in self.types and resource is not None and not draft.server:
                draft = await self._judged(ctx, draft, resource, by_citizen, drafts)
            written.append(draft)
        return written

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        pass

    async def _judged(
        self,
        ctx: Context,
        draft: Draft,
        resource: Resource,
        by_citizen: bool,
        drafts: Sequence[Draft],
    ) -> Draft:
        is_measure = draft.type == "Observation" and (by_citizen or bool(measure.claimed(resource)))
        if not (by_citizen or is_measure) or await _is_as_it_was(ctx, draft, resource):
            return draft
        issues = list(measure.faults(resource)) if is_measure else []
        if by_citizen:
            issues += await _faults(ctx, resource)
        if issues:
            raise Unprocessable(issues=tuple(issues))
        if by_citizen and is_trusted(resource):
            return await _only_trusted(ctx, draft, resource, drafts)
        return draft


async def _is_as_it_was(ctx: Context, draft: Draft, resource: Resource) -> bool:
    if draft.expect == 0:
        return False
    version = await ctx.as_server.store.read(draft.type, draft.id)
    if version is None or version.content is None:
        return False
    before = decode_stored(version.content)
    return _content(before) == _content(resource)


def _content(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}


async def _faults(ctx: Context, resource: Resource) -> list[Issue]:
    now = microseconds(ctx.clock())
    patient = await _patient(ctx, resource)
    birth = patient.get("birthDate")
    found = list(entry.faults(resource, birth, now))
    place = _directive(resource)
    if place and not entry.adult(birth, now):
        text = "Advance directives are written by persons of age (CSP L1111-11)."
        found.append(Issue("error", "business-rule", text, (place,)))
    if is_trusted(resource):
        if not entry.adult(birth, now):
            text = "A trusted person is designated by a person of age (CSP L1111-6)."
            found.append(Issue("error", "business-rule", text, ("RelatedPerson.relationship",)))
        if not resource.get("name"):
            text = "A trusted person has a name."
            found.append(Issue("error", "required", text, ("RelatedPerson.name",)))
        if not resource.get("telecom") and not resource.get("address"):
            text = "A trusted person can be reached: give telecom or address."
            found.append(Issue("error", "required", text, ("RelatedPerson.telecom",)))
    return found


async def _patient(ctx: Context, resource: Resource) -> Resource:
    reference = resource.get("subject") or resource.get("patient")
    patient = identity(reference, ctx.local_bases, "Patient")
    if patient is None:
        return {}
    version = await ctx.as_server.store.read(*patient)
    return decode_stored(version.content) if version and version.content else {}


def _directive(resource: Resource) -> str:
    """The place that says that this is an advance directive in force; empty when it is none."""
    if resource.get("resourceType") == "DocumentReference":
        is_one = _DIRECTIVES in codings(resource.get("type"))
        return "DocumentReference.type" if is_one else ""
    if resource.get("resourceType") != "Consent" or resource.get("status") != "active":
        return ""
    known = table().kinds["directive-consent"].codes
    for name in ("category", "scope"):
        if any(code in known.get(system, ()) for system, code in codings(resource.get(name))):
            return f"Consent.{name}"
    return ""


# --- the trusted person: one at a time --------------------------------------------------------


def is_trusted(resource: Resource) -> bool:
    asked = entry.rules().trusted_person
    return (
        resource.get("resourceType") == "RelatedPerson"
        and resource.get("active") is not False
        and any(
            system == asked.system and code in asked.codes
            for system, code in codings(resource.get("relationship"))
        )
    )


async def _only_trusted(
    ctx: Context, draft: Draft, resource: Resource, drafts: Sequence[Draft]
) -> Draft:
    patient = identity(resource.get("patient"), ctx.local_bases)
    if patient is None or not lasts(ctx, resource):
        return draft
    asked = entry.rules().trusted_person
    where = all_of(
        refers("patient", (patient,)), token("relationship", *asked.codes, system=asked.system)
    )

    def fits(other: Resource) -> bool:
        of_patient = identity(other.get("patient"), ctx.local_bases) == patient
        return of_patient and is_trusted(other)

    held, others = await beside(ctx, draft, where, drafts, fits)
    if others:
        text = (
            "There is a trusted person already; a person has one (CSP L1111-6). "
            "End the other designation first: active false, or the end of its period."
        )
        place = ("RelatedPerson.relationship",)
        raise Unprocessable(issues=(Issue("error", "business-rule", text, place),))
    return replace(draft, selects=(*draft.selects, held))
