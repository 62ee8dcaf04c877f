"""A new document: IHE MHD ITI-105 (Simplified Publish) and each document of an ITI-65 set.

https://profiles.ihe.net/ITI/MHD/ITI-105.html, https://profiles.ihe.net/ITI/MHD/ITI-65.html

Content that comes inside (`attachment.data`) becomes a Binary, with a SubmissionSet derived from
the document. Size and hash are checked against the bytes, the bytes against their type; what is
already known by the same unique id is refused.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fhirserver.access.caller import Role
from fhirserver.access.decision.codes import INS
from fhirserver.interaction.context import Draft
from fhirserver.model.version import ABSENT
from fhirserver.record import author, content_type, french, metadata, replacement, unique_id
from fhirserver.record.content import check, decoded, examined, refusal
from fhirserver.record.names import URI
from fhirserver.record.submission import derived_set, is_set
from fhirserver.record.view import created, resource_of

if TYPE_CHECKING:
    from fhirserver.record.antivirus import Antivirus
    from fhirserver.record.cda import Header
    from fhirserver.record.content import Document
    from fhirserver.record.settings import RecordSettings
    from fhirserver.record.view import View

Resource = dict[str, Any]


async def publish(
    view: View, draft: Draft, settings: RecordSettings, antivirus: Antivirus
) -> Draft:
    """The draft completed, with the further drafts it needs put into `view.added`."""
    assert draft.resource is not None
    resource = dict(draft.resource)
    if not resource.get("content"):
        raise refusal("A document has content.", "DocumentReference.content", "required")
    inside = any("data" in content.get("attachment", {}) for content in resource["content"])
    if inside and resource.get("status") != "current":
        raise refusal(
            "A document is published as current.", "DocumentReference.status", "business-rule"
        )
    resource = await author.authored(view, resource)
    for place, content in enumerate(resource["content"]):
        document = await _take_in(view, draft, resource, place, content, settings, antivirus)
        if document is None:
            continue
        if document.header is not None:
            await _check_patient(view, resource, document.header, place)
            resource = metadata.from_header(resource, document.header, place)
    if inside and "masterIdentifier" not in resource:
        resource["masterIdentifier"] = {"system": URI, "value": f"urn:uuid:{uuid4()}"}
    caller = view.ctx.caller
    if caller.role is Role.SYSTEM and caller.organization and "custodian" not in resource:
        # By this the organization is known as the one that may replace and delete.
        resource["custodian"] = {"reference": caller.organization}
    resource = metadata.completed(resource, view.ctx.clock())
    selects = [
        *draft.selects,
        *await replacement.replace_others(view, draft, resource),
        *await unique_id.of_document(view, draft, resource),
    ]
    draft = replace(draft, resource=resource, selects=tuple(selects))
    alone = not any(is_set(other) and created(other) for other in view.drafts)
    if inside and alone and view.ctx.store.capabilities.transactions:
        view.added.append(derived_set(view.ctx, draft))
    return draft


async def _take_in(
    view: View,
    draft: Draft,
    resource: Resource,
    place: int,
    content: Resource,
    settings: RecordSettings,
    antivirus: Antivirus,
) -> Document | None:
    """Put the attachment right in `resource`; the document, when its bytes are at hand."""
    attachment = dict(content["attachment"])
    where = f"DocumentReference.content[{place}].attachment"
    said = str(attachment.get("contentType", ""))
    if "data" in attachment:
        if "url" in attachment:
            raise refusal("Either data or url.", where)
        body = decoded(attachment.pop("data"), f"{where}.data")
    else:
        carried = await _carried(view, draft, attachment, where)
        if carried is None:
            _check_elsewhere(view, draft, attachment, where)
            return None
        if content_type.media_type(carried[1]) != content_type.media_type(said or carried[1]):
            raise refusal(
                f"The contentType is {said[:80]}, that of the Binary {carried[1][:80]}.",
                f"{where}.contentType",
            )
        body, said = carried
        attachment.setdefault("contentType", said)
    uploading = view.ctx.caller.role in (Role.CITIZEN, Role.PROXY)
    most = settings.max_upload_bytes if uploading else settings.max_document_bytes
    document = await examined(body, said, min(most, settings.max_document_bytes), where)
    attachment = check(attachment, document, where)
    if "url" not in attachment:
        await antivirus.check(body, where)
        attachment["url"] = _binary(view, draft, said, body)
    contents = list(resource["content"])
    contents[place] = {**content, "attachment": attachment}
    resource["content"] = contents
    return document


def _binary(view: View, draft: Draft, said: str, body: bytes) -> str:
    """A Binary for content that came inside, visible to whom the document is."""
    binary: Resource = {
        "resourceType": "Binary",
        "contentType": said,
        "securityContext": {"reference": f"DocumentReference/{draft.id}"},
        "data": b64encode(body).decode(),
    }
    made = Draft("POST", "Binary", view.ctx.new_id(), binary, ABSENT, server=True)
    view.added.append(made)
    return f"Binary/{made.id}"


async def _carried(
    view: View, draft: Draft, attachment: Resource, where: str
) -> tuple[bytes, str] | None:
    """Bytes and type of the Binary that an attachment points to, if this server has it. One that
    another document hides from the caller is none."""
    identity = view.identity(attachment.get("url"))
    if identity is None or identity[0] != "Binary":
        return None
    if view.draft(identity) is None and not await view.ctx.store.may_attach(identity[1]):
        before = resource_of(await view.stored((draft.type, draft.id))) or {}
        urls = [each.get("attachment", {}).get("url") for each in before.get("content", [])]
        if identity not in map(view.identity, urls):
            return None
    binary = await view.resource(identity)
    if binary is None or "data" not in binary:
        return None
    return decoded(binary["data"], where), str(binary.get("contentType", ""))


def _check_elsewhere(view: View, draft: Draft, attachment: Resource, where: str) -> None:
    """Refuse a document whose bytes are nowhere to be fetched."""
    url = str(attachment.get("url", ""))
    if not url and french.claims_profile(draft.resource or {}):
        raise refusal("A document has data or a url.", where, "required")
    # A PUT to a new id brings back what was stored elsewhere, in whatever order.
    restored = draft.method == "PUT" and view.ctx.caller.role is Role.OPEN
    identity = view.identity(url)
    here = identity is not None and identity[0] == "Binary"
    if (here or url.lower().startswith("urn:uuid:")) and not restored:
        text = f"{url[:200]} is neither in the Bundle nor on this server."
        raise refusal(text, f"{where}.url", "not-found")


async def _check_patient(view: View, document: Resource, header: Header, place: int) -> None:
    """Refuse a CDA of another patient than the one it is filed for."""
    said = {each for each in header.patient if each[0] in INS}
    if not said:
        return
    patient = await view.patient(document)
    own = french.identities(patient)
    if said & own:
        return
    if patient is None and view.identity(document.get("subject")) is None:
        return  # a patient of another server
    raise refusal(
        "The document is about another patient (INS) than DocumentReference.subject.",
        f"DocumentReference.content[{place}].attachment",
        "business-rule",
    )
