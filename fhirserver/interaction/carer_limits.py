"""A person has at most so many carers, and a carer cares for at most so many persons.

A carer is an active RelatedPerson with the relationship CAREGIVER; two are the same carer when they
share an identifier. Those whose period is over do not count.

Source: the national application's rules on delegation, read in 2026 (three carers of a person, five
persons of a carer).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.access.decision.codes import CARER
from fhirserver.access.decision.consent_shapes import codes
from fhirserver.access.store import Selects
from fhirserver.errors import Issue, Unprocessable
from fhirserver.model.dates import microseconds, period
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Draft, Resource
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Expression

_MOST = 1000  # carers looked through
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
                patient = _reference(carer.get("patient"))
                if patient and _lasts(ctx, carer):
                    held = await self._check(ctx, draft, patient, drafts)
                    draft = replace(draft, selects=(*draft.selects, *held))
            written.append(draft)
        return written

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        pass

    async def _check(
        self, ctx: Context, draft: Draft, patient: str, drafts: Sequence[Draft]
    ) -> list[Selects]:
        """What must hold of the other carers at commit. Raises Unprocessable."""
        of_patient = all_of(*_CARING, refers("patient", (("Patient", patient),)))
        selects, others = await self._others(ctx, draft, of_patient, drafts)
        same = [other for other in others if _reference(other.get("patient")) == patient]
        if len(same) >= self._carers:
            raise _refused(f"A person has at most {self._carers} carers.", "RelatedPerson.patient")
        held = [selects]
        for system, value in _identifiers(draft.resource or {}):
            named = token("identifier", value, system=system)
            selects, others = await self._others(ctx, draft, all_of(*_CARING, named), drafts)
            held.append(selects)
            persons = {
                _reference(other.get("patient"))
                for other in others
                if (system, value) in _identifiers(other)
            }
            if len(persons - {patient}) >= self._persons:
                raise _refused(
                    f"A carer cares for at most {self._persons} persons.",
                    "RelatedPerson.identifier",
                )
        return held

    async def _others(
        self, ctx: Context, draft: Draft, where: Expression, drafts: Sequence[Draft]
    ) -> tuple[Selects, list[Resource]]:
        """The carers there are beside this one, with those written together with it. The time is
        not in the query, so that two who ask for the same wait for each other."""
        query = Query(("RelatedPerson",), where, count=_MOST)
        found = (await ctx.as_server.store.search(query)).versions
        written = {each.id: each.resource for each in drafts if each.type == "RelatedPerson"}
        others = [decode_stored(v.content or b"{}") for v in found if v.id not in written]
        others += [
            other
            for id, other in written.items()
            if id != draft.id and other is not None and is_carer(other)
        ]
        ids = frozenset((version.type, version.id) for version in found)
        return Selects(query, ids, server=True), [o for o in others if _lasts(ctx, o)]


def is_carer(related: Resource) -> bool:
    return related.get("active") is True and CARER in codes(related.get("relationship", []))


def _lasts(ctx: Context, related: Resource) -> bool:
    """Its time is not over; one that is to come counts."""
    bounds = period(related.get("period") or {})
    return bounds is None or bounds[1] > microseconds(ctx.clock())


def _identifiers(related: Resource) -> set[tuple[str, str]]:
    return {
        (str(each.get("system", "")), str(each["value"]))
        for each in related.get("identifier", [])
        if isinstance(each, dict) and each.get("value")
    }


def _reference(value: Any) -> str:
    text = str(value.get("reference", "")) if isinstance(value, dict) else ""
    return text.removeprefix("Patient/") if text.startswith("Patient/") else ""


def _refused(text: str, expression: str) -> Unprocessable:
    return Unprocessable(issues=(Issue("error", "business-rule", text, (expression,)),))
