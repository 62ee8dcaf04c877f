"""Looks before the commit whether the reads of a transaction can succeed.

They are served after it, when a failure could undo nothing any more
(https://hl7.org/fhir/R4/http.html#trules).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from fhirserver.errors import Gone, NotFound
from fhirserver.interaction.read import read
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.search.parse import parse

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.interaction.transaction_plan import Plan
    from fhirserver.interaction.transaction_step import Step


async def check_read(ctx: Context, plan: Plan, step: Step) -> None:
    """Refuse a read of what will not be there, and a search that cannot be understood. What else
    a GET may be (history, an operation) tells of its own failure in its answer."""
    path, _, query = step.request.url.partition("?")
    segments = [unquote(segment) for segment in path.split("/")] if path else []
    if not segments or segments[0].startswith(("_", "$")) or segments[0] == "metadata":
        return
    type = segments[0]
    if type not in RESOURCE_TYPES:
        raise NotFound(f"{type[:80]} is no resource type.")
    instance = len(segments) > 1 and not segments[1].startswith(("_", "$"))
    ctx.store.demand("r" if instance else "s", type)
    if len(segments) == 1:
        parameters = parse_qsl(query, keep_blank_values=True)
        parse(
            ctx.registry,
            (type,),
            [(n, v) for n, v in parameters if n not in ("_format", "_pretty")],
            strict=False,
            local_bases=ctx.local_bases,
            now=ctx.clock(),
            default_count=ctx.limits.default_count,
            max_count=ctx.limits.max_count,
            terminology=ctx.terminology,
        )
    elif len(segments) == 2 and instance:
        identity = (type, segments[1])
        if identity in plan.deleted:
            raise Gone(f"{type}/{segments[1]} is deleted by this transaction.")
        if not any((w.draft.type, w.draft.id) == identity for w in plan.writes):
            await read(ctx, *identity)
