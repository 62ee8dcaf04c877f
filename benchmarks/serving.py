"""Read, search and create over HTTP, each beside its limit."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

from benchmarks import generator, servers
from benchmarks.machine import resident
from benchmarks.replay import GroupCommits
from benchmarks.row import Row, ratio, take_turns

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.servers import Server

CONCURRENT_CREATES = 64
SEARCH = "/fhir/Observation?code=http://loinc.org%7C29463-7&_count=20"


def read(database: Path, folder: Path, rounds: int, seconds: float) -> list[Row]:
    with servers.fhirserver(database) as server:
        found = server.json("/fhir/Patient?_count=50&_elements=id")
        ids = [entry["resource"]["id"] for entry in found["entry"]]
        rows = [
            beside_bare(
                "read by id, 1 worker",
                server,
                [f"/fhir/Patient/{id}" for id in ids],
                folder,
                rounds,
                seconds,
                0.5,
            )
        ]
        rows.append(memory(server, "memory of a worker after reads"))
    return rows


def search(database: Path, folder: Path, rounds: int, seconds: float) -> list[Row]:
    with servers.fhirserver(database) as server:
        found = len(server.json(SEARCH)["entry"])
        if found != 20:
            raise RuntimeError(f"{SEARCH} gives {found} entries, 20 are to be measured")
        row = beside_bare(
            "search on an indexed token, 20 results",
            server,
            [SEARCH],
            folder,
            rounds,
            seconds,
            0.25,
        )
        return [row, memory(server, "memory of a worker after searches")]


def memory(server: Server, work: str) -> Row:
    used = resident(server.process.pid) / 1e6
    return Row(work, f"{used:,.0f} MB", "", used, 200, at_most=True, digits=0)


def beside_bare(
    work: str,
    server: Server,
    paths: list[str],
    folder: Path,
    rounds: int,
    seconds: float,
    to_reach: float,
    headers: dict[str, str] | None = None,
) -> Row:
    """`headers` are sent with each request, to the server and to the bare application."""
    answers = folder / "answers.json"
    servers.record(server, paths, answers, headers)
    with servers.bare(answers) as bare:
        rates = take_turns(
            {
                "server": lambda: generator.get_rate(server, paths, seconds, headers),
                "bare": lambda: generator.get_rate(bare, paths, seconds, headers),
            },
            rounds,
        )
    return Row(
        work,
        f"{statistics.median(rates['server']):,.0f}/s",
        f"bare ASGI app, same bytes: {statistics.median(rates['bare']):,.0f}/s",
        ratio(rates["server"], rates["bare"]),
        to_reach,
    )


def create(folder: Path, rounds: int, seconds: float) -> list[Row]:
    """Creates, and in turn the rows they made committed by SQLite alone."""
    database = folder / "create.db"
    body = json.dumps(_to_create(), ensure_ascii=False).encode()
    with servers.fhirserver(database) as server:
        requests = [("POST", "/fhir/Observation", body)]
        replay = GroupCommits(folder / "replay.db", CONCURRENT_CREATES)

        def created() -> float:
            return generator.requests_rate(server, requests, seconds, CONCURRENT_CREATES, "201")

        created()  # the first round makes the rows that are then committed by SQLite alone
        replay.take(database)
        rates = take_turns({"server": created, "sqlite": lambda: replay.rate(seconds)}, rounds)
    return [
        Row(
            "create with full validation",
            f"{statistics.median(rates['server']):,.0f}/s",
            f"SQLite committing the same rows in groups of {CONCURRENT_CREATES}: "
            f"{statistics.median(rates['sqlite']):,.0f}/s",
            ratio(rates["server"], rates["sqlite"]),
            0.5,
        )
    ]


def _to_create() -> dict[str, Any]:
    bundle = json.loads((servers.ROOT / "examples" / "marcel-dubois.json").read_text())
    resource = next(
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    )
    del resource["id"]
    return dict(resource)
