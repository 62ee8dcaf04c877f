"""What a service adds to the server: rules on writes, and work that nobody has asked for.

The services (space, record, diary, messaging, catalogue) meet only through resources. Each lists
what it has as a `Service`; `app/services.py` lists the services.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from fhirserver.access.lease import Lease
from fhirserver.model.dates import microseconds
from fhirserver.model.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fhirserver.access.store import Store
    from fhirserver.interaction.context import Behaviour, Context
    from fhirserver.model.version import Version

_log = structlog.get_logger("fhirserver")
_LETTING_GO = 5.0  # seconds
_BATCH = 200  # versions between two notes of how far a follower has come


@dataclass(frozen=True, slots=True)
class Job:
    """Work done every `seconds`, by one process at a time.

    A process can end in the midst of it and another one begin again, so `run` leaves the same
    behind however often it is done. It is given the server's own context.
    """

    name: str
    seconds: float
    run: Callable[[Context], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """`behaviours` listen to every write (`interaction/context.py`); `jobs` run beside requests."""

    name: str
    behaviours: tuple[Behaviour, ...] = ()
    jobs: tuple[Job, ...] = ()


def followed(name: str) -> str:
    """The store's small value that tells how far a follower has come: a place (`Version.seq`)."""
    return f"followed/{name}"


async def follow(
    ctx: Context,
    name: str,
    types: frozenset[str],
    step: Callable[[Context, Version], Awaitable[None]],
) -> None:
    """Call `step` with each committed version of `types`, in commit order, from where the last
    call under this `name` has come to; a version can come twice after an interruption.

    What `step` raises ends the call; the version comes again at the next one.
    """
    state = followed(name)
    place = int(await ctx.store.get_state(state) or b"0")
    end = await ctx.store.settled()
    if end <= place:
        return
    reached, noted = place, 0
    try:
        async for version in ctx.store.changes(place, types):
            await step(ctx, version)
            reached = version.seq
            noted += 1
            if noted % _BATCH == 0:
                await ctx.store.set_state(state, b"%d" % reached)
                place = reached
        reached = max(reached, end)  # what lies between are other types
    finally:
        if reached != place:
            await ctx.store.set_state(state, b"%d" % reached)


async def work(store: Store, ctx: Context, jobs: Sequence[Job]) -> None:
    """Do the jobs of a server process until cancelled. `ctx`: the server's own context."""
    process = f"{os.getpid()}/{uuid.uuid4()}"
    await asyncio.gather(*(_repeat(store, ctx, job, process) for job in jobs))


async def _repeat(store: Store, ctx: Context, job: Job, process: str) -> None:
    lease = Lease(store, f"job/{job.name}", process, lambda: microseconds(ctx.clock()))
    failing = False
    try:
        async for _ in rounds(job.seconds):
            try:
                if await lease.hold(3 * job.seconds + 30):
                    await job.run(ctx)
                failing = False
            except Exception as error:  # the next round tries again
                if not failing:
                    _log.warning("job failed", job=job.name, error=repr(error))
                failing = True
    finally:
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_LETTING_GO):
                await lease.release()
