"""$file-attachment: the citizen puts an attachment of a message into their record.

On a message. Parameters: `payload` (integer): the place of the attachment among the message's
payloads, 0 if absent; `type` (code or Coding): a document type of citizens' own uploads
(terminology/messaging/upload-types.json); `title` (string). The answer is the DocumentReference:
a new one, or the one made when the same attachment was filed before.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.errors import Conflict, Forbidden, Invalid, Issue, Unprocessable
from fhirserver.interaction.create import create
from fhirserver.messaging import attachments, thread
from fhirserver.messaging.writer import writer_of
from fhirserver.model import shipped
from fhirserver.model.dates import instant, microseconds
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.messaging.attachments import Attached
    from fhirserver.messaging.message import Message
    from fhirserver.model.version import Version
    from fhirserver.operation.call import Call

_IDENTITY = uuid.UUID("6c1f7f0e-3d0b-4c1c-9a55-3f9a0b0c7d11")


class UploadType(msgspec.Struct, frozen=True):
    """`display` of the type; `category`: code of its class."""

    display: str
    category: str


class UploadTypes(msgspec.Struct, frozen=True):
    version: str
    date: str
    source: str
    system: str
    category_system: str
    categories: dict[str, str]
    types: dict[str, UploadType]


@cache
def upload_types() -> UploadTypes:
    return msgspec.json.decode(
        shipped.read("terminology", "messaging", "upload-types.json"), type=UploadTypes
    )


async def file_attachment(ctx: Context, call: Call) -> Version:
    assert call.id is not None
    place, type, title = _parameters(call)
    _, message = await thread.seen(ctx, call.id)
    if not (message.is_sent and message.links_citizens):
        raise Unprocessable("This is no message that was sent.")
    writer = await writer_of(ctx)
    if not (writer.open or writer.citizen):
        raise Forbidden("The citizen files what was sent to them; publish your own documents.")
    author = message.subject if writer.open else writer.signs[0]
    attached = await attachments.attachment(ctx, message.resource, place, writer.open)
    if attached is None:
        raise Unprocessable(
            issues=(
                Issue(
                    "error",
                    "not-found",
                    "There is no attachment at this place of the message.",
                    (f"Communication.payload[{place}]",),
                ),
            )
        )
    document = _document(ctx, call.id, place, message, attached, type, title, author)
    try:
        return await _filed(ctx, document)
    except Conflict:  # somebody files it at the same time
        return await _filed(ctx, document)


async def _filed(ctx: Context, document: Resource) -> Version:
    """The document, as it is made now or was before."""
    identifier = document["masterIdentifier"]
    criteria = f"identifier={identifier['system']}|{identifier['value']}"
    return (await create(ctx, "DocumentReference", document, if_none_exist=criteria)).version


def _document(
    ctx: Context,
    id: str,
    place: int,
    message: Message,
    attached: Attached,
    type: str,
    title: str,
    author: str,
) -> Resource:
    table = upload_types()
    kind_of = table.types[type]
    now = instant(microseconds(ctx.clock()) // 1000 * 1000)
    made = str(uuid.uuid5(_IDENTITY, f"{message.subject}\n{id}\n{place}"))
    # From whom the message is hidden, the document is.
    labels = [{"coding": [each]} for each in message.resource.get("meta", {}).get("security", [])]
    return {
        "resourceType": "DocumentReference",
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{made}"},
        "status": "current",
        "type": {"coding": [{"system": table.system, "code": type, "display": kind_of.display}]},
        "category": [
            {
                "coding": [
                    {
                        "system": table.category_system,
                        "code": kind_of.category,
                        "display": table.categories[kind_of.category],
                    }
                ]
            }
        ],
        "subject": {"reference": message.subject},
        "date": now,
        "author": [{"reference": author}],
        **({"securityLabel": labels} if labels else {}),
        "content": [
            {
                "attachment": {
                    "contentType": attached.content_type,
                    "language": "fr-FR",
                    "data": base64.b64encode(attached.data).decode(),
                    "size": len(attached.data),
                    "hash": base64.b64encode(hashlib.sha1(attached.data).digest()).decode(),
                    "title": title or attached.title or kind_of.display,
                    "creation": message.sent or now,
                },
                "format": {
                    "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                },
            }
        ],
        "context": {"related": [{"reference": f"Communication/{id}"}]},
    }


def _parameters(call: Call) -> tuple[int, str, str]:
    place, type, title = 0, "", ""
    for name, value in given(call):
        match name:
            case "payload":
                if not str(value).isdecimal() or len(str(value)) > 6:
                    raise Invalid("payload is a number from 0.", code="value")
                place = int(value)
            case "type":
                type = _code(value)
            case "title":
                if not isinstance(value, str):
                    raise Invalid("title is a string.", code="value")
                title = value.strip()[:255]
            case _:
                raise Invalid(f"$file-attachment has no parameter {name[:80]}.")
    if type not in upload_types().types:
        known = ", ".join(upload_types().types)
        raise Invalid(f"type is one of {known}.", code="code-invalid" if type else "required")
    return place, type, title


def _code(value: Any) -> str:
    return str(value.get("code") or "") if isinstance(value, dict) else str(value)
