"""Receiving bodies within their limit."""

import gzip

import pytest

from fhirserver.errors import Malformed, TooLarge, UnsupportedMediaType
from fhirserver.rest.body import Disconnected, receive_body


def sender(*chunks):
    """`receive` of ASGI giving these chunks; counts how many were asked for."""
    messages = [
        {"type": "http.request", "body": chunk, "more_body": n < len(chunks)}
        for n, chunk in enumerate(chunks, 1)
    ]

    async def receive():
        receive.asked += 1
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    receive.asked = 0
    return receive


async def test_chunks_are_joined():
    assert await receive_body(sender(b"ab", b"", b"c"), {}, 10) == b"abc"


async def test_declared_length_over_the_limit_is_refused_unread():
    receive = sender(b"x" * 11)
    with pytest.raises(TooLarge):
        await receive_body(receive, {b"content-length": b"11"}, 10)
    assert receive.asked == 0


async def test_undeclared_length_is_refused_as_soon_as_the_limit_is_passed():
    receive = sender(*[b"x" * 6] * 100)
    with pytest.raises(TooLarge):
        await receive_body(receive, {}, 10)
    assert receive.asked == 2


async def test_body_of_exactly_the_limit_is_taken():
    assert len(await receive_body(sender(b"x" * 10), {b"content-length": b"10"}, 10)) == 10


async def test_client_that_goes_away_is_noticed():
    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(Disconnected):
        await receive_body(receive, {}, 10)


async def test_gzip_is_decompressed():
    body = gzip.compress(b'{"a":1}')
    assert await receive_body(sender(body), {b"content-encoding": b"gzip"}, 100) == b'{"a":1}'


async def test_gzip_bomb_is_too_large():
    bomb = gzip.compress(b"0" * 1_000_000)
    with pytest.raises(TooLarge):
        await receive_body(sender(bomb), {b"content-encoding": b"gzip"}, 10_000)


@pytest.mark.parametrize(
    "body",
    [b"not gzip", gzip.compress(b"abc", mtime=0)[:-4], gzip.compress(b"abc", mtime=0) + b"more"],
)
async def test_broken_gzip_is_malformed(body):
    with pytest.raises(Malformed):
        await receive_body(sender(body), {b"content-encoding": b"gzip"}, 1000)


async def test_other_encodings_are_unsupported():
    with pytest.raises(UnsupportedMediaType):
        await receive_body(sender(b"x"), {b"content-encoding": b"br"}, 1000)
