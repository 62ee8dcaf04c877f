"""What may be attached to a message: types and sizes of terminology/messaging/attachments.json,
and bytes that are of the type they claim.

An attachment stands in the message (payload.contentAttachment.data). One given as the url of a
Binary is copied into it, since who gets the message may not see that Binary. A document of the
record is referred to by contentReference, and seen by whom the record permits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.errors import Issue, Unprocessable
from fhirserver.model import shipped
from fhirserver.model.json import decode_stored
from fhirserver.model.references import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.interaction.context import Context, Resource

    #: Resources that are written together with the message, by reference.
    Beside = Mapping[str, Resource]


class Type(msgspec.Struct, frozen=True):
    """`names`: endings of file names; `begins`: what the bytes begin with, in hexadecimal."""

    names: tuple[str, ...]
    begins: tuple[str, ...] = ()
    text: bool = False


class Rules(msgspec.Struct, frozen=True):
    """`other_names`: endings of what no attachment is."""

    other_names: tuple[str, ...]
    version: str
    date: str
    source: str
    bytes_each: int
    bytes_together: int
    types: dict[str, Type]


@dataclass(frozen=True, slots=True)
class Attached:
    """One attachment: where it stands, what it claims to be, its bytes."""

    expression: str
    content_type: str
    title: str
    data: bytes
    size: int | None = None
    hash: str = ""


@cache
def rules() -> Rules:
    return msgspec.json.decode(
        shipped.read("terminology", "messaging", "attachments.json"), type=Rules
    )


async def check(ctx: Context, resource: Resource, open: bool, beside: Beside) -> None:
    """Raises Unprocessable for the first attachment that may not be one. `open`: nobody is known,
    and what is referred to may come later. `beside`: what is written together with it."""
    together = 0
    if not open:
        _check_elsewhere(resource, "Communication")
    for number, payload in enumerate(resource.get("payload") or []):
        attached = await _attached(ctx, payload, number, open, beside)
        if attached is not None:
            check_one(attached)
            together += len(attached.data)
    if together > rules().bytes_together:
        raise _refused(
            f"The attachments of a message have {rules().bytes_together} bytes together at most; "
            f"these have {together}.",
            "Communication.payload",
        )


def _check_elsewhere(value: Any, place: str) -> None:
    """Nothing is attached but by payload.contentAttachment: not in an extension, not contained."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            _check_elsewhere(each, f"{place}[{number}]")
    elif isinstance(value, dict):
        if value.get("resourceType") == "Binary" or (
            "contentType" in value and not place.endswith(".contentAttachment")
        ):
            raise _refused("A file is attached by payload.contentAttachment alone.", place)
        for name, each in value.items():
            _check_elsewhere(each, f"{place}.{name}")


async def inlined(ctx: Context, resource: Resource, beside: Beside) -> Resource:
    """The message with what its attachments point to, as it goes off."""
    payload = resource.get("payload") or []
    changed: list[dict[str, Any]] = []
    for number, each in enumerate(payload):
        given = each.get("contentAttachment") or {}
        found = None
        if given.get("url") and "data" not in given:
            found = await _attached(ctx, each, number, False, beside)
        if found is None:
            changed.append(each)
            continue
        kept = {name: value for name, value in given.items() if name not in ("url", "_url")}
        kept["contentType"] = found.content_type
        kept["data"] = base64.b64encode(found.data).decode()
        changed.append({**each, "contentAttachment": kept})
    return {**resource, "payload": changed} if changed != payload else resource


def check_one(attached: Attached) -> None:
    known = rules().types.get(attached.content_type.partition(";")[0].strip().lower())
    if known is None:
        raise _refused(
            f"Attachments are of type {', '.join(sorted(rules().types))}; this one is "
            f"{attached.content_type[:80] or 'of no type'}.",
            f"{attached.expression}.contentType",
        )
    if len(attached.data) > rules().bytes_each:
        raise _refused(
            f"An attachment has {rules().bytes_each} bytes at most; this one has "
            f"{len(attached.data)}.",
            attached.expression,
        )
    if _misleads(attached.title):
        raise _refused(
            "The name has characters that cannot be seen.", f"{attached.expression}.title"
        )
    ending = attached.title.strip().rpartition(".")[2].lower() if "." in attached.title else ""
    if ending in _endings() and ending not in known.names:
        raise _refused(
            f"The name ends in .{ending}, which is not {attached.content_type}.",
            f"{attached.expression}.title",
        )
    if not matches(known, attached.data):
        raise _refused(
            f"The bytes are not {attached.content_type}.", f"{attached.expression}.contentType"
        )
    if attached.size is not None and attached.size != len(attached.data):
        raise _refused(
            f"The size says {attached.size}; there are {len(attached.data)} bytes.",
            f"{attached.expression}.size",
        )
    digest = base64.b64encode(hashlib.sha1(attached.data).digest()).decode()
    if attached.hash and attached.hash != digest:
        raise _refused(
            "The hash is not the SHA-1 of the bytes in base64.", f"{attached.expression}.hash"
        )


def matches(known: Type, data: bytes) -> bool:
    """Whether the bytes are of the type."""
    if not known.text:
        return any(data.startswith(bytes.fromhex(start)) for start in known.begins)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    return not any(c < " " and c not in "\t\n\r\f" for c in text) and "�" not in text


@cache
def _endings() -> frozenset[str]:
    known = (name for each in rules().types.values() for name in each.names)
    return frozenset((*known, *rules().other_names))


def _misleads(title: str) -> bool:
    """Control characters, and those that turn the direction of writing: `exe.pdf` from the end."""
    return any(unicodedata.category(each) in ("Cc", "Cf") for each in title)


async def attachment(
    ctx: Context, resource: Mapping[str, Any], place: int, open: bool
) -> Attached | None:
    """The attachment that is payload number `place` of a message; None when there is none."""
    payload = resource.get("payload") or []
    if place >= len(payload):
        return None
    return await _attached(ctx, payload[place], place, open, {})


async def _attached(
    ctx: Context, payload: dict[str, Any], number: int, open: bool, beside: Beside
) -> Attached | None:
    where = f"Communication.payload[{number}]"
    given = payload.get("contentAttachment")
    if isinstance(given, dict):
        where += ".content"
        claimed = str(given.get("contentType") or "")
        title = str(given.get("title") or "")
        size, digest = given.get("size"), str(given.get("hash") or "")
        if "data" in given:
            if "url" in given and not open:
                raise _refused("An attachment has data or a url, not both.", f"{where}.url")
            data = _decoded(str(given["data"]), f"{where}.data")
            return Attached(where, claimed, title, data, size, digest)
        url = str(given.get("url") or "")
        if not url:
            return None
        binary = await _binary(ctx, url, f"{where}.url", open, beside)
        if binary is None:
            return None
        return Attached(where, claimed or binary[0], title, binary[1], size, digest)
    reference = payload.get("contentReference")
    if isinstance(reference, dict) and reference.get("reference"):
        place = f"{where}.content.reference"
        text = str(reference["reference"])
        if parse(text, ctx.local_bases).type == "Binary" and not open:
            raise _refused("A Binary is attached by contentAttachment.url.", place)
        if not open:
            await _check_known(ctx, text, place, beside)
    return None


async def _binary(
    ctx: Context, text: str, place: str, open: bool, beside: Beside
) -> tuple[str, bytes] | None:
    """Content type and bytes of a Binary that the caller sees, or writes together with it."""
    target = parse(text, ctx.local_bases)
    if target.kind != "literal" or target.type != "Binary":
        if open:
            return None
        raise _refused("What is attached lies here, in a Binary.", place)
    binary = beside.get(f"Binary/{target.id}")
    if binary is None:
        version = await ctx.store.current("Binary", target.id)
        if version is None or version.content is None:
            if open:
                return None
            raise _refused(f"{target.literal} is not known.", place)
        binary = decode_stored(version.content)
    return str(binary.get("contentType") or ""), _decoded(str(binary.get("data") or ""), place)


async def _check_known(ctx: Context, text: str, place: str, beside: Beside) -> None:
    target = parse(text, ctx.local_bases)
    if target.kind == "literal" and f"{target.type}/{target.id}" in beside:
        return
    if target.kind == "literal" and ctx.store.reaches("r", target.type):
        version = await ctx.store.read(target.type, target.id)
        if version is not None and version.content is not None:
            return
    raise _refused(f"{text[:200]} is not known.", place)


def _decoded(text: str, place: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused("This is not base64.", place) from error


def _refused(text: str, place: str) -> Unprocessable:
    return Unprocessable(issues=(Issue("error", "business-rule", text, (place,)),))
