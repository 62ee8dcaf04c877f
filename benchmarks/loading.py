"""Synthea patients by `fhirserver load` and as transactions over HTTP; start-up."""

from __future__ import annotations

import gzip
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from benchmarks import servers, synthetic
from benchmarks.row import Row

if TYPE_CHECKING:
    from pathlib import Path

SYNTHEA = servers.ROOT.parent / "shared" / "data" / "synthea-r4" / "bundles.jsonl.gz"
CONNECTIONS = 4
START_ROUNDS = 5


def bundles(most: int) -> tuple[str, list[bytes]]:
    """Transaction Bundles, and what they are: Synthea patients, else made-up ones."""
    if SYNTHEA.exists():
        with gzip.open(SYNTHEA) as lines:
            return "Synthea", [line.strip() for line, _ in zip(lines, range(most), strict=False)]
    made = []
    entries: list[dict[str, object]] = []
    for body in synthetic.resources(most * 200):
        resource = json.loads(body)
        url = f"{resource['resourceType']}/{resource['id']}"
        entries.append({"resource": resource, "request": {"method": "PUT", "url": url}})
        if len(entries) == 200:
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            made.append(json.dumps(bundle, ensure_ascii=False).encode())
            entries = []
    return "made-up", made


def count(bodies: list[bytes]) -> int:
    return sum(len(json.loads(body)["entry"]) for body in bodies)


def transactions(folder: Path, rounds: int, most: int) -> list[Row]:
    """The same Bundles into a new store each round, four requests at a time."""
    kind, bodies = bundles(most)
    resources = count(bodies)
    rates = []
    for number in range(rounds):
        with servers.fhirserver(folder / f"transactions{number}.db") as server:
            began = time.perf_counter()
            _post(server.port, bodies)
            rates.append(resources / (time.perf_counter() - began))
    rate = statistics.median(rates)
    work = f"{kind} transaction Bundles over HTTP, resources/s"
    return [Row(work, f"{resources:,} resources", "", rate, 2000, digits=0)]


def _post(port: int, bodies: list[bytes]) -> None:
    queue = list(reversed(bodies))
    failures: list[str] = []

    def send() -> None:
        connection = http.client.HTTPConnection(servers.HOST, port, timeout=300)
        while queue and not failures:
            try:
                body = queue.pop()
            except IndexError:
                break
            headers = {"content-type": "application/fhir+json", "prefer": "return=minimal"}
            connection.request("POST", "/fhir", body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                failures.append(f"{answer.status} {said[:500]!r}")
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(failures[0])


def load(folder: Path, rounds: int, most: int) -> list[Row]:
    kind, bodies = bundles(most)
    file = folder / "bundles.jsonl.gz"
    with gzip.open(file, "wb", compresslevel=1) as stream:
        stream.write(b"\n".join(bodies))
    resources = count(bodies)
    rates = [
        resources / servers.load([file], folder / f"load{number}.db") for number in range(rounds)
    ]
    rate = statistics.median(rates)
    work = f"fhirserver load of {kind} Bundles, resources/s, start-up included"
    return [Row(work, f"{resources:,} resources", "", rate, 4000, digits=0)]


def start(database: Path) -> list[Row]:
    """From the start of the process to the first answer of a read."""
    times = []
    for _ in range(START_ROUNDS):
        port = servers.free_port()
        command = [sys.executable, "-m", "fhirserver.cli", "serve", "--auth", "off"]
        command += ["--port", str(port), "--database", f"sqlite:///{database}"]
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=servers.ROOT,
            env=servers.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            servers.await_answer(servers.Server(port, process), "/fhir/Patient/none")
            times.append(time.perf_counter() - began)
        finally:
            process.terminate()
            process.wait(30)
    median = statistics.median(times)
    return [Row("start to first answer, s", f"{median:.2f} s", "", median, 1.5, at_most=True)]
