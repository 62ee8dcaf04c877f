"""One unique id, one document, one SubmissionSet, one folder: XDSDuplicateUniqueIdInRegistry of
IHE ITI TF-3, 4.2.4.1.

409, for the state of the server is in the way, not the form of what is published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, numbered, token
from fhirserver.access.store import Selects
from fhirserver.errors import Conflict, Issue
from fhirserver.record import french
from fhirserver.record.names import FOLDER, LIST_TYPES, SUBMISSION_SET
from fhirserver.record.view import created
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Draft
    from fhirserver.record.view import View
    from fhirserver.search.expression import Expression

Resource = dict[str, Any]
UniqueId = tuple[str, str]


async def of_document(view: View, draft: Draft, document: Resource) -> tuple[Selects, ...]:
    """What must hold so that of many who publish under one unique id at once, one does. Raises
    Conflict."""
    mine = _of_document(document)
    if mine is None:
        return ()
    for other in view.drafts:
        if (
            other.type == "DocumentReference"
            and other.id != draft.id
            and created(other)
            and _of_document(other.resource or {}) == mine
        ):
            raise _duplicate("document", mine, "DocumentReference.masterIdentifier")
    where = numbered("unique-id", [mine])
    return (await _alone(view, "DocumentReference", where, "document", mine, "masterIdentifier"),)


async def of_list(view: View, draft: Draft) -> tuple[Selects, ...]:
    """The same of a SubmissionSet or folder."""
    assert draft.resource is not None
    kind = french.list_kind(draft.resource)
    mine = _of_list(draft.resource)
    if kind not in (SUBMISSION_SET, FOLDER) or mine is None:
        return ()
    for other in view.drafts:
        if (
            other.type == "List"
            and other.id != draft.id
            and created(other)
            and french.list_kind(other.resource) == kind
            and _of_list(other.resource or {}) == mine
        ):
            raise _duplicate(kind, mine, "List.identifier")
    where = all_of(numbered("identifier", [mine]), token("code", kind, system=LIST_TYPES))
    return (await _alone(view, "List", where, kind, mine, "identifier"),)


async def _alone(
    view: View, type: str, where: Expression, what: str, unique_id: UniqueId, element: str
) -> Selects:
    query = Query((type,), where)
    if await view.ctx.as_server.store.count(query, 1):
        raise _duplicate(what, unique_id, f"{type}.{element}")
    return Selects(query, frozenset(), server=True)


def _of_document(document: Resource) -> UniqueId | None:
    identifier = document.get("masterIdentifier", {})
    value = identifier.get("value")
    return (str(identifier.get("system", "")), str(value)) if value else None


def _of_list(resource: Resource) -> UniqueId | None:
    """MHD: the identifier with use `official`; `usual` is the entryUUID."""
    for identifier in resource.get("identifier", ()):
        if identifier.get("use") == "official" and identifier.get("value"):
            return str(identifier.get("system", "")), str(identifier["value"])
    return None


def _duplicate(what: str, unique_id: UniqueId, place: str) -> Conflict:
    text = (
        f"A {what} with the unique id {unique_id[1][:200]} is known already "
        "(XDSDuplicateUniqueIdInRegistry)."
    )
    return Conflict(issues=(Issue("error", "duplicate", text, (place,)),))
