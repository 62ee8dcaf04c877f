"""Server processes on loopback, started and ended."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhirserver.app import open_engine
from fhirserver.diary import following
from fhirserver.interaction.service import followed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FHIRSERVER_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


class Server:
    """A running server: its port, its process, and plain requests to it."""

    def __init__(self, port: int, process: subprocess.Popen[Any]) -> None:
        self.port = port
        self.process = process

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, _, body = self.ask(path, accept="application/fhir+json")
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body[:300]!r}")
        return json.loads(body)


@contextlib.contextmanager
def started(command: list[str], port: int, probe: str) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Server(port, process)
    try:
        await_answer(server, probe)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_answer(server: Server, probe: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if server.ask(probe)[0] < 500:
                return
        except OSError:
            pass
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.process.args!r} ended by itself")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{server.process.args!r} does not answer")
        time.sleep(0.002)


def fhirserver(
    database: Path, *, port: int = 0, auth: str = "off"
) -> contextlib.AbstractContextManager[Server]:
    port = port or free_port()
    command = ["fhirserver.cli", "serve", "--auth", auth, "--port", str(port)]
    command += ["--database", f"sqlite:///{database}", "--log-level", "error"]
    return started(command, port, "/fhir/Patient/none")


def bare(answers: Path) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    probe = next(iter(json.loads(answers.read_text())))
    return started(["benchmarks.bare", str(port), str(answers)], port, probe)


def record(
    server: Server, paths: list[str], file: Path, headers: dict[str, str] | None = None
) -> None:
    """Keep the server's answers for `bare` to send."""
    answers = {}
    for path in paths:
        sent = {"accept": "application/fhir+json", **(headers or {})}
        status, answered, body = server.ask(path, "GET", None, **sent)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body[:300]!r}")
        kept = [(n, v) for n, v in answered if n.lower() not in ("date", "connection")]
        answers[path] = (status, kept, body.decode("latin-1"))
    file.write_text(json.dumps(answers))


def pass_over(database: Path) -> None:
    """Tell the diary that it has seen what was loaded. After a load a server draws up forecasts
    and programmes beside its requests, some 10 ms for each patient; how quickly it serves then is
    another question than how quickly it serves."""

    async def tell() -> None:
        store = open_engine(f"sqlite:///{database}")
        await store.open()
        try:
            await store.set_state(followed(following.NAME), b"%d" % await store.settled())
        finally:
            await store.close()

    asyncio.run(tell())


def load(paths: list[Path], database: Path, *, workers: int | None = None) -> float:
    """`fhirserver load` as a user runs it; the seconds it took, start-up included."""
    command = [sys.executable, "-m", "fhirserver.cli", "load", *map(str, paths)]
    command += ["--database", f"sqlite:///{database}"]
    if workers is not None:
        command += ["--workers", str(workers)]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"load failed: {done.stderr[-500:]}")
    return time.perf_counter() - began
