"""Work that comes round again until its task is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def rounds(seconds: float) -> AsyncIterator[None]:
    """Wait so long before each round. It ends with the task's cancellation also where a driver
    has made an error of its own of that, and who caught the error goes on to the next round."""
    while not cancelled():
        await asyncio.sleep(seconds)
        yield


def cancelled() -> bool:
    """Whether somebody has asked this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
