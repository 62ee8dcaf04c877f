"""Requests at full speed from a process of their own: wrk when it is installed, else raw sockets.

Our own generator knows the length of each answer beforehand, so it parses nothing and is a small
part of the work; `wrk` is smaller still.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from typing import Any

from benchmarks.servers import HOST, ROOT, Server, environment

CONNECTIONS = 32


def name() -> str:
    return "wrk" if shutil.which("wrk") else "an asyncio generator"


def get_rate(
    server: Server, paths: list[str], seconds: float, headers: dict[str, str] | None = None
) -> float:
    """Answers a second to GET of `paths`, which are of one kind."""
    if shutil.which("wrk"):
        return _wrk(server, paths, seconds, headers or {})
    requests = [("GET", path, b"") for path in paths]
    return requests_rate(server, requests, seconds, headers=headers)


def requests_rate(
    server: Server,
    requests: list[tuple[str, str, bytes]],
    seconds: float,
    connections: int = CONNECTIONS,
    expect: str = "200",
    headers: dict[str, str] | None = None,
) -> float:
    """Answers a second to `requests` (method, path, body), by our own generator."""
    order = {
        "port": server.port,
        "requests": [(m, p, b.decode("latin-1")) for m, p, b in requests],
        "seconds": seconds,
        "connections": connections,
        "expect": expect,
        "headers": headers or {},
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.generator"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the generator failed: {done.stderr[-800:]}")
    return float(done.stdout)


def _wrk(server: Server, paths: list[str], seconds: float, headers: dict[str, str]) -> float:
    script = ROOT / "benchmarks" / "paths.lua"
    done = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{max(round(seconds), 1)}s",
            "-s",
            str(script),
            *(part for name, value in headers.items() for part in ("-H", f"{name}: {value}")),
            f"http://{HOST}:{server.port}",
            "--",
            *paths,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None:
        raise RuntimeError(done.stdout)
    return float(found[1])


# --- the process ----------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete."""

    def __init__(self, run: _Run, start: int) -> None:
        self.run = run
        self.next = start
        self.left = 0
        self.measured = b""

    def connection_made(self, transport: Any) -> None:
        self.write = transport.write
        self.transport = transport
        self.send()

    def send(self) -> None:
        run = self.run
        self.next = (self.next + 1) % len(run.requests)
        # Answers to writes differ in length: each is looked at.
        self.left = 0 if run.varying else run.lengths[self.next]
        self.begins = True
        self.write(run.requests[self.next])

    def data_received(self, data: bytes) -> None:
        if self.begins:
            self.begins = False
            if data[9:12] != self.run.expect:
                self.run.fail(data[:400])
                return
            if not self.left:  # the first answer to this request tells how long it is
                self.measured = data
                self.left = -1
                self.measure(b"")
                return
        elif self.left == -1:
            self.measure(data)
            return
        self.left -= len(data)
        if self.left == 0:
            self.answered()
        elif self.left < 0:
            self.run.fail(b"an answer changed its length: " + data[:300])

    def measure(self, data: bytes) -> None:
        self.measured += data
        head, mark, body = self.measured.partition(b"\r\n\r\n")
        if not mark:
            return
        found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        expected = int(found[1]) if found else 0
        if len(body) >= expected:
            self.run.lengths[self.next] = len(head) + 4 + expected
            self.answered()

    def answered(self) -> None:
        run = self.run
        run.count += 1
        if run.over:
            self.transport.close()
        else:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.run.over:
            self.run.fail(b"the server closed a connection")


class _Run:
    def __init__(self, order: dict[str, Any]) -> None:
        self.requests = []
        for method, path, body in order["requests"]:
            head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{order['port']}\r\n"
            head += "Accept: application/fhir+json\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in order["headers"].items())
            if body:
                head += "Content-Type: application/fhir+json\r\nPrefer: return=minimal\r\n"
                head += f"Content-Length: {len(body)}\r\n"
            self.requests.append(head.encode("latin-1") + b"\r\n" + body.encode("latin-1"))
        self.lengths = [0] * len(self.requests)
        self.expect = order["expect"].encode()
        self.varying = self.expect != b"200"
        self.port, self.seconds = order["port"], order["seconds"]
        self.connections = order["connections"]
        self.count = 0
        self.over = False
        self.failure = b""

    def fail(self, text: bytes) -> None:
        if not self.failure:
            self.failure = text
            self.ended.set()

    async def rate(self) -> float:
        loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        step = max(len(self.requests) // self.connections, 1)
        for number in range(self.connections):
            start = number * step % len(self.requests)
            await loop.create_connection(lambda s=start: _Connection(self, s), HOST, self.port)  # type: ignore[misc]
        await self._pause(min(0.3, self.seconds / 4))  # connections and caches get warm
        began, before = time.perf_counter(), self.count
        await self._pause(self.seconds)
        rate = (self.count - before) / (time.perf_counter() - began)
        self.over = True
        if self.failure:
            raise SystemExit(self.failure.decode("latin-1"))
        return rate

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.ended.wait(), seconds)
        except TimeoutError:
            return


if __name__ == "__main__":
    run = _Run(json.load(sys.stdin))
    try:
        import uvloop

        loop_factory: Any = uvloop.new_event_loop
    except ImportError:
        loop_factory = None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        print(runner.run(run.rate()))
