"""Receiving a request's body, never more of it than the limit allows."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Malformed, TooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class Disconnected(Exception):
    """The client went away before its request was complete."""


async def receive_body(
    receive: Callable[[], Awaitable[Any]], headers: Mapping[bytes, bytes], limit: int
) -> bytes:
    """The whole body, decompressed. Raises TooLarge as soon as the limit is passed."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            break
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if not encoding or encoding == b"identity" or not body:
        return body
    if encoding in (b"gzip", b"x-gzip"):
        return _decompress(body, limit)
    shown = encoding[:40].decode("latin-1")
    raise UnsupportedMediaType(f"Content-Encoding “{shown}” is not read here; send gzip or none")


def _decompress(body: bytes, limit: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    try:
        content = decoder.decompress(body, limit + 1)
    except zlib.error:
        raise Malformed("The body is not gzip, but Content-Encoding says so") from None
    if len(content) > limit:
        raise _too_large(limit)
    if not decoder.eof:
        raise Malformed("The gzip body is truncated")
    if decoder.unused_data:
        raise Malformed("More follows the gzip body")
    return content


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than this server takes ({limit} bytes)")
