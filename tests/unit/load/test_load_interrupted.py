"""A load that is killed, and run again, ends as if it had never been."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from load_files import dump, post, transaction

from fhirserver.cli.opening import opened

ROOT = Path(__file__).parents[3]
BUNDLES = 4000


def bundle(n):
    return transaction(
        post(f"urn:uuid:p{n}", {"resourceType": "Patient", "identifier": [{"value": str(n)}]}),
        post(
            f"urn:uuid:o{n}",
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"text": "weight"},
                "subject": {"reference": f"urn:uuid:p{n}"},
            },
        ),
    )


def start(file, database):
    command = [sys.executable, "-m", "fhirserver.cli", "load", str(file)]
    command += ["--database", f"sqlite:///{database}", "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=file.parent,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(file, database):
    process = start(file, database)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, said
    return said


def count(database):
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM resource").fetchone()[0]
    except sqlite3.OperationalError:
        return 0  # not made yet
    finally:
        if "connection" in locals():
            connection.close()


def contents(database):
    async def read():
        found = {}
        async with opened(f"sqlite:///{database}") as (store, _):
            async for version in store.changes():
                body = version.content.partition(b'"lastUpdated":"')
                assert version.version == 1
                found[version.type, version.id] = body[0] + body[2][24:]
        return found

    return asyncio.run(read())


@pytest.mark.timeout(300)
def test_killed_load_is_completed_by_running_it_again(tmp_path):
    file = tmp_path / "in.ndjson"
    file.write_bytes(b"\n".join(dump(bundle(n)) for n in range(BUNDLES)))
    interrupted, clean = tmp_path / "interrupted.db", tmp_path / "clean.db"

    process = start(file, interrupted)
    deadline = time.monotonic() + 60
    while count(interrupted) == 0 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    there = count(interrupted)
    assert 0 < there < 2 * BUNDLES
    assert there % 2 == 0  # no transaction is half there

    said = finish(file, interrupted)
    assert f"{there:,} already there" in said
    finish(file, clean)
    assert contents(interrupted) == contents(clean)
    assert len(contents(clean)) == 2 * BUNDLES


@pytest.mark.timeout(100)
def test_load_stopped_from_the_keyboard_says_no_more_and_keeps_what_it_counted(tmp_path):
    file = tmp_path / "in.ndjson"
    file.write_bytes(b"\n".join(dump(bundle(n)) for n in range(BUNDLES)))
    database = tmp_path / "stopped.db"
    process = start(file, database)
    deadline = time.monotonic() + 60
    while count(database) == 0 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    there = count(database)
    assert 0 < there < 2 * BUNDLES
    assert f"{there:,} already there" in finish(file, database)
