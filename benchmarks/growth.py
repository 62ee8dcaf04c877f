"""Whether searches stay as quick when the store grows: the same searches on a small store and on
a large one, in turn."""

from __future__ import annotations

import http.client
import random
import statistics
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from benchmarks import servers, synthetic
from benchmarks.row import Row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 5
REQUESTS = 40  # of each search in a round


def _patient(chance: random.Random, patients: int) -> str:
    return f"p{chance.randrange(patients):07d}"


#: Name -> the search, for some chance and number of patients.
SEARCHES: dict[str, Callable[[random.Random, int], str]] = {
    "read by id": lambda c, n: f"Patient/{_patient(c, n)}",
    "token, many matches": lambda c, n: "Observation?code=http://loinc.org%7C29463-7&_count=20",
    "identifier": lambda c, n: (
        f"Patient?identifier=https://exemple.example/ipp%7CIPP{c.randrange(n)}"
    ),
    "name": lambda c, n: f"Patient?name={quote(c.choice(synthetic.FAMILIES))}&_count=20",
    "birthdate range": lambda c, n: (
        f"Patient?birthdate=ge{1940 + c.randrange(60)}-01-01&birthdate=lt2005&_count=20"
    ),
    "patient's observations by code": lambda c, n: (
        f"Observation?patient={_patient(c, n)}&code=http://loinc.org%7C85354-9"
    ),
    "patient's newest": lambda c, n: f"Observation?patient={_patient(c, n)}&_sort=-date&_count=20",
    "code and value": lambda c, n: (
        f"Observation?code-value-quantity=http://loinc.org%7C29463-7$gt{80 + c.randrange(20)}"
        "&_count=20"
    ),
    "date, newest first": lambda c, n: (
        f"Observation?date=ge202{c.randrange(6)}&_sort=-date&_count=20"
    ),
    "chain": lambda c, n: (
        f"Condition?subject.identifier=https://exemple.example/ipp%7CIPP{c.randrange(n)}"
    ),
    "_has": lambda c, n: (
        f"Patient?identifier=https://exemple.example/ipp%7CIPP{c.randrange(n)}"
        "&_has:Observation:patient:code=http://loinc.org%7C8867-4"
    ),
    "_include": lambda c, n: (
        f"Encounter?patient={_patient(c, n)}&_include=Encounter:patient&_count=20"
    ),
    "compartment": lambda c, n: f"Patient/{_patient(c, n)}/Immunization?_count=20",
}


def growth(folder: Path, sizes: tuple[int, int]) -> list[Row]:
    stores = []
    for size in sizes:
        file, database = folder / f"synthetic{size}.ndjson.gz", folder / f"growth{size}.db"
        if not database.exists():
            synthetic.write(file, size)
            seconds = servers.load([file], database)
            servers.pass_over(database)
            file.unlink()
            print(f"growth: {size:,} resources loaded in {seconds:,.0f} s", flush=True)
        stores.append(database)
    with servers.fhirserver(stores[0]) as small, servers.fhirserver(stores[1]) as large:
        both = [(small, _patients(small)), (large, _patients(large))]
        taken: dict[str, tuple[list[float], list[float]]] = {n: ([], []) for n in SEARCHES}
        for number in range(ROUNDS + 1):
            for name, make in SEARCHES.items():
                for place, (server, patients) in enumerate(both):
                    chance = random.Random(f"{name} {number}")
                    times = _times(server, [make(chance, patients) for _ in range(REQUESTS)])
                    if number:  # the first round warms the caches
                        taken[name][place].append(statistics.median(times))
    rows = []
    for name, (at_small, at_large) in taken.items():
        before, after = statistics.median(at_small), statistics.median(at_large)
        reached = statistics.median(b / a for a, b in zip(at_small, at_large, strict=True))
        rows.append(
            Row(
                f"growth: {name}, p50",
                f"{after * 1000:.2f} ms at {sizes[1]:,}",
                f"{before * 1000:.2f} ms at {sizes[0]:,}",
                reached,
                1.3,
                at_most=True,
            )
        )
    return rows


def _patients(server: servers.Server) -> int:
    return int(server.json("/fhir/Patient?_summary=count")["total"])


def _times(server: servers.Server, paths: list[str]) -> list[float]:
    connection = http.client.HTTPConnection(servers.HOST, server.port, timeout=120)
    times = []
    for path in paths:
        began = time.perf_counter()
        connection.request("GET", f"/fhir/{path}", headers={"accept": "application/fhir+json"})
        answer = connection.getresponse()
        body = answer.read()
        times.append(time.perf_counter() - began)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
    connection.close()
    return times
