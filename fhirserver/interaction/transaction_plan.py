"""Which resources a transaction writes, and under which identities.

Deletions come first, then creates, then updates and patches, whatever the order of the Bundle
(https://hl7.org/fhir/R4/http.html#trules). Criteria are asked of the store as it is before the
transaction, less what the transaction deletes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fhirserver.errors import (
    Gone,
    Invalid,
    MultipleMatches,
    NotFound,
    PreconditionFailed,
)
from fhirserver.interaction.conditional_delete import deletion
from fhirserver.interaction.conditional_update import conditional_draft
from fhirserver.interaction.context import Draft, Written
from fhirserver.interaction.identity import unknown
from fhirserver.interaction.if_match import check_if_match
from fhirserver.interaction.patch import patch_of, patched_draft
from fhirserver.interaction.select import conditional_query, select_all, selects
from fhirserver.interaction.update import expectation
from fhirserver.model.version import ABSENT, Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhirserver.access.store import Selects
    from fhirserver.interaction.context import Context, Result
    from fhirserver.interaction.transaction_step import Step
    from fhirserver.search.expression import Query

Identity = tuple[str, str]

_ACTIONS = {"delete": "d", "create": "c", "update": "u", "patch": "u"}


@dataclass(slots=True)
class Planned:
    """A draft, the step it is for, and how its success is told."""

    step: Step
    draft: Draft
    result: Result


@dataclass(slots=True)
class Plan:
    """`writes` in the order of processing; `settled`: what is known without writing, by place;
    `mapping`: fullUrl to `Type/id`; `deleted`: identities that go away."""

    writes: list[Planned] = field(default_factory=list)
    settled: dict[int, tuple[Written, ...]] = field(default_factory=dict)
    shared: dict[int, int] = field(default_factory=dict)  # place -> place of the same create
    preconditions: list[Selects] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=dict)
    deleted: set[Identity] = field(default_factory=set)
    current: dict[Identity, Version] = field(default_factory=dict)


async def plan(ctx: Context, steps: Iterable[Step]) -> Plan:
    """Settle every identity. Raises what makes the transaction fail, naming the entry."""
    plan = Plan()
    for step in steps:
        if step.kind in _ACTIONS:
            with step.named():
                ctx.store.demand(_ACTIONS[step.kind], step.type)
    by_kind: dict[str, list[Step]] = {}
    for step in steps:
        by_kind.setdefault(step.kind, []).append(step)
    # Also where one of two entries has nothing to do, such as a deletion of what is not there.
    _refuse_overlap(
        ((s.type, s.id), s)
        for kind in ("delete", "update", "patch")
        for s in by_kind.get(kind, ())
        if s.id is not None
    )
    known = [(s.type, s.id) for s in steps if s.id is not None]
    plan.current = {(v.type, v.id): v for v in await ctx.store.current_many(known)}
    for step in by_kind.get("delete", ()):
        with step.named():
            await _delete(ctx, plan, step)
    creates: dict[Query, Step] = {}
    for step in by_kind.get("create", ()):
        with step.named():
            await _create(ctx, plan, step, creates)
    for step in by_kind.get("update", ()):
        with step.named():
            await _update(ctx, plan, step)
    for step in by_kind.get("patch", ()):
        with step.named():
            await _patch(ctx, plan, step)
    for place, first in plan.shared.items():
        url = by_place(steps)[place].full_url
        target = next(p.draft for p in plan.writes if p.step.place == first)
        if url:
            plan.mapping[url] = f"{target.type}/{target.id}"
    _refuse_overlap(((p.draft.type, p.draft.id), p.step) for p in plan.writes)
    return plan


def by_place(steps: Iterable[Step]) -> dict[int, Step]:
    return {step.place: step for step in steps}


async def _delete(ctx: Context, plan: Plan, step: Step) -> None:
    if step.id is None:
        assert step.criteria is not None
        query = conditional_query(ctx, step.type, step.criteria)
        found = await select_all(ctx, query, step.criteria)
        plan.preconditions.append(selects(query, *found))
        if step.if_match is not None:
            for version in found:
                check_if_match(version.type, version.id, version, step.if_match)
        if not found:
            plan.settled[step.place] = ()
    else:
        current = plan.current.get((step.type, step.id))
        if step.if_match is not None:
            check_if_match(step.type, step.id, current, step.if_match)
        if current is None:
            gone = await ctx.store.current(step.type, step.id)
            nothing = gone or Version(step.type, step.id, 0, 0, "DELETE", None)
            plan.settled[step.place] = (Written("unchanged", nothing),)
            return
        found = [current]
    for version in found:
        plan.writes.append(Planned(step, deletion(version), "deleted"))
        plan.deleted.add((version.type, version.id))


async def _create(ctx: Context, plan: Plan, step: Step, creates: dict[Query, Step]) -> None:
    if step.criteria is not None:
        query = conditional_query(ctx, step.type, step.criteria)
        if query in creates:
            # The same condition twice means the same resource: made once, found the second time.
            plan.shared[step.place] = creates[query].place
            return
        found = await _select(ctx, plan, query, step.criteria)
        if found is not None:
            plan.settled[step.place] = (Written("found", found),)
            _map(plan, step, found.id)
            return
        creates[query] = step
    id = ctx.new_id()
    _write(plan, step, Draft("POST", step.type, id, step.resource, ABSENT), "created")


async def _update(ctx: Context, plan: Plan, step: Step) -> None:
    if step.id is None:
        assert step.criteria is not None
        query = conditional_query(ctx, step.type, step.criteria)
        found = await _select(ctx, plan, query, step.criteria)
        draft = await conditional_draft(ctx, step.type, step.resource, found, step.if_match)
        _write(plan, step, draft, "updated" if found else "created")
        return
    current = plan.current.get((step.type, step.id))
    if step.if_none_match and current is not None:
        raise PreconditionFailed(
            f"{step.type}/{step.id} exists (version {current.version}), and ifNoneMatch is *."
        )
    expect = expectation(ctx, step.type, step.id, current, step.if_match)
    draft = Draft("PUT", step.type, step.id, step.resource, expect)
    _write(plan, step, draft, "created" if expect == ABSENT else "updated")


async def _patch(ctx: Context, plan: Plan, step: Step) -> None:
    if step.id is None:
        assert step.criteria is not None
        query = conditional_query(ctx, step.type, step.criteria)
        current = await _select(ctx, plan, query, step.criteria)
        if current is None:
            raise NotFound(f"The criteria '{step.criteria[:200]}' select no {step.type}.")
    else:
        current = plan.current.get((step.type, step.id))
    if step.if_match is not None:
        check_if_match(step.type, step.id or "", current, step.if_match)
    if current is None:
        if await ctx.store.current(step.type, step.id or "") is None:
            raise unknown(step.type, step.id or "")
        raise Gone(f"{step.type}/{step.id} was deleted.")
    _write(plan, step, patched_draft(current, patch_of(step.resource)), "updated")


async def _select(ctx: Context, plan: Plan, query: Query, criteria: str) -> Version | None:
    """The one resource selected that the transaction does not delete; a precondition keeps it
    so until the commit."""
    found = (await ctx.store.search(replace(query, count=2 + len(plan.deleted)))).versions
    plan.preconditions.append(selects(query, *found))
    left = [version for version in found if (version.type, version.id) not in plan.deleted]
    if len(left) > 1:
        raise MultipleMatches(
            f"The criteria '{criteria[:200]}' select more than one {query.types[0]}."
        )
    return left[0] if left else None


def _write(plan: Plan, step: Step, draft: Draft, result: Result) -> None:
    plan.writes.append(Planned(step, draft, result))
    _map(plan, step, draft.id)


def _map(plan: Plan, step: Step, id: str) -> None:
    if step.full_url:
        plan.mapping[step.full_url] = f"{step.type}/{id}"


def _refuse_overlap(named: Iterable[tuple[Identity, Step]]) -> None:
    seen: dict[Identity, Step] = {}
    for identity, step in named:
        other = seen.setdefault(identity, step)
        if other is not step:
            with step.named():
                raise Invalid(
                    f"{'/'.join(identity)} is written by Bundle.entry[{other.place}] too; "
                    "a transaction may name each resource once."
                )
