"""A person has at most so many carers, and a carer cares for at most so many persons.

A carer is an active RelatedPerson with the relationship CAREGIVER; two are the same carer when they
share an identifier. Those whose period is over do not count.

Source: the national application's rules on delegation, read in 2026 (three carers of a person, five
persons of a carer).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.access.decision.codes import CARER
from fhirserver.access.decision.consent_shapes import codes
from fhirserver.errors import Issue, Unprocessable
from fhirserver.interaction.related_person import beside, lasts
from fhirserver.model.references import identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.access.store import Selects
    from fhirserver.interaction.context import Context, Draft, Resource
    from fhirserver.model.references import Identity
    from fhirserver.model.version import Version

_CARING = (token("active", "true"), token("relationship", CARER))


class CarerLimitBehaviour:
    types = frozenset({"RelatedPerson"})

    def __init__(self, carers_of_person: int = 3, persons_of_carer: int = 5) -> None:
        self._carers = carers_of_person
        self._persons = persons_of_carer

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        written: list[Draft] = []
        for draft in drafts:
            carer = draft.resource
            if draft.type == "RelatedPerson" and carer is not None and is_carer(carer):
                patient = identity(carer.get("patient"), ctx.local_bases, "Patient")
                if patient is not None and lasts(ctx, carer):
                    held = await self._check(ctx, draft, patient, drafts)
                    draft = replace(draft, selects=(*draft.selects, *held))
            written.append(draft)
        return written

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        pass

    async def _check(
        self, ctx: Context, draft: Draft, patient: Identity, drafts: Sequence[Draft]
    ) -> list[Selects]:
        """What must hold of the other carers at commit. Raises Unprocessable."""

        def cared_for(other: Resource) -> Identity | None:
            return identity(other.get("patient"), ctx.local_bases, "Patient")

        of_patient = all_of(*_CARING, refers("patient", (patient,)))
        selects, others = await beside(ctx, draft, of_patient, drafts, is_carer)
        same = [other for other in others if cared_for(other) == patient]
        if len(same) >= self._carers:
            raise _refused(f"A person has at most {self._carers} carers.", "RelatedPerson.patient")
        held = [selects]
        for system, value in _identifiers(draft.resource or {}):
            named = token("identifier", value, system=system)
            selects, others = await beside(ctx, draft, all_of(*_CARING, named), drafts, is_carer)
            held.append(selects)
            persons = {
                cared_for(other) for other in others if (system, value) in _identifiers(other)
            }
            if len(persons - {patient}) >= self._persons:
                raise _refused(
                    f"A carer cares for at most {self._persons} persons.",
                    "RelatedPerson.identifier",
                )
        return held


def is_carer(related: Resource) -> bool:
    return related.get("active") is True and CARER in codes(related.get("relationship", []))


def _identifiers(related: Resource) -> set[tuple[str, str]]:
    return {
        (str(each.get("system", "")), str(each["value"]))
        for each in related.get("identifier", [])
        if isinstance(each, dict) and each.get("value")
    }


def _refused(text: str, expression: str) -> Unprocessable:
    return Unprocessable(issues=(Issue("error", "business-rule", text, (expression,)),))
