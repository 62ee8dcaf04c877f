"""A store of its own for each test, and files in every packing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from load_files import dump

from fhirserver.cli.opening import opened
from fhirserver.load.database import DatabaseLoad
from fhirserver.load.workers import Workers


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path / 'store' / 'test.db'}"


@pytest.fixture
def load(database, tmp_path):
    """Loads files (name -> body, or paths) and gives the report, whose `said` are the refusals."""

    async def run(files, *, workers=0, atomic=False):
        paths = []
        if isinstance(files, dict):
            for name, body in files.items():
                path = tmp_path / "in" / name
                path.parent.mkdir(exist_ok=True, parents=True)
                if not isinstance(body, bytes):
                    body = dump(body)
                path.write_bytes(gzip.compress(body) if name.endswith(".gz") else body)
                paths.append(path)
        else:
            paths = [Path(file) for file in files]
        said = []
        async with opened(database) as (_, context), Workers(workers) as started:
            loading = DatabaseLoad(
                context,
                refused=said.append,
                progress=lambda done, count: None,
                workers=started,
                atomic=atomic,
            )
            report = await loading.run(paths)
        return report, [str(refusal).replace(str(tmp_path / "in") + "/", "") for refusal in said]

    return run


@pytest.fixture
def stored(database):
    """Everything current in the store: Type/id -> decoded resource (meta's own members apart)."""

    async def read():
        found = {}
        async with opened(database) as (store, _):
            async for version in store.changes():
                name = f"{version.type}/{version.id}"
                found.pop(name, None)
                if version.content is not None:
                    resource = json.loads(version.content)
                    for member in ("versionId", "lastUpdated"):
                        resource["meta"].pop(member)
                    if not resource["meta"]:
                        del resource["meta"]
                    found[name] = resource
        return found

    return read
