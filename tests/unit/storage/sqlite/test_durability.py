"""What SQLite's store keeps through kill -9, and what it never half keeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fhirserver.search.expression import Compare, Kind, Match, Query
from fhirserver.storage.sqlite import SqliteStore

ROOT = Path(__file__).parents[4]

#: Commits units of three resources for ever and prints the number of each acknowledged one.
WRITER = """
import asyncio, sys
from fhirserver.model.version import Change, Content
from fhirserver.search.entries import TokenEntry, WordEntry
from fhirserver.storage.sqlite import SqliteStore

def change(type, id, n):
    entries = [TokenEntry("unit", "", str(n)), WordEntry("_text", f"w{n}")]
    return Change("PUT", type, id, Content(b'{"v":"', b'","t":"', b'"}' + b" " * 2000), entries)

async def client(store, k):
    n = k
    while True:
        await store.commit([change("Patient", f"{k}", n), change("Group", f"a{n}", n),
                            change("Group", f"b{n}", n)])
        print(n, flush=True)
        n += 8

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    await asyncio.gather(*(client(store, k) for k in range(8)))

asyncio.run(main())
"""


def killed_after(path: Path, units: int) -> list[int]:
    """Run WRITER until it acknowledged `units` units, kill it, and tell what it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(int(line))
        if len(told) == units:
            process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    return told


@pytest.mark.parametrize("units", [1, 60, 400])
async def test_everything_acknowledged_survives_kill_9_and_no_unit_is_half_there(tmp_path, units):
    told = killed_after(tmp_path / "killed.db", units)
    store = SqliteStore(tmp_path / "killed.db")
    await store.open()
    try:
        assert await store.check() == []
        there = [v async for v in store.changes()]
        groups = {v.id for v in there if v.type == "Group"}
        for n in told:
            assert {f"a{n}", f"b{n}"} <= groups
        # Whatever else is there was written whole.
        assert {id[1:] for id in groups if id[0] == "a"} == {
            id[1:] for id in groups if id[0] == "b"
        }
        assert len(there) * 2 == len(groups) * 3
        for n in told[-5:]:
            for kind, code, field, value in (
                (Kind.TOKEN, "unit", "code", str(n)),
                (Kind.WORD, "_text", "word", f"w{n}"),
            ):
                where = Match(code, kind, Compare(field, "eq", value))
                page = await store.search(Query(("Group",), where))
                assert {v.id for v in page.versions} == {f"a{n}", f"b{n}"}
    finally:
        await store.close()
