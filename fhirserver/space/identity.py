"""Who somebody is: French numbers are right, and there is one space for one INS.

A write of a Patient depends on no other Patient having the INS at the moment of commit, so of many
at once a single one is made, on every engine. An identifier of use `old` (after a merge) counts
no more. Source: CSP L.1111-8-1 and R.1111-8-1 to 8-7 (INS), R.1111-28 (one space each).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.store import Selects
from fhirserver.errors import Forbidden, Unprocessable
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Both, Compare, Kind, Match, Query
from fhirserver.space import traits
from fhirserver.space.identifier import (
    checked_types,
    each_identifier,
    identifier_issues,
    is_national,
)
from fhirserver.space.refusal import issue, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.errors import Issue
    from fhirserver.interaction.context import Context, Draft, Resource
    from fhirserver.model.version import Version


def keeps_identities(ctx: Context) -> bool:
    """The server itself, a registrar, or anybody where there is no access control."""
    if ctx.server is None or ctx.caller.role is Role.OPEN:
        return True
    return ctx.caller.client in ctx.access.registrars


class IdentityBehaviour:
    types = checked_types()

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        written: list[Draft] = []
        taken: dict[tuple[str, str], str] = {}  # INS of other Patients of the same Bundle
        for draft in drafts:
            if draft.resource is None or draft.type not in self.types:
                written.append(draft)
                continue
            issues = identifier_issues(draft.type, draft.resource)
            if draft.type == "Patient":
                issues += patient_issues(draft.resource)
            if issues:
                raise Unprocessable(issues=tuple(issues))
            if draft.type == "Patient":
                draft = await self._alone(ctx, draft, taken)
            written.append(draft)
        return written

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        return None

    async def _alone(self, ctx: Context, draft: Draft, taken: dict[tuple[str, str], str]) -> Draft:
        """The draft, bound to nobody else having its INS. Raises Unprocessable."""
        assert draft.resource is not None
        if not draft.server and not keeps_identities(ctx):
            # Whether somebody has an INS is not for everybody to find out by taking it.
            stored = await ctx.as_server.store.read("Patient", draft.id)
            before = decode_stored((stored and stored.content) or b"{}")
            if before.get("identifier") != draft.resource.get("identifier"):
                raise Forbidden("Patient.identifier is kept by who registers identities.")
            return draft
        selects = list(draft.selects)
        for place, identifier in each_identifier(draft.resource):
            if not is_national(identifier):
                continue
            ins = identifier["system"], identifier["value"]
            where = f"Patient.identifier[{place}]"
            if taken.setdefault(ins, draft.id) != draft.id:
                raise _duplicate(where)
            query = bearers(*ins)
            found = (await ctx.as_server.store.search(query)).versions
            if any(version.id != draft.id for version in found):
                raise _duplicate(where)
            ids = frozenset((version.type, version.id) for version in found)
            selects.append(Selects(query, ids, server=True))
        return replace(draft, selects=tuple(selects))


def bearers(system: str, value: str) -> Query:
    """The Patients who have this INS in use."""
    test = Both((Compare("system", "eq", system), Compare("code", "eq", value)))
    return Query(("Patient",), Match("ins", Kind.TOKEN, test), count=2)


def patient_issues(resource: Resource) -> list[Issue]:
    """What is wrong with a Patient's identity, beside the numbers themselves."""
    found: list[Issue] = []
    national = [place for place, each in each_identifier(resource) if is_national(each)]
    if len(national) > 1:
        found.append(
            issue(
                "A Patient has one INS in use; earlier ones are of use old.",
                *(f"Patient.identifier[{place}]" for place in national),
            )
        )
    if traits.claims(resource):
        found += traits.profile_issues(resource)
    return found


def _duplicate(where: str) -> Unprocessable:
    return refused("There is a Patient with this INS already.", where, code="duplicate")
