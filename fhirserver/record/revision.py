"""What may change of a document that is published: status, visibility, archiving.

PDSm 3.1.1, metadata update: a conditional PATCH on /status, /securityLabel and the extension
pdsm-ext-is-archived, everything else 405. Corrections are new documents that replace the old.
Logical deletion (entered-in-error) is the author's (CSP R.1111-50).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.errors import Conflict, FHIRError, Forbidden, Issue, MethodNotAllowed
from fhirserver.record.authorship import wrote
from fhirserver.record.content import decoded, hash_of, refusal
from fhirserver.record.document_codes import codings, document_types, plain
from fhirserver.record.metadata import with_class
from fhirserver.record.names import IS_ARCHIVED
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Draft
    from fhirserver.record.view import View

Resource = dict[str, Any]

_CHANGEABLE = frozenset({"status", "securityLabel", "meta", "text", "id", "resourceType"})
#: What the server has put in when the document was published; a PUT need not bring it again.
_OURS = ("category", "masterIdentifier", "date", "custodian", "author", "contained", "context")
_MOST_LABELS = 4


async def revise(view: View, draft: Draft, before: Resource) -> Draft:
    """The draft, if it changes nothing but what may change."""
    assert draft.resource is not None
    after = draft.resource
    if draft.method == "PUT":
        after = _restored(before, after)
    changed = sorted(
        name
        for name in {*before, *after} - _CHANGEABLE
        if _compared(before, name) != _compared(after, name)
    )
    if changed:
        raise MethodNotAllowed(
            issues=(
                Issue(
                    "error",
                    "not-supported",
                    "Of a published document only status, securityLabel and archiving change; "
                    f"publish one that replaces it to correct {', '.join(changed)[:200]}.",
                    tuple(f"DocumentReference.{name}" for name in changed[:10]),
                ),
            )
        )
    if len(after.get("securityLabel", ())) > _MOST_LABELS:
        raise refusal("A document has at most four labels.", "DocumentReference.securityLabel")
    if before.get("status") != after.get("status"):
        await _check_status(view, draft, before, after)
    return replace(draft, resource=after)


def _compared(resource: Resource, name: str) -> Any:
    value = resource.get(name)
    if name == "extension":
        return [each for each in value or () if each.get("url") != IS_ARCHIVED] or None
    return value


def _restored(before: Resource, after: Resource) -> Resource:
    """A PUT of the document as it was sent at first is the document as it is stored."""
    found = dict(after)
    for name in _OURS:
        if name in before and name not in found:
            found[name] = before[name]
    if _class_put_right(found) == before.get("category"):
        found["category"] = before["category"]
    contents = found.get("content", [])
    if len(contents) == len(before.get("content", [])):
        found["content"] = [
            _content(old, new) for old, new in zip(before["content"], contents, strict=True)
        ]
    return {name: found[name] for name in _order(after, found)}


def _order(sent: Resource, found: Resource) -> list[str]:
    return [*sent, *(name for name in found if name not in sent)]


def _class_put_right(document: Resource) -> Any:
    for coding in codings(document.get("type")):
        if document_types().known(coding):
            try:
                return with_class(document.get("category"), plain(coding))
            except FHIRError:
                break
    return document.get("category")


def _content(before: Resource, after: Resource) -> Resource:
    """The old content, if the new one is the same document."""
    old, new = before.get("attachment", {}), dict(after.get("attachment", {}))
    if "data" in new and old.get("hash"):
        data = new.pop("data")
        if hash_of(decoded(data, "DocumentReference.content.attachment.data")) != old["hash"]:
            return after
        new["url"] = old.get("url")
    same = all(old.get(name) == value for name, value in new.items())
    others = {name: value for name, value in after.items() if name != "attachment"}
    if same and all(before.get(name) == value for name, value in others.items()):
        return before
    return after


async def _check_status(view: View, draft: Draft, before: Resource, after: Resource) -> None:
    was, is_ = before.get("status"), after.get("status")
    if not await wrote(view.ctx, before):
        raise Forbidden("Only its author changes the status of a document, or deletes it.")
    if was == "entered-in-error":
        raise _stays("A document that was deleted stays so.")
    if was == "superseded" and is_ == "current":
        where = all_of(
            refers("relatesto", ((draft.type, draft.id),)),
            token("relation", "replaces"),
            token("status", "current"),
        )
        if await view.ctx.as_server.store.count(Query(("DocumentReference",), where), 1):
            raise _stays("The document is replaced by one that is current.")


def _stays(text: str) -> Conflict:
    return Conflict(issues=(Issue("error", "business-rule", text, ("DocumentReference.status",)),))
