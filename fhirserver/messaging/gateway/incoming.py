"""A mail from a professional becomes a message in the citizen's space, once.

The id of the message follows from the mail's Message-ID and the citizen: a mail that is handed
over again finds it there. The rules are those of every message; what a space does not take is
answered like an address that does not exist.
"""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, refers, token
from fhirserver.errors import FHIRError, Forbidden
from fhirserver.interaction.context import Draft
from fhirserver.interaction.write import attempts, commit, validated
from fhirserver.messaging import ending
from fhirserver.messaging.behaviour import sent
from fhirserver.messaging.codes import ENDS_THREAD
from fhirserver.messaging.gateway.addresses import national_identifier, professional_of
from fhirserver.messaging.gateway.mail_in import NotTaken
from fhirserver.messaging.gateway.xdm import XML, patients
from fhirserver.messaging.message import pair, thread_state
from fhirserver.messaging.thread import has_part, stored
from fhirserver.messaging.writer import Writer, capacities, may_feed
from fhirserver.model.version import ABSENT
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.messaging.gateway.mail_in import Incoming
    from fhirserver.messaging.gateway.settings import GatewaySettings

MESSAGE_ID = "http://fhirserver.example/NamingSystem/message-id"
_IDENTITY = uuid.UUID("0d7d1f3a-6f0e-4f0c-8f0a-0c9f2f3b6a11")
_WRITER = Writer(open=True, gateway=True)


class NoSuchMailbox(ValueError):
    """There is no space behind the address that takes mail from this sender."""


async def take(ctx: Context, mail: Incoming, patient: str, settings: GatewaySettings) -> str:
    """The id of the message. Raises NoSuchMailbox, NotTaken; anything else may pass."""
    sender = await professional_of(ctx, mail.sender)
    if sender is None:
        raise NotTaken("the sender is in no directory of professionals here")
    if not await may_feed(ctx, sender, patient):
        raise NoSuchMailbox
    await _check_documents(ctx, mail, patient)
    id = str(uuid.uuid5(_IDENTITY, f"{mail.message_id}\n{patient}"))
    resource = await _message(ctx, mail, sender, patient, settings)

    async def attempt() -> str:
        if await ctx.store.read("Communication", id) is not None:
            return id  # handed over before
        draft = Draft("POST", "Communication", id, resource, ABSENT)
        try:
            draft = await sent(ctx, draft, _WRITER, {}, {})
        except Forbidden as error:
            raise NoSuchMailbox from error
        assert draft.resource is not None
        validated(ctx, draft.resource)
        whole = ctx.store.capabilities.transactions
        drafts = await ending.with_threads(ctx, [draft], {id}) if whole else [draft]
        versions = await commit(ctx, drafts)
        if not whole:
            await ending.settle(ctx, versions[0])
        return id

    try:
        return await attempts(ctx, attempt)
    except FHIRError as error:
        if error.code in ("conflict", "transient"):
            raise
        raise NotTaken(str(error)) from error


async def _message(
    ctx: Context, mail: Incoming, sender: str, patient: str, settings: GatewaySettings
) -> dict[str, Any]:
    found: dict[str, Any] = {"resourceType": "Communication"}
    previous = await _followed(ctx, mail, sender, patient, settings)
    # An answer of a machine does not open a thread that its owner has ended.
    if mail.ends or (mail.automatic and previous and await _is_ended(ctx, previous[0])):
        found["extension"] = [{"url": ENDS_THREAD, "valueBoolean": True}]
    found["identifier"] = [{"system": MESSAGE_ID, "value": mail.message_id}]
    if previous:
        root, answered = previous
        found["partOf"] = [{"reference": root}]
        found["inResponseTo"] = [{"reference": answered}]
    found["status"] = "in-progress"
    if mail.codes:
        coding = [{"system": "http://loinc.org", "code": code} for code in mail.codes]
        found["category"] = [{"coding": coding}]
    found["subject"] = {"reference": patient}
    if mail.subject:
        found["topic"] = {"text": mail.subject}
    found["sent"] = mail.sent
    found["recipient"] = [{"reference": patient}]
    found["sender"] = {"reference": sender}
    payload: list[dict[str, Any]] = []
    if mail.text:
        payload.append({"contentString": mail.text})
    for each in mail.attached:
        attachment = {
            "contentType": each.content_type,
            "data": base64.b64encode(each.data).decode(),
            "size": len(each.data),
            **({"title": each.title[:255]} if each.title else {}),
        }
        payload.append({"contentAttachment": attachment})
    if payload:
        found["payload"] = payload
    return found


async def _followed(
    ctx: Context, mail: Incoming, sender: str, patient: str, settings: GatewaySettings
) -> tuple[str, str] | None:
    """(first message of the thread, message answered) by what the mail says it follows: in a
    thread that the sender has part in."""
    same = await capacities(ctx, sender)
    for reference in mail.references:
        local, _, domain = reference.strip("<>").rpartition("@")
        answered = ""
        if domain.lower() == settings.domain.lower():
            answered = f"Communication/{local}"
        else:
            where = all_of(
                token("identifier", reference, system=MESSAGE_ID),
                refers("subject", (pair(patient),)),
            )
            page = await ctx.store.search(Query(("Communication",), where, count=1))
            answered = next((f"Communication/{v.id}" for v in page.versions), "")
        found = await stored(ctx, answered) if answered else None
        if found is not None and found[1].subject == patient and not found[1].is_draft:
            root = found[1].part_of or answered
            if await has_part(ctx, root, same):
                return root, answered
    return None


async def _is_ended(ctx: Context, root: str) -> bool:
    found = await stored(ctx, root)
    return found is not None and thread_state(found[1].resource).ended


async def _check_documents(ctx: Context, mail: Incoming, patient: str) -> None:
    """A document about somebody else is not put into this space."""
    identity = await national_identifier(ctx, patient)
    for each in mail.attached:
        if each.content_type != XML:
            continue
        about = patients(each.data)
        named = {value.partition("|")[2] for value in about}
        if identity is None or identity[1] not in named:
            raise NotTaken("a document is about another patient than the addressee")
