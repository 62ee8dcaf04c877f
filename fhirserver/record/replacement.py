"""What a new document is to an older one (DocumentReference.relatesTo; IHE ITI TF-3 4.2.2.2).

`replaces`: the older one must be current, of the same patient, and the caller's own. It becomes
superseded: by a PATCH in the same Bundle (ITI-65), or by the server (ITI-105). `appends`,
`transforms` and `signs`: it is of the same patient, and current but for a signature
(XDSRegistryDeprecatedDocumentError).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import all_of, negate, refers, token
from fhirserver.access.store import Selects
from fhirserver.errors import Conflict, Forbidden, Issue
from fhirserver.interaction.context import Draft
from fhirserver.record.authorship import wrote
from fhirserver.record.content import refusal
from fhirserver.record.view import resource_of
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.model.version import Version
    from fhirserver.record.view import Identity, View

Resource = dict[str, Any]


async def replace_others(view: View, draft: Draft, document: Resource) -> list[Selects]:
    """Check what the new document replaces, and add what makes it superseded. Given back: that
    nobody else replaces it at the same moment."""
    selects = []
    for number, relation in enumerate(document.get("relatesTo", ())):
        place = f"DocumentReference.relatesTo[{number}].target"
        identity = view.identity(relation.get("target"))
        if relation.get("code") != "replaces":
            await _relate(view, draft, document, relation, place)
            continue
        if identity is None or identity[0] != "DocumentReference":
            raise refusal("What is replaced is a document of this server.", place)
        # A PUT to a new id brings back what was stored elsewhere, in whatever order.
        if draft.method == "PUT" and view.ctx.caller.role is Role.OPEN:
            restored = await view.resource(identity)
            if restored is None or restored.get("status") != "current":
                continue
        selects.append(await _replace(view, document, identity, place))
    return selects


async def _relate(
    view: View, draft: Draft, document: Resource, relation: Resource, place: str
) -> None:
    """Refuse what adds to a document that is not there, of somebody else, or out of date."""
    identity = view.identity(relation.get("target"))
    if identity is None:
        return  # a document of another server
    before = await view.resource(identity)
    restoring = draft.method == "PUT" and view.ctx.caller.role is Role.OPEN
    if restoring and (before is None or before.get("status") != "current"):
        return
    made = view.draft(identity) is not None
    # Hidden and unknown are told alike.
    if before is None or not (made or await view.ctx.store.current(*identity)):
        raise refusal(f"{'/'.join(identity)} is not known.", place, "not-found")
    if view.identity(before.get("subject")) != view.identity(document.get("subject")):
        raise refusal("Documents that belong together are of the same patient.", place)
    status = before.get("status")
    if relation.get("code") != "signs" and status != "current":
        text = f"{'/'.join(identity)} is {status} (XDSRegistryDeprecatedDocumentError)."
        raise Conflict(issues=(Issue("error", "business-rule", text, (place,)),))


async def _replace(view: View, document: Resource, identity: Identity, place: str) -> Selects:
    ctx = view.ctx
    version = await view.stored(identity)
    # Hidden and unknown are told alike.
    seen = None if version is None else await ctx.store.current(*identity)
    before = resource_of(version)
    if before is None or seen is None or version is None:
        raise refusal(f"{'/'.join(identity)} is not known.", place, "not-found")
    if view.identity(before.get("subject")) != view.identity(document.get("subject")):
        raise refusal("A document replaces one of the same patient.", place)
    if not await wrote(ctx, before):
        text = "Only its author replaces a document."
        raise Forbidden(issues=(Issue("error", "forbidden", text, (place,)),))
    where = all_of(
        refers("relatesto", (identity,)),
        token("relation", "replaces"),
        negate(token("status", "entered-in-error")),
    )
    query = Query(("DocumentReference",), where)
    replaced = await ctx.as_server.store.count(query, 1)
    if replaced or before.get("status") != "current":
        status = "replaced already" if replaced else str(before.get("status"))
        text = f"{'/'.join(identity)} is {status}; only a current document is replaced."
        raise Conflict(issues=(Issue("error", "business-rule", text, (place,)),))
    _supersede(view, identity, version, place)
    return Selects(query, frozenset(), server=True)


def _supersede(view: View, identity: Identity, version: Version, place: str) -> None:
    if identity in view.replaced:
        raise refusal("Two documents cannot replace the same one.", place)
    view.replaced.add(identity)
    for number, draft in enumerate(view.drafts):
        if (draft.type, draft.id) == identity:
            if draft.resource is None or draft.resource.get("status") != "superseded":
                raise refusal(
                    "The Bundle changes the document that is replaced, but not to superseded.",
                    place,
                )
            # What was seen is what is changed.
            view.drafts[number] = replace(draft, expect=version.version)
            return
    if view.ctx.store.capabilities.transactions:
        view.added.append(superseding(version))


def superseding(version: Version) -> Draft:
    """The server's own change of a replaced document."""
    before = resource_of(version)
    assert before is not None
    return Draft(
        "PATCH",
        version.type,
        version.id,
        {**before, "status": "superseded"},
        version.version,
        server=True,
    )
