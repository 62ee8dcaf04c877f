"""A server process to talk to, and what its answers are checked with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

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


def database_in(url: str, name: str) -> str:
    """The URL of database `name` on the MongoDB server that `url` names."""
    head, _, query = url.partition("?")
    scheme, _, rest = head.partition("://")
    host = rest.partition("/")[0]
    return f"{scheme}://{host}/{name}" + (f"?{query}" if query else "")


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
