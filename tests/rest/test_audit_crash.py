"""A process that is killed loses no record of what it has served, and no notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from audit_door import Recorded, open_store

from fhirserver.access.audit.verify import verify

HERE = Path(__file__).parent
_SERVES = """
import asyncio, pathlib, sys
from audit_door import Recorded, open_store

async def main():
    store = open_store(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3])
    await store.open()
    server = Recorded(store)
    await server.service.start()
    await server.put({"resourceType": "Patient", "id": "a"})

    async def reads(name):
        number = 0
        while True:
            number += 1
            id = f"{name}-{number}"
            answer = await server.ask("doctor", "GET", "Patient/a", x_request_id=id)
            assert answer.status_code == 200
            print(id, flush=True)
            if number % 20 == 0:
                await server.service.materialiser.catch_up(3)
                await server.notifier.catch_up()

    await asyncio.gather(*(reads(f"r{n}") for n in range(4)))

asyncio.run(main())
"""


@pytest.mark.parametrize("engine", ["sqlite", "mongodb"])
@pytest.mark.parametrize("seconds", [0.2, 0.9])
async def test_a_killed_process_loses_no_record(engine, seconds, tmp_path):
    name = f"audit_crash_{os.urandom(6).hex()}"
    store = open_store(engine, tmp_path, name)
    if store is None:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVES, engine, str(tmp_path), name],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    # What is only half a line may not have been served.
    rest = process.stdout.read().decode().rpartition("\n")[0]
    process.stdout.close()
    process.wait()
    served = {first.decode().strip(), *rest.split()} - {""}
    await store.open()
    try:
        server = Recorded(store)
        events = await server.events()
        found = {
            entity["what"]["identifier"]["value"]
            for event in events
            for entity in event["entity"]
            if "identifier" in entity.get("what", {})
        }
        assert served <= found
        assert len({event["id"] for event in events}) == len(events)
        assert (await verify(store)).broken == ()
        await server.notifier.catch_up()
        assert len(await server.all("Communication")) == 1  # the doctor's first access, once
    finally:
        if engine == "mongodb":
            await store._connection.client.drop_database(name)
        await store.close()
        await server.client.aclose()
