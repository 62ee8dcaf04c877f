"""$reindex: writes the index entries of stored resources anew, while the server goes on.

Needed after a SearchParameter came or changed: what is written from then on is found by it at
once, what was stored before only after this. Versions and times do not change. POST
`$reindex` (all types, or those of the parameter `type`) or `[type]/$reindex` starts a job in this
process and answers with its progress, so does asking again; `$reindex-status` (GET) only asks.
The job's state is kept by the store: `resume` goes on with it after a restart.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from fhirserver.errors import Invalid, NotFound
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.model.json import decode_stored
from fhirserver.model.rounds import cancelled
from fhirserver.operation.parameters import answer, given

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version
    from fhirserver.operation.call import Call

_STATE = "reindex"
_BATCH = 200
_AT_A_TIME = 10  # resources indexed before other requests get their turn
_SILENT = 30.0  # seconds without a sign after which another process may take a job over


class Job(msgspec.Struct):
    """`types` still to do, the first one in work from key `after`; times in seconds."""

    types: list[str]
    started: float
    touched: float
    after: int | str | None = None
    processed: int = 0
    replaced: int = 0
    finished: float | None = None
    failure: str | None = None

    @property
    def status(self) -> str:
        if self.failure is not None:
            return "failed"
        return "in-progress" if self.finished is None else "completed"


# Keeps the running task from being collected; one job runs in a process at a time.
_running: set[asyncio.Task[None]] = set()


async def reindex(ctx: Context, call: Call) -> Resource:
    """Start a job, or tell of the one that runs."""
    types = _types(call)
    job = await _load(ctx)
    now = ctx.clock().timestamp()
    if job is None or job.status != "in-progress" or now - job.touched > _SILENT:
        job = Job(types, now, now)
        await _save(ctx, job)
        _start(ctx, job)
    return _progress(ctx, job)


async def reindex_status(ctx: Context, call: Call) -> Resource:
    """Tell of the last job."""
    job = await _load(ctx)
    if job is None:
        raise NotFound("No $reindex was started on this server yet.")
    return _progress(ctx, job)


async def resume(ctx: Context) -> bool:
    """Go on with a job that a process left unfinished; the app calls this at start and now and
    then. Tells whether it did."""
    job = await _load(ctx)
    if job is None or job.status != "in-progress" or _running:
        return False
    if ctx.clock().timestamp() - job.touched <= _SILENT:
        return False
    # Other processes see that somebody works on it again.
    job.touched = ctx.clock().timestamp()
    await _save(ctx, job)
    _start(ctx, job)
    return True


async def stop() -> None:
    """Leave the running job to the next start; the app calls this before it closes the store."""
    loop = asyncio.get_running_loop()
    running = [task for task in _running if task.get_loop() is loop]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def reindex_all(
    ctx: Context,
    types: Sequence[str] = (),
    *,
    told: Callable[[str, int], None] | None = None,
) -> int:
    """Reindex here and now (empty `types`: every one); the number of resources seen. `told` hears
    of each batch: the type, and how many resources of it are done."""
    total = 0
    for type in types or sorted(RESOURCE_TYPES):
        after: int | str | None = None
        done = 0
        while True:
            versions, after = await ctx.store.reindex(type, after, _BATCH)
            await _replace(ctx, versions)
            done += len(versions)
            if told is not None and versions:
                told(type, done)
            if after is None:
                break
        total += done
    return total


def _start(ctx: Context, job: Job) -> None:
    task = asyncio.create_task(_run(ctx, job))
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _run(ctx: Context, job: Job) -> None:
    try:
        while job.types:
            versions, after = await ctx.store.reindex(job.types[0], job.after, _BATCH)
            job.replaced += await _replace(ctx, versions)
            job.processed += len(versions)
            job.after = after
            if after is None:
                job.types.pop(0)
            if versions or not job.types:
                job.touched = ctx.clock().timestamp()
                if not job.types:
                    job.finished = job.touched
                await _save(ctx, job)
    except Exception as error:
        if cancelled():  # the next start goes on with it
            return
        # The job has no caller to raise to: its state tells.
        job.failure = f"{error.__class__.__name__}: {error}"
        job.finished = ctx.clock().timestamp()
        await _save(ctx, job)


async def _replace(ctx: Context, versions: Sequence[Version]) -> int:
    items = []
    for number, version in enumerate(versions, 1):
        items.append((version, ctx.indexer.entries(decode_stored(version.content or b"{}"))))
        if number % _AT_A_TIME == 0:
            await asyncio.sleep(0)
    return await ctx.store.replace_entries(items) if items else 0


def _types(call: Call) -> list[str]:
    asked = [call.type] if call.type else []
    for name, value in given(call):
        if name in ("_format", "_pretty"):
            continue
        if name != "type" or call.type is not None:
            raise Invalid(f"$reindex has no parameter {name[:80]} here.")
        if not isinstance(value, str):
            raise Invalid("The parameter type must be the code of a resource type.", code="value")
        asked += value.split(",")
    for type in asked:
        if type not in RESOURCE_TYPES:
            raise Invalid(f"{type[:80]} is no resource type.", code="value")
    return list(dict.fromkeys(asked)) or sorted(RESOURCE_TYPES)


def _progress(ctx: Context, job: Job) -> Resource:
    end = job.finished if job.finished is not None else ctx.clock().timestamp()
    return answer(
        status=("valueCode", job.status),
        processed=("valueInteger", job.processed),
        replaced=("valueInteger", job.replaced),
        typesLeft=("valueInteger", len(job.types)),
        type=("valueCode", job.types[0] if job.types else None),
        seconds=("valueInteger", max(0, round(end - job.started))),
        failure=("valueString", job.failure),
    )


async def _load(ctx: Context) -> Job | None:
    state = await ctx.store.get_state(_STATE)
    return None if state is None else msgspec.json.decode(state, type=Job)


def _save(ctx: Context, job: Job) -> Awaitable[None]:
    return ctx.store.set_state(_STATE, msgspec.json.encode(job))
