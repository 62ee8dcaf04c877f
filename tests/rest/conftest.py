"""A server to talk to: a real process for each engine, or the application in this process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from fhirserver.app import build
from fhirserver.settings import Settings

ROOT = Path(__file__).parents[2]
FHIR_JSON = {"content-type": "application/fhir+json"}
_RUN = (
    "from fhirserver.app import serve; from fhirserver.settings import Settings; serve(Settings())"
)


@dataclass(frozen=True)
class Server:
    """A server process: where it is, which engine it has, its log."""

    base_url: str
    engine: str
    log: Path
    process: subprocess.Popen


def start(folder: Path, database: str, engine: str, **environment: str) -> Server:
    """Start a server process on a free loopback port and wait until it answers."""
    log = folder / "server.log"
    settings = {
        "FHIRSERVER_DATABASE": database,
        "FHIRSERVER_AUTH": "off",
        "FHIRSERVER_PORT": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        **environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN],
            env={**os.environ, **settings},
            cwd=folder,
            stdout=output,
            stderr=output,
        )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"running on (http://\S+)", log.read_text(errors="replace"))
        if found and _answers(f"{found[1]}/fhir/metadata"):
            return Server(f"{found[1]}/fhir", engine, log, process)
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')}")


def _answers(url: str) -> bool:
    """Whether the server listens: with several workers the address is printed before."""
    try:
        return httpx.get(url, timeout=30).status_code == 200
    except httpx.ConnectError:
        return False


def stop(server: Server) -> None:
    server.process.terminate()
    try:
        server.process.wait(15)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
        raise


@pytest.fixture(scope="session", params=["sqlite", "mongodb"])
def server(request, tmp_path_factory):
    """One server for the whole session on each engine; tests keep apart by their own ids."""
    folder = tmp_path_factory.mktemp(f"rest-{request.param}")
    if request.param == "sqlite":
        database = f"sqlite:///{folder}/store.db"
    else:
        url = os.environ.get("FHIRSERVER_TEST_MONGODB")
        if not url:
            pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
        database = database_in(url, f"rest_{uuid.uuid4().hex[:12]}")
    running = start(folder, database, request.param)
    yield running
    stop(running)
    assert "Traceback" not in running.log.read_text(errors="replace")


def database_in(url: str, name: str) -> str:
    """The URL of database `name` on the MongoDB server that `url` names."""
    head, _, query = url.partition("?")
    scheme, _, rest = head.partition("://")
    host = rest.partition("/")[0]
    return f"{scheme}://{host}/{name}" + (f"?{query}" if query else "")


@pytest.fixture
def fhir(server):
    """A client of the server process; paths are below the base URL."""
    with httpx.Client(base_url=server.base_url, timeout=30) as client:
        yield client


@pytest.fixture
def tag():
    """A text no other test uses."""
    return uuid.uuid4().hex


@pytest.fixture
async def in_process(tmp_path):
    """Makes clients of applications in this process, each on an empty store of its own."""
    running = []

    async def make(raise_errors=True, **settings):
        settings = {"auth": "off", "database": f"sqlite:///{tmp_path}/{len(running)}.db"} | settings
        app = build(Settings(_env_file=None, **settings))
        lifespan = app.lifespan()
        await lifespan.__aenter__()
        transport = httpx.ASGITransport(app, raise_app_exceptions=raise_errors)
        client = httpx.AsyncClient(transport=transport, base_url="http://testserver/fhir")
        running.append((client, lifespan))
        client.app = app
        return client

    yield make
    for client, lifespan in running:
        await client.aclose()
        await lifespan.__aexit__(None, None, None)


def outcome_of(response: httpx.Response, status: int | tuple[int, ...]) -> dict:
    """The OperationOutcome of a failed request, checked."""
    expected = status if isinstance(status, tuple) else (status,)
    assert response.status_code in expected, (response.status_code, response.text[:500])
    assert response.headers["content-type"].startswith("application/fhir+json")
    body = response.json()
    assert body["resourceType"] == "OperationOutcome"
    assert body["issue"]
    for issue in body["issue"]:
        assert issue["severity"] in ("fatal", "error", "warning", "information")
        assert issue["code"]
        assert "Traceback" not in issue.get("diagnostics", "")
    return body
