"""Makes the links between the entries of a transaction, and its conditional references, point to
the resources they mean (https://hl7.org/fhir/R4/http.html#trules,
https://hl7.org/fhir/R4/bundle.html#references).

A conditional reference is resolved last, as the rules have it: against the store less what the
transaction writes, and what it writes. Criteria that reach to other resources (chains, `_has`)
are asked of the store alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.interaction.conditional_reference import conditional_references, the_one
from fhirserver.interaction.select import conditional_query
from fhirserver.model import references
from fhirserver.model.version import ANY
from fhirserver.search.evaluate import Candidate, Resources, matches

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.interaction.transaction_plan import Plan, Planned

_HISTORY = "/_history/"
_AT_A_TIME = 50  # resources rewritten before other requests get their turn


class _Mapping(dict[str, str]):
    """fullUrl to `Type/id`. It notices, while links are looked up for rewriting, whether one may
    be a conditional reference, and those to one version of what has a fullUrl here, which spares
    a second walk through every resource."""

    noticed = False

    def __init__(self, mapping: dict[str, str]) -> None:
        super().__init__(mapping)
        self.versioned: dict[str, str] = {}  # link -> fullUrl

    def __contains__(self, link: object) -> bool:
        if "?" in link:  # type: ignore[operator]
            self.noticed = True
        if _HISTORY in link:  # type: ignore[operator]
            url = str(link).partition(_HISTORY)[0]
            if super().__contains__(url):
                self.versioned[str(link)] = url
        return super().__contains__(link)


async def settle_links(ctx: Context, plan: Plan) -> None:
    """Rewrite the resources of `plan.writes`. Raises PreconditionFailed, naming the entry."""
    mapping = _Mapping(plan.mapping)
    conditional: list[tuple[Planned, dict[str, references.Reference]]] = []
    for number, write in enumerate(plan.writes, 1):
        if write.draft.resource is None:
            continue
        mapping.noticed = False
        resource = references.rewrite(
            write.draft.resource, mapping, base=_base(write.step.full_url)
        )
        if resource is not write.draft.resource:
            write.draft = replace(write.draft, resource=resource)
        if mapping.noticed and (found := conditional_references(ctx, resource)):
            conditional.append((write, found))
        if number % _AT_A_TIME == 0:
            await asyncio.sleep(0)
    if mapping.versioned:
        await _settle_versions(ctx, plan, mapping)
    if conditional:
        await _resolve(ctx, plan, conditional)


async def _settle_versions(ctx: Context, plan: Plan, mapping: _Mapping) -> None:
    """A link to one version stays one: to the version that the transaction makes or finds."""
    known = {}
    for link, url in mapping.versioned.items():
        type, _, id = mapping[url].partition("/")
        known[link] = f"{type}/{id}{_HISTORY}{await _version(ctx, plan, type, id)}"
    for write in plan.writes:
        if write.draft.resource is not None:
            base = _base(write.step.full_url)
            resource = references.rewrite(write.draft.resource, known, base=base)
            write.draft = replace(write.draft, resource=resource)


async def _version(ctx: Context, plan: Plan, type: str, id: str) -> int:
    for written in plan.settled.values():
        for one in written:
            if (one.version.type, one.version.id) == (type, id):
                return one.version.version
    current = await ctx.store.current(type, id)
    if current is None:
        return 1
    for write in plan.writes:
        draft = write.draft
        if (draft.type, draft.id) == (type, id) and draft.expect == ANY:
            write.draft = replace(draft, expect=current.version)  # or it would be another
    return current.version + 1


def _base(full_url: str | None) -> str:
    """The base of a RESTful fullUrl; relative references in the entry are read against it."""
    if not full_url or "://" not in full_url:
        return ""
    reference = references.parse(full_url)
    if reference.kind != "absolute" or not reference.id:
        return ""
    return full_url[: -len(reference.literal) - 1]


async def _resolve(
    ctx: Context, plan: Plan, conditional: list[tuple[Planned, dict[str, references.Reference]]]
) -> None:
    resolver = _Resolver(ctx, plan)
    known: dict[str, str] = {}
    for write, found in conditional:
        for text, reference in found.items():
            if text not in known:
                with write.step.named():
                    known[text] = await resolver.resolve(reference)
    for write, _ in conditional:
        assert write.draft.resource is not None
        rewritten = references.rewrite(write.draft.resource, known)
        write.draft = replace(write.draft, resource=rewritten)


class _Resolver:
    def __init__(self, ctx: Context, plan: Plan) -> None:
        self._ctx = ctx
        self._plan = plan
        self._written = {(w.draft.type, w.draft.id) for w in plan.writes}
        self._candidates: dict[str, list[Candidate]] = {}

    async def resolve(self, reference: references.Reference) -> str:
        """The one resource meant, as `Type/id`."""
        ctx = self._ctx
        query = conditional_query(ctx, reference.type, reference.criteria)
        page = await ctx.store.search(replace(query, count=2 + len(self._written)))
        ids = [v.id for v in page.versions if (v.type, v.id) not in self._written]
        ids += [
            candidate.id
            for candidate in self._of_type(reference.type)
            if matches(query.where, candidate, _NOTHING_ELSE)
        ]
        return the_one(reference, ids)

    def _of_type(self, type: str) -> list[Candidate]:
        if type not in self._candidates:
            self._candidates[type] = [
                Candidate(type, w.draft.id, 0, self._ctx.indexer.entries(w.draft.resource))
                for w in self._plan.writes
                if w.draft.type == type and w.draft.resource is not None
            ]
        return self._candidates[type]


_NOTHING_ELSE = Resources(())
