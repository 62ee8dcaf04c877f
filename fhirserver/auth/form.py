"""Parameters of an authorization or token request; none may come twice (RFC 6749, 3.1 and 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749.errors import InvalidRequestError

if TYPE_CHECKING:
    from starlette.requests import Request

_MOST_BYTES = 128 * 1024
_MOST_FIELDS = 2000
_TYPE = "application/x-www-form-urlencoded"


class Form:
    """Names and values as sent. An empty value counts as absent."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if value:
                self._values.setdefault(name, []).append(value)

    def get(self, name: str) -> str:
        """The value, or "". Raises InvalidRequestError when there are several."""
        values = self._values.get(name)
        if values is None:
            return ""
        if len(values) > 1:
            raise InvalidRequestError("A parameter is repeated")
        return values[0]

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def names(self) -> list[str]:
        return list(self._values)

    def single(self) -> dict[str, str]:
        """Every parameter by name. Raises InvalidRequestError when one is repeated."""
        return {name: self.get(name) for name in self._values}


def parse(text: bytes) -> Form:
    if len(text) > _MOST_BYTES:
        raise InvalidRequestError("The request is too long")
    try:
        pairs = parse_qsl(
            text.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise InvalidRequestError("The parameters are not a form in UTF-8") from None
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise InvalidRequestError("A parameter holds a NUL character")
    return Form(pairs)


def query(request: Request) -> Form:
    return parse(request.scope["query_string"])


async def body(request: Request) -> Form:
    """The posted form; the query string is no part of it."""
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != _TYPE:
        raise InvalidRequestError(f"Parameters are posted as {_TYPE}")
    return parse(await read(request))


async def read(request: Request) -> bytes:
    """The body, as far as one of these endpoints reads. Raises InvalidRequestError."""
    received = b""
    async for chunk in request.stream():
        received += chunk
        if len(received) > _MOST_BYTES:
            raise InvalidRequestError("The request is too long")
    return received
