"""Reading as in production: an access token, a decision from consents, an audit record for each.

A physician reads observations of patients who have each consented, beside a bare ASGI application
that sends the same bytes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks import servers
from benchmarks.serving import beside_bare, memory

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.row import Row

PATIENTS = 50
DOCTOR = "claire-fontaine"
EXAMPLES = servers.ROOT / "examples"


def read(base: Path, folder: Path, rounds: int, seconds: float) -> list[Row]:
    database = folder / "guarded.db"
    shutil.copy(base, database)
    with servers.fhirserver(database) as server:
        ids = _observations(server)
    file = folder / "guarded.ndjson"
    file.write_text("".join(json.dumps(r) + "\n" for r in _directory_and_choices(ids)))
    servers.load([file], database, workers=0)
    port = servers.free_port()
    address = f"http://{servers.HOST}:{port}/fhir"
    bearer = {"Authorization": f"Bearer {_token(database, address)}"}
    with servers.fhirserver(database, port=port, auth="smart") as server:
        row = beside_bare(
            "read with token, consent decision and audit",
            server,
            [f"/fhir/Observation/{id}" for id in ids.values()],
            folder,
            rounds,
            seconds,
            0.25,
            bearer,
        )
        return [row, memory(server, "memory of a worker after reads with token")]


def _observations(server: servers.Server) -> dict[str, str]:
    """An observation of each of some patients, by patient."""
    found: dict[str, str] = {}
    patients = server.json(f"/fhir/Patient?_count={2 * PATIENTS}&_elements=id")
    for entry in patients["entry"]:
        id = entry["resource"]["id"]
        bundle = server.json(f"/fhir/Observation?patient={id}&_count=1&_elements=id")
        for observation in bundle.get("entry", []):
            found[id] = observation["resource"]["id"]
        if len(found) == PATIENTS:
            break
    return found


def _directory_and_choices(patients: dict[str, str]) -> list[dict[str, Any]]:
    """The physician, and a Consent of each patient that lets this physician in."""
    template = _example("camille-lefevre.json", f"Consent/camille-lefevre-{DOCTOR}")
    found = [
        _example("directory.json", f"Practitioner/{DOCTOR}"),
        _example("directory.json", f"PractitionerRole/{DOCTOR}-role"),
        _example("directory.json", "Organization/msp-violettes"),
    ]
    for patient in patients:
        person = {"reference": f"Patient/{patient}"}
        found.append(
            {**template, "id": f"consent-{patient}", "patient": person, "performer": [person]}
        )
    return found


def _example(file: str, reference: str) -> dict[str, Any]:
    bundle = json.loads((EXAMPLES / file).read_text())
    for entry in bundle["entry"]:
        resource: dict[str, Any] = entry["resource"]
        if f"{resource['resourceType']}/{resource['id']}" == reference:
            return resource
    raise RuntimeError(f"{file} holds no {reference}")


def _token(database: Path, address: str) -> str:
    command = [sys.executable, "-m", "fhirserver.cli", "token", "--scope", "user/*.rs"]
    command += ["--as", f"Practitioner/{DOCTOR}", "--base-url", address]
    command += ["--database", f"sqlite:///{database}"]
    done = subprocess.run(
        command,
        cwd=servers.ROOT,
        env=servers.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"no token: {done.stderr[-500:]}")
    return done.stdout.strip()
