"""The database is its server's alone."""

import os
import stat

import pytest

from fhirserver.storage.sqlite import SqliteStore


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
async def test_no_other_account_reads_the_database_or_what_is_beside_it(tmp_path, mask):
    before = os.umask(mask)
    try:
        store = SqliteStore(str(tmp_path / "store.db"))
        await store.open()
        await store.set_state("a", b"b")
        files = sorted(tmp_path.iterdir())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}
        await store.close()
    finally:
        os.umask(before)
    assert len(modes) > 1
    assert set(modes.values()) == {0o600}


async def test_a_database_that_is_there_keeps_the_mode_its_owner_gave_it(tmp_path):
    path = tmp_path / "store.db"
    path.touch()
    path.chmod(0o640)
    store = SqliteStore(str(path))
    await store.open()
    await store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
