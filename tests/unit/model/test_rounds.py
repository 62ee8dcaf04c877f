"""Rounds of work end when their task is cancelled."""

from __future__ import annotations

import asyncio

from fhirserver.model.rounds import rounds


async def test_rounds_come_again():
    seen = 0
    async for _ in rounds(0):
        seen += 1
        if seen == 3:
            break
    assert seen == 3


async def test_a_cancellation_between_rounds_ends_them():
    async def work():
        async for _ in rounds(3600):
            raise AssertionError

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=60)
    assert task.cancelled()


async def test_a_cancellation_that_was_made_an_error_ends_them_too():
    begun = asyncio.Event()

    async def driver():
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise ConnectionError from None

    async def work():
        async for _ in rounds(0):
            try:
                await driver()
            except ConnectionError:
                continue

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=60)
    assert task.done()
