"""Worker processes prepare what they are given, and say so when they cannot."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from load_files import dump

from fhirserver.cli.opening import opened
from fhirserver.load.database import DatabaseLoad, LoadStopped
from fhirserver.load.items import Item
from fhirserver.load.workers import WorkerEnded, Workers

OPTIONS = {"local_bases": (), "atomic": False}


def patient(n):
    return Item("p.json", dump({"resourceType": "Patient", "id": str(n)}))


def ids(prepared):
    return [change.id for unit in prepared.units for change in unit.changes]


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_each_request_gets_its_own_answer(count):
    async with Workers(count) as workers:
        workers.begin([], OPTIONS)
        answers = [workers.submit([patient(n), patient(-n - 1)]) for n in range(20)]
        assert [ids(await answer) for answer in answers] == [
            [str(n), str(-n - 1)] for n in range(20)
        ]


async def test_values_larger_than_a_pipe_pass():
    large = {"resourceType": "Patient", "id": "large", "name": [{"text": "x" * 900_000}] * 4}
    item = Item("large.json", dump(large))
    async with Workers(1) as workers:
        workers.begin([], OPTIONS)
        answers = [workers.submit([item]) for _ in range(4)]
        for answer in answers:
            (unit,) = (await answer).units
            assert len(unit.changes[0].content.tail) > 4 * 900_000


async def test_few_bytes_need_no_process():
    async with Workers(4, 1000) as workers:
        workers.begin([], OPTIONS)
        assert workers.count == 0
        assert ids(await workers.submit([patient(1)])) == ["1"]


async def test_error_of_a_worker_is_told_and_the_worker_goes_on():
    async with Workers(1) as workers:
        workers.begin([], OPTIONS)
        with pytest.raises(RuntimeError, match="AttributeError"):
            await workers.submit([None])
        assert ids(await workers.submit([patient(1)])) == ["1"]


def kill_one(workers):
    os.kill(workers._processes[0]._process.pid, signal.SIGKILL)


async def test_a_killed_worker_fails_what_it_was_asked_and_what_comes_later():
    async with Workers(1) as workers:
        workers.begin([], OPTIONS)
        await workers.submit([patient(1)])
        answers = [workers.submit([patient(n)]) for n in range(5)]
        kill_one(workers)
        outcomes = await asyncio.wait_for(asyncio.gather(*answers, return_exceptions=True), 20)
        assert isinstance(outcomes[-1], WorkerEnded)
        with pytest.raises(WorkerEnded):
            await workers.submit([patient(6)])


async def test_load_says_that_a_worker_ended(tmp_path):
    file = tmp_path / "p.ndjson"
    file.write_bytes(b"\n".join(patient(n).data for n in range(2000)))
    async with opened(f"sqlite:///{tmp_path / 's.db'}") as (_, context), Workers(1) as workers:
        load = DatabaseLoad(
            context, refused=print, progress=lambda done, count: None, workers=workers
        )
        kill_one(workers)
        with pytest.raises(LoadStopped, match="worker process ended unexpectedly"):
            await asyncio.wait_for(load.run([file]), 20)


async def test_workers_that_were_never_needed_end():
    async with Workers(2) as workers:
        pids = [process._process.pid for process in workers._processes]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_end_with_the_process_that_started_them():
    code = """
import asyncio, os, signal
from fhirserver.load.workers import Workers
async def main():
    workers = await Workers(1).__aenter__()
    workers.begin([], {})
    print(workers._processes[0]._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,  # ends when the worker has closed its error output
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout)
    assert "Traceback" not in done.stderr
