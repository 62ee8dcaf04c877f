"""A citizen's message as the mail that professionals get (RFC 5322, MSSanté headers)."""

from __future__ import annotations

import base64
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from typing import TYPE_CHECKING, Any

from fhirserver.access.notice.sender import is_address
from fhirserver.messaging.gateway.addresses import (
    OFFICIAL,
    mailbox_of,
    national_identifier,
)
from fhirserver.messaging.gateway.incoming import MESSAGE_ID
from fhirserver.messaging.message import kind, pair
from fhirserver.messaging.thread import stored
from fhirserver.model.dates import interval
from fhirserver.model.json import decode_stored

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.messaging.gateway.settings import GatewaySettings
    from fhirserver.messaging.message import Message


class NotSendable(ValueError):
    """There is no mail to make of it; the text says why."""


async def mail_of(
    ctx: Context, id: str, message: Message, settings: GatewaySettings
) -> EmailMessage:
    """The mail of a message. Its Message-ID is the message's id: a mail that is sent twice, after
    an interruption, is seen to be the same."""
    identity = await national_identifier(ctx, message.subject)
    if identity is None:
        raise NotSendable("the citizen has no national identifier")
    system, ins = identity
    mail = EmailMessage()
    mail["From"] = formataddr((await _name(ctx, message.subject), f"{ins}@{settings.domain}"))
    boxes = [await mailbox_of(ctx, each) for each in message.recipients]
    mail["To"] = ", ".join(dict.fromkeys(box for box in boxes if box and is_address(box)))
    mail["Subject"] = await _subject(ctx, message)
    mail["Date"] = format_datetime(_moment(message.sent, ctx))
    mail["Message-ID"] = f"<{id}@{settings.domain}>"
    answered = await _identity(ctx, message.in_response_to, settings)
    first = await _identity(ctx, message.part_of, settings)
    if answered:
        mail["In-Reply-To"] = answered
        mail["References"] = " ".join(dict.fromkeys(each for each in (first, answered) if each))
    if system in OFFICIAL:
        mail["X-MSS-INS"] = "O"
    if settings.software:
        mail["X-MSS-NIL"] = settings.software
    mail.set_content(await _text(ctx, message))
    for payload in message.resource.get("payload") or []:
        attachment = payload.get("contentAttachment") or {}
        if "data" in attachment:
            _attach(mail, attachment)
    return mail


def _attach(mail: EmailMessage, attachment: dict[str, Any]) -> None:
    main, _, sub = str(attachment.get("contentType") or "").partition(";")[0].partition("/")
    data = base64.b64decode("".join(str(attachment["data"]).split()))
    name = " ".join(str(attachment.get("title") or "document").replace("/", "-").split())
    mail.add_attachment(data, maintype=main.strip() or "application",
                        subtype=sub.strip() or "octet-stream", filename=name)  # fmt: skip


async def _text(ctx: Context, message: Message) -> str:
    texts = [
        str(payload["contentString"])
        for payload in message.resource.get("payload") or []
        if payload.get("contentString")
    ]
    if any(payload.get("contentReference") for payload in message.resource.get("payload") or []):
        texts.append("(Ce message renvoie à un document de l'espace de santé du patient.)")
    if kind(message.sender) == "RelatedPerson":
        texts.insert(
            0,
            f"({await _name(ctx, message.sender)} écrit pour {await _name(ctx, message.subject)})",
        )
    return "\n\n".join(texts) + "\n"


async def _subject(ctx: Context, message: Message) -> str:
    topic = (message.resource.get("topic") or {}).get("text")
    above = await stored(ctx, message.part_of) if message.part_of else None
    if not topic and above is not None:
        topic = (above[1].resource.get("topic") or {}).get("text")
        topic = f"Re: {topic}" if topic else ""
    return " ".join(str(topic or "Message d'un patient").split())[:200]


async def _identity(ctx: Context, reference: str, settings: GatewaySettings) -> str:
    """The Message-ID of a message: its own, if it came as mail."""
    found = await stored(ctx, reference) if reference else None
    if found is None:
        return ""
    for identifier in found[1].resource.get("identifier") or []:
        if identifier.get("system") == MESSAGE_ID:
            return "".join(str(identifier.get("value") or "").split())
    return f"<{pair(reference)[1]}@{settings.domain}>"


async def _name(ctx: Context, reference: str) -> str:
    version = await ctx.as_server.store.read(*pair(reference))
    person = decode_stored((version and version.content) or b"{}")
    for name in person.get("name") or []:
        if name.get("text"):
            return " ".join(str(name["text"]).split())
        parts = [*(name.get("given") or [])[:1], name.get("family") or ""]
        if any(parts):
            return " ".join(" ".join(parts).split())
    return ""


def _moment(sent: str, ctx: Context) -> Any:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(interval(sent)[0] / 1_000_000, UTC)
    except ValueError:
        return ctx.clock()
