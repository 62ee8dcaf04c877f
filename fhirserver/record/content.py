"""The bytes of a document, and what its attachment says of them.

https://hl7.org/fhir/R4/datatypes.html#Attachment: `size` is the number of bytes, `hash` their
SHA-1 in base64, both of the content before it was put into base64.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Issue, TooLarge, Unprocessable
from fhirserver.record import cda, content_type, fhir_document

if TYPE_CHECKING:
    from fhirserver.record.cda import Header

Resource = dict[str, Any]

_IN_THREAD = 256 * 1024  # larger documents are looked at beside the event loop


@dataclass(frozen=True, slots=True)
class Document:
    """A document's bytes and what they tell. `header`: of a CDA; of a FHIR document its patient."""

    body: bytes
    hash: str
    header: Header | None

    @property
    def size(self) -> int:
        return len(self.body)


def refusal(text: str, place: str, code: str = "business-rule") -> Unprocessable:
    return Unprocessable(issues=(Issue("error", code, text, (place,)),))


def decoded(data: Any, place: str) -> bytes:
    """The bytes that base64 text stands for."""
    try:
        return b64decode("".join(str(data).split()), validate=True)
    except (binascii.Error, ValueError):
        raise refusal("The data are not base64.", place, "value") from None


async def examined(body: bytes, said: str, most: int, place: str) -> Document:
    """Refuse bytes that are too many, or not of the type said; read the header of a CDA."""
    if len(body) > most:
        raise TooLarge(
            issues=(
                Issue(
                    "error",
                    "too-long",
                    f"The document has {len(body)} bytes; at most {most} are taken.",
                    (place,),
                ),
            )
        )
    if not body:
        raise refusal("The document is empty.", place)
    if len(body) > _IN_THREAD:
        return await asyncio.to_thread(_examine, body, said, place)
    return _examine(body, said, place)


def _examine(body: bytes, said: str, place: str) -> Document:
    where = f"{place}.contentType"
    if not said:
        raise refusal("A document says its contentType.", where, "required")
    if not content_type.accepted(said):
        raise refusal(f"Documents of type {said[:80]} are not taken here.", where)
    header = None
    if content_type.media_type(said) in content_type.XML:
        try:
            header = cda.read(body)
        except Unprocessable as error:
            (found,) = error.issues
            raise refusal(found.diagnostics, place, found.code) from None
    elif not content_type.matches(said, body):
        raise refusal(f"The bytes of the document are not {said[:80]}.", where)
    elif content_type.media_type(said) in content_type.FHIR_DOCUMENT:
        header = fhir_document.read(body, said)
    return Document(body, hash_of(body), header)


def hash_of(body: bytes) -> str:
    # SHA-1 is what Attachment.hash is defined as; it guards against mistakes, not against attacks.
    return b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()


def check(attachment: Resource, document: Document, place: str) -> Resource:
    """The attachment with `size` and `hash`; those given must be the document's own."""
    size, hash = attachment.get("size"), attachment.get("hash")
    if size is not None and int(size) != document.size:
        raise refusal(
            f"The size given is {size}, the document has {document.size} bytes.", f"{place}.size"
        )
    if hash is not None and hash != document.hash:
        raise refusal(
            "The hash given is not the SHA-1 (in base64) of the document.", f"{place}.hash"
        )
    return {**attachment, "size": document.size, "hash": document.hash}
