"""Masks new documents to professionals when the citizen has chosen so (docs/access.md).

The choice is a Consent in force with provision deny and security label MASQUE_PS. It holds for
documents that others write; what citizens add themselves they mask or not as they like.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, in_force, refers, token
from fhirserver.access.decision.codes import CONSENT_SCOPE, MASKED, PATIENT_PRIVACY, VISIBILITY
from fhirserver.access.decision.guards import labels
from fhirserver.model.dates import microseconds
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.access.store import PermittedStore
    from fhirserver.interaction.context import Context, Draft
    from fhirserver.model.version import Version


class MaskByDefaultBehaviour:
    """`store`: an open one, since who writes may not read the citizen's choices."""

    types = frozenset({"DocumentReference"})

    def __init__(self, store: PermittedStore) -> None:
        self._store = store

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        return [await self._masked(ctx, draft) for draft in drafts]

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        pass

    async def _masked(self, ctx: Context, draft: Draft) -> Draft:
        resource = draft.resource
        if draft.type != "DocumentReference" or resource is None or draft.expect != 0:
            return draft
        subject = _reference(resource.get("subject"))
        authors = [_reference(author) for author in resource.get("author", [])]
        if not subject.startswith("Patient/") or subject in authors or MASKED in labels(resource):
            return draft
        if not await self._chosen(ctx, subject.partition("/")[2]):
            return draft
        label = {"coding": [{"system": VISIBILITY, "code": MASKED}]}
        given = resource.get("securityLabel", [])
        return replace(draft, resource={**resource, "securityLabel": [*given, label]})

    async def _chosen(self, ctx: Context, patient: str) -> bool:
        where = all_of(
            refers("patient", (("Patient", patient),)),
            token("status", "active"),
            token("scope", PATIENT_PRIVACY, system=CONSENT_SCOPE),
            token("provision-type", "deny"),
            token("security-label", MASKED),
            in_force("period", microseconds(ctx.clock())),
        )
        return await self._store.count(Query(("Consent",), where), 1) > 0


def _reference(value: Any) -> str:
    return str(value.get("reference", "")) if isinstance(value, dict) else ""
