"""FHIR update interaction, also as create (https://hl7.org/fhir/R4/http.html#update).

An update that changes nothing still makes a version: the client asked for a write, and history
shows that it was done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import MethodNotAllowed, PreconditionFailed
from fhirserver.interaction.conditional_reference import checked
from fhirserver.interaction.context import Draft, Written
from fhirserver.interaction.identity import check_id, check_type
from fhirserver.interaction.if_match import check_if_match
from fhirserver.interaction.write import attempts, commit
from fhirserver.model.version import ABSENT, ANY

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.interaction.if_match import IfMatch
    from fhirserver.model.version import Version


async def update(
    ctx: Context,
    type: str,
    id: str,
    resource: Resource,
    *,
    if_match: IfMatch | None = None,
    if_none_match: bool = False,
) -> Written:
    """Write a new version, or create the resource under this id.

    `if_match`: only when this is the current version, or one of several; ANY: only when there is
    one.
    `if_none_match`: only when there is none. Raises PreconditionFailed.
    """
    ctx.store.demand("u", type)
    check_type(resource, type)
    check_id(resource, type, id)
    resource, issues = await checked(ctx, resource)

    async def attempt() -> Written:
        current = await ctx.store.current(type, id)
        draft = Draft("PUT", type, id, resource, expectation(ctx, type, id, current, if_match))
        if if_none_match and current is not None and not current.deleted:
            raise PreconditionFailed(
                f"{type}/{id} exists (version {current.version}), and If-None-Match is *."
            )
        (version,) = await commit(ctx, [draft])
        return Written("created" if draft.expect == ABSENT else "updated", version, issues)

    return await attempts(ctx, attempt)


def expectation(
    ctx: Context, type: str, id: str, current: Version | None, if_match: IfMatch | None
) -> int:
    """What must hold when an update is committed, seen that `current` is there."""
    if if_match is not None:
        return check_if_match(type, id, current, if_match)
    if current is None or current.deleted:
        if not (ctx.limits.update_create and ctx.store.client_ids):
            raise MethodNotAllowed(f"{type}/{id} is not known, and this server gives ids itself.")
        return ABSENT
    return ANY
