"""What a store without transactions cannot commit with a document, done after it.

A document's replaced one becomes superseded and its SubmissionSet is made right after the commit,
before the answer; a follower does it again for what was interrupted. Contents are written before
their document, so one whose document never came is an orphan, and is swept.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

from fhirserver.access.decision.build import refers
from fhirserver.access.store import SelectionChanged, Selects, VersionConflict
from fhirserver.interaction.context import Draft
from fhirserver.interaction.service import Job, follow
from fhirserver.interaction.write import commit
from fhirserver.model.dates import microseconds
from fhirserver.record.replacement import superseding
from fhirserver.record.submission import derived_set
from fhirserver.record.view import View, resource_of
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.record.view import Resource

_ORPHAN_AFTER = timedelta(minutes=10)
_SECONDS = 5.0


async def complete(ctx: Context, version: Version) -> None:
    """Do what belongs to a new document. `ctx`: the server's. Done twice it is as done once."""
    document = resource_of(version)
    if document is None or version.version != 1:
        return
    view = View(ctx, [])
    if not await view.of_record(document):
        return
    if document.get("status") == "current":
        await _supersede(view, document)
    if await _published_alone(view, version, document):
        await _add_set(ctx, version, document)


async def _supersede(view: View, document: Resource) -> None:
    for relation in document.get("relatesTo", ()):
        identity = view.identity(relation.get("target"))
        if relation.get("code") != "replaces" or identity is None:
            continue
        for _ in range(20):
            old = await view.stored(identity)
            before = resource_of(old)
            if old is None or before is None or before.get("status") != "current":
                break
            with contextlib.suppress(VersionConflict):
                await commit(view.ctx, [superseding(old)])
                break


async def _published_alone(view: View, version: Version, document: Resource) -> bool:
    """Its content came inside: the server has made the Binary for it."""
    for content in document.get("content", ()):
        identity = view.identity(content.get("attachment", {}).get("url"))
        if identity is not None and identity[0] == "Binary":
            binary = resource_of(await view.stored(identity)) or {}
            context = view.identity(binary.get("securityContext"))
            if context == ("DocumentReference", version.id):
                return True
    return False


async def _add_set(ctx: Context, version: Version, document: Resource) -> None:
    query = Query(("List",), refers("item", (("DocumentReference", version.id),)))
    if await ctx.store.count(query, 1):
        return
    made = derived_set(ctx, Draft("POST", version.type, version.id, document, 0))
    with contextlib.suppress(SelectionChanged):  # another process was faster
        await commit(ctx, [made], [Selects(query, frozenset())])


class _TooYoung(Exception):
    """The rest is for a later round."""


async def _sweep(ctx: Context, version: Version) -> None:
    if version.version != 1 or version.deleted:
        return
    binary = resource_of(version) or {}
    context = View(ctx, []).identity(binary.get("securityContext"))
    if context is None or context[0] != "DocumentReference":
        return
    if version.updated > microseconds(ctx.clock() - _ORPHAN_AFTER):
        raise _TooYoung
    if await ctx.store.read(*context) is None:
        with contextlib.suppress(VersionConflict):
            await commit(ctx, [Draft("DELETE", "Binary", version.id, None, version.version)])


async def mend(ctx: Context) -> None:
    if ctx.store.capabilities.transactions:
        return
    await follow(ctx, "record/complete", frozenset({"DocumentReference"}), complete)
    with contextlib.suppress(_TooYoung):
        await follow(ctx, "record/orphans", frozenset({"Binary"}), _sweep)


JOB = Job("record/mend", _SECONDS, mend)
