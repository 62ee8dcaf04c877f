"""FHIR transaction interaction: all entries or none
(https://hl7.org/fhir/R4/http.html#transaction).

Identities are settled first, links between the entries are rewritten to them, then everything is
written by one commit. Reads come last and see the final state.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fhirserver.errors import NotSupported
from fhirserver.interaction.bundle import entry_requests, full_url
from fhirserver.interaction.context import Written
from fhirserver.interaction.entry import EntryResult
from fhirserver.interaction.transaction_links import settle_links
from fhirserver.interaction.transaction_plan import Plan, plan
from fhirserver.interaction.transaction_read import check_read
from fhirserver.interaction.transaction_step import Step, read_step
from fhirserver.interaction.write import attempts, commit, validated

if TYPE_CHECKING:
    from fhirserver.errors import Issue
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.interaction.entry import Perform


async def transaction(ctx: Context, bundle: Resource, perform: Perform) -> list[EntryResult]:
    """What came of each entry, in the order of the Bundle. When one fails nothing is stored, and
    the error names the entry."""
    steps = _steps(ctx, bundle)
    reads = [step for step in steps if step.kind == "read"]

    async def attempt() -> dict[int, tuple[Written, ...]]:
        return await _write(ctx, steps, reads)

    written = await attempts(ctx, attempt)
    results = []
    for step in steps:
        if step.kind == "read":
            results.append(await perform(step.request))
        else:
            results.append(EntryResult(step.request, written[step.place]))
    return results


def _steps(ctx: Context, bundle: Resource) -> list[Step]:
    steps = []
    for place, request in enumerate(entry_requests(ctx, bundle, "transaction")):
        url = full_url(bundle["entry"][place])
        step = Step(place, request, url, "read")
        with step.named():
            steps.append(read_step(place, request, url))
    return steps


async def _write(
    ctx: Context, steps: list[Step], reads: list[Step]
) -> dict[int, tuple[Written, ...]]:
    planned = await plan(ctx, steps)
    _check_capability(ctx, planned)
    await settle_links(ctx, planned)
    issues: dict[int, tuple[Issue, ...]] = {}
    for number, write in enumerate(planned.writes, 1):
        if write.draft.resource is not None:
            with write.step.named():
                issues[write.step.place] = validated(ctx, write.draft.resource)
        if number % 50 == 0:
            await asyncio.sleep(0)  # let other requests run beside a large Bundle
    for step in reads:
        with step.named():
            await check_read(ctx, planned, step)
    written = dict(planned.settled)
    if planned.writes:
        versions = await commit(ctx, [w.draft for w in planned.writes], planned.preconditions)
        for write, version in zip(planned.writes, versions, strict=True):
            place = write.step.place
            told = Written(write.result, version, issues.get(place, ()))
            written[place] = (*written.get(place, ()), told)
    for place, first in planned.shared.items():
        written[place] = (Written("found", written[first][0].version),)
    return written


def _check_capability(ctx: Context, planned: Plan) -> None:
    if len(planned.writes) > 1 and not ctx.store.capabilities.transactions:
        reason = ctx.store.capabilities.reason or "This server's store has no transactions."
        raise NotSupported(f"A transaction of more than one write is not available here: {reason}")
