"""kill -9 while many clients write: what was acknowledged is there, no transaction is half there.

https://hl7.org/fhir/R4/http.html#transaction
"""

import os
import signal
import threading
import time
import uuid
from pathlib import Path

import httpx
import pytest
from over_http import FHIR_JSON, start, stop

SYSTEM = "urn:test"
PARTS = 5


def transaction(tag):
    entries = [
        {
            "resource": {
                "resourceType": "Patient",
                "identifier": [{"system": SYSTEM, "value": tag}],
                "multipleBirthInteger": number + 1,
            },
            "request": {"method": "POST", "url": "Patient"},
        }
        for number in range(PARTS)
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


class Writer(threading.Thread):
    """Writes until the server is gone; keeps what it sent and what was acknowledged."""

    def __init__(self, base_url):
        super().__init__()
        self.base_url = base_url
        self.transactions = {}  # tag -> acknowledged
        self.counted = {}  # id -> last acknowledged number
        self.deleted = set()
        self.refused = []

    def run(self):
        with httpx.Client(base_url=self.base_url, timeout=30) as client:
            try:
                while True:
                    self.write(client)
            except httpx.HTTPStatusError as error:
                self.refused.append(error.response.text)
            except httpx.TransportError:
                pass

    def write(self, client):
        tag = uuid.uuid4().hex
        self.transactions[tag] = False
        client.post("", json=transaction(tag), headers=FHIR_JSON).raise_for_status()
        self.transactions[tag] = True
        id = f"c-{tag}"
        for number in (1, 2):
            body = {"resourceType": "Patient", "id": id, "multipleBirthInteger": number}
            client.put(f"/Patient/{id}", json=body, headers=FHIR_JSON).raise_for_status()
            self.counted[id] = number
        gone = f"/Patient/d-{tag}"
        body = {"resourceType": "Patient", "id": f"d-{tag}"}
        client.put(gone, json=body, headers=FHIR_JSON).raise_for_status()
        client.delete(gone).raise_for_status()
        self.deleted.add(gone)


@pytest.mark.parametrize(
    ("rounds", "workers"),
    [
        (1, "1"),
        pytest.param(5, "1", marks=pytest.mark.long),
        pytest.param(5, "2", marks=pytest.mark.long),
    ],
)
def test_acknowledged_is_there_and_nothing_is_half_there(tmp_path, rounds, workers):
    database = f"sqlite:///{tmp_path}/store.db"
    writers = []
    for number in range(rounds):
        running = start(tmp_path, database, "sqlite", FHIRSERVER_WORKERS=workers)
        fresh = [Writer(running.base_url) for _ in range(6)]
        for writer in fresh:
            writer.start()
        time.sleep(1 + 0.37 * number)
        kill(running.process)
        for writer in fresh:
            writer.join()
        assert any(any(writer.transactions.values()) for writer in fresh)
        writers += fresh

    running = start(tmp_path, database, "sqlite")
    try:
        with httpx.Client(base_url=running.base_url, timeout=30) as client:
            for writer in writers:
                check(client, writer)
    finally:
        stop(running)


def kill(process):
    """SIGKILL to the server and its workers alike, as when the machine loses its memory."""
    family = [process.pid, *children(process.pid)]
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children")  # Linux alone has it
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def check(client, writer):
    assert not writer.refused
    for tag, acknowledged in writer.transactions.items():
        query = {"identifier": f"{SYSTEM}|{tag}", "_count": "50"}
        entries = client.get("/Patient", params=query).json().get("entry", [])
        numbers = sorted(e["resource"]["multipleBirthInteger"] for e in entries)
        whole = list(range(1, PARTS + 1))
        assert numbers in ([whole] if acknowledged else [[], whole])
        for entry in entries:  # what is found is there, with its history
            path = f"/Patient/{entry['resource']['id']}"
            assert client.get(path).json() == entry["resource"]
            assert client.get(f"{path}/_history").json()["total"] == 1
    for id, number in writer.counted.items():
        stored = client.get(f"/Patient/{id}")
        assert stored.status_code == 200
        assert stored.json()["multipleBirthInteger"] >= number
        assert stored.headers["etag"] == f'W/"{stored.json()["multipleBirthInteger"]}"'
    for path in writer.deleted:
        assert client.get(path).status_code == 410
