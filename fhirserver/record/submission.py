"""A set of documents published as one: the SubmissionSet List and folders of IHE MHD ITI-65.

https://profiles.ihe.net/ITI/MHD/ITI-65.html

The set is checked as a whole before anything of it is stored: it names each document of the
Bundle, everything is of one patient, each document has an author and its content in the Bundle.
For ITI-105 the server derives the set, so that every document is in one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fhirserver.interaction.context import Draft
from fhirserver.model.version import ABSENT
from fhirserver.record import french
from fhirserver.record.content import refusal
from fhirserver.record.document_codes import document_types
from fhirserver.record.names import (
    DESIGNATION_TYPE,
    FOLDER,
    LIST_TYPES,
    SOURCE_ID,
    SUBMISSION_SET,
    URI,
)
from fhirserver.record.view import created

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.record.view import Identity, View

Resource = dict[str, Any]


def is_set(draft: Draft) -> bool:
    return draft.type == "List" and french.list_kind(draft.resource) == SUBMISSION_SET


async def check_set(view: View, documents: set[Identity]) -> None:
    """Refuse a Bundle whose parts do not fit together. `documents`: those of the record that it
    makes."""
    sets = [draft for draft in view.drafts if is_set(draft) and created(draft)]
    if len(view.drafts) == 1:
        return  # a List by itself, of documents that are stored
    if not sets or not (documents or any(french.claims_profile(s.resource or {}) for s in sets)):
        return
    if len(sets) > 1:
        raise refusal("A Bundle has one SubmissionSet.", "List")
    (set_,) = sets
    assert set_.resource is not None
    for name in ("subject", "source", "entry", "date"):
        if not set_.resource.get(name):
            raise refusal(f"A SubmissionSet has {name}.", f"List.{name}", "required")
    items = await _items(view, set_)
    patient = view.identity(set_.resource["subject"])
    folders = [
        draft
        for draft in view.drafts
        if draft.type == "List" and french.list_kind(draft.resource) == FOLDER
    ]
    for folder in folders:
        assert folder.resource is not None
        if view.identity(folder.resource.get("subject")) != patient:
            raise refusal(
                "SubmissionSet and folders are of one patient.", "List.subject", "business-rule"
            )
        await _items(view, folder)
    made = [d for d in view.drafts if created(d)]
    new_documents = [d for d in made if d.type == "DocumentReference"]
    if not new_documents and not folders:
        raise refusal("A SubmissionSet brings documents.", "List.entry", "required")
    for document in new_documents:
        await _check_document(view, document, items, patient)
    _check_contents(view, new_documents, made)


async def _items(view: View, draft: Draft) -> set[Identity]:
    """What a List names: resources of the Bundle or of the server, of the List's patient."""
    assert draft.resource is not None
    patient = view.identity(draft.resource.get("subject"))
    found: set[Identity] = set()
    for number, entry in enumerate(draft.resource.get("entry", ())):
        place = f"List.entry[{number}].item"
        identity = view.identity(entry.get("item"))
        item = None if identity is None else await view.resource(identity)
        if identity is None or item is None:
            raise refusal(
                "A SubmissionSet or folder names resources of the Bundle or of this server.",
                place,
                "not-found",
            )
        if view.identity(item.get("subject")) != patient:
            raise refusal("What a List names is of the List's patient.", place)
        found.add(identity)
    return found


async def _check_document(
    view: View, draft: Draft, items: set[Identity], patient: Identity | None
) -> None:
    assert draft.resource is not None
    if (draft.type, draft.id) not in items:
        raise refusal(
            "The SubmissionSet names every document of the Bundle.", "List.entry", "business-rule"
        )
    if view.identity(draft.resource.get("subject")) != patient:
        raise refusal(
            "SubmissionSet and documents are of one patient.", "DocumentReference.subject"
        )
    if not draft.resource.get("author"):
        raise refusal("A document has an author.", "DocumentReference.author", "required")
    if not draft.resource.get("masterIdentifier", {}).get("value"):
        raise refusal(
            "A document has a unique id.", "DocumentReference.masterIdentifier", "required"
        )
    for number, content in enumerate(draft.resource.get("content", ())):
        identity = view.identity(content.get("attachment", {}).get("url"))
        if identity is None:
            continue  # hosted elsewhere
        if await view.resource(identity) is None:
            raise refusal(
                f"{'/'.join(identity)} is neither in the Bundle nor on this server.",
                f"DocumentReference.content[{number}].attachment.url",
                "not-found",
            )


def _check_contents(view: View, documents: list[Draft], made: list[Draft]) -> None:
    """No Binary without a document: nobody could ever read it."""
    carried = {
        view.identity(content.get("attachment", {}).get("url"))
        for document in documents
        for content in (document.resource or {}).get("content", ())
    }
    for draft in made:
        if draft.type == "Binary" and (draft.type, draft.id) not in carried:
            raise refusal("A Binary of the Bundle belongs to none of its documents.", "Binary")


def derived_set(ctx: Context, document: Draft) -> Draft:
    """The SubmissionSet of a document that was published alone."""
    resource = document.resource
    assert resource is not None
    (author, *_) = resource["author"]
    made: Resource = {
        "resourceType": "List",
        "extension": _extensions(ctx, resource),
        "identifier": [{"use": "official", "system": URI, "value": f"urn:uuid:{uuid4()}"}],
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": LIST_TYPES, "code": SUBMISSION_SET}]},
        "subject": resource["subject"],
        "date": resource["date"],
        "source": author,
        "entry": [{"item": {"reference": f"DocumentReference/{document.id}"}}],
    }
    reference = author.get("reference", "")
    if reference.startswith("#"):
        made["contained"] = [
            each for each in resource.get("contained", ()) if f"#{each.get('id')}" == reference
        ]
    elif reference.partition("/")[0] == "Organization":
        # List.source names no organization.
        del made["source"]
    return Draft("POST", "List", ctx.new_id(), made, ABSENT, server=True)


def _extensions(ctx: Context, document: Resource) -> list[Resource]:
    found: list[Resource] = []
    system = document_types().class_system
    for category in document.get("category", ()):
        if any(coding.get("system") == system for coding in category.get("coding", ())):
            found.append({"url": DESIGNATION_TYPE, "valueCodeableConcept": category})
            break
    source = {"system": URI, "value": ctx.base_url or "urn:fhirserver"}
    return [*found, {"url": SOURCE_ID, "valueIdentifier": source}]
