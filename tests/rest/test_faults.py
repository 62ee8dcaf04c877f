"""What a client is told when something fails inside, and how the server starts and stops."""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace

import httpx
import pytest
from over_http import FHIR_JSON, ROOT, outcome_of, start, stop

SECRET = "/srv/secret/path"


class FaultyStore:
    """A store whose reads and searches fail in the way given."""

    def __init__(self, store, error, seconds=0.0):
        self._store, self._error, self._seconds = store, error, seconds

    def __getattr__(self, name):
        if name in ("read", "search", "commit"):
            return self._fail
        return getattr(self._store, name)

    async def _fail(self, *given, **named):
        await asyncio.sleep(self._seconds)
        raise self._error


@pytest.fixture
async def failing(in_process):
    async def make(error, *, seconds=0.0, **settings):
        client = await in_process(**settings)
        context = client.app.endpoint.context
        store = FaultyStore(context.store, error, seconds)
        client.app.endpoint.context = replace(context, store=store)
        return client

    return make


@pytest.mark.parametrize("error", [KeyError(SECRET), ValueError(SECRET), MemoryError(SECRET)])
async def test_unexpected_error_tells_nothing_of_the_inside(failing, error):
    client = await failing(error)
    for path in ("/Patient/1", "/Patient?name=x"):
        response = await client.get(path, headers={"x-request-id": "mine-1"})
        outcome_of(response, 500)
        assert SECRET not in response.text
        assert type(error).__name__ not in response.text
        assert response.headers["x-request-id"] == "mine-1"


async def test_unexpected_error_is_logged_with_the_request_id(failing, capfd):
    client = await failing(KeyError("the reason"))
    await client.get("/Patient?name=x", headers={"x-request-id": "mine-2"})
    logged = capfd.readouterr().err
    assert "mine-2" in logged
    assert "the reason" in logged
    assert "name=x" not in logged


@pytest.mark.parametrize("error", [ConnectionError("x"), ConnectionResetError("x"), TimeoutError()])
async def test_store_that_is_away_means_try_again(failing, error):
    client = await failing(error)
    for path in ("/Patient/1", "/Patient?name=x"):
        response = await client.get(path)
        outcome_of(response, 503)
        assert int(response.headers["retry-after"]) > 0
    created = await client.post("/Patient", json={"resourceType": "Patient"}, headers=FHIR_JSON)
    outcome_of(created, 503)


async def test_search_over_its_time_is_given_up(failing):
    client = await failing(KeyError("never reached"), seconds=5, search_seconds=0.05)
    outcome_of(await client.get("/Patient?name=x"), 503)


async def test_failing_entry_of_a_batch_hinders_no_other(failing):
    client = await failing(KeyError(SECRET))
    entries = [{"request": {"method": "GET", "url": u}} for u in ("Patient/1", "metadata")]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    response = await client.post("", json=bundle, headers=FHIR_JSON)
    statuses = [e["response"]["status"][:3] for e in response.json()["entry"]]
    assert statuses == ["500", "200"]
    assert SECRET not in response.text


async def test_readiness_follows_the_store(in_process):
    client = await in_process()
    assert (await client.get("http://testserver/readyz")).status_code == 200


# --- starting and stopping ---------------------------------------------------------------------


def run(folder, **environment):
    code = "from fhirserver.app import create; create()"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_server_does_not_start_with_tokens_for_no_known_address(tmp_path):
    told = run(tmp_path, FHIRSERVER_HOST="0.0.0.0")
    assert told.returncode != 0
    assert "base_url" in told.stderr


def test_open_server_does_not_start_on_a_public_address(tmp_path):
    told = run(tmp_path, FHIRSERVER_AUTH="off", FHIRSERVER_HOST="0.0.0.0")
    assert told.returncode != 0
    assert "--insecure-bind" in told.stderr


def test_unknown_engine_is_refused(tmp_path):
    told = run(tmp_path, FHIRSERVER_AUTH="off", FHIRSERVER_DATABASE="oracle://x")
    assert told.returncode != 0
    assert "sqlite://" in told.stderr


def test_open_server_says_loudly_that_it_is_open(server):
    assert "NO ACCESS CONTROL" in server.log.read_text()


def test_acknowledged_writes_survive_a_kill(tmp_path):
    database = f"sqlite:///{tmp_path}/store.db"
    first = start(tmp_path, database, "sqlite")
    made = [
        httpx.post(f"{first.base_url}/Patient", json={"resourceType": "Patient"}, headers=FHIR_JSON)
        for _ in range(20)
    ]
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second = start(tmp_path, database, "sqlite")
    try:
        for response in made:
            id = response.json()["id"]
            assert httpx.get(f"{second.base_url}/Patient/{id}").status_code == 200
    finally:
        stop(second)


def test_request_in_progress_is_finished_when_the_server_stops(tmp_path):
    running = start(tmp_path, f"sqlite:///{tmp_path}/store.db", "sqlite")

    def body():
        yield b'{"resourceType":"Patient",'
        running.process.terminate()
        yield b'"active":true}'

    response = httpx.post(f"{running.base_url}/Patient", content=body(), headers=FHIR_JSON)
    assert response.status_code == 201
    running.process.wait(15)


def test_several_workers_serve_one_store(tmp_path):
    running = start(tmp_path, f"sqlite:///{tmp_path}/store.db", "sqlite", FHIRSERVER_WORKERS="2")
    try:
        with httpx.Client(base_url=running.base_url, timeout=30) as client:
            for _ in range(20):
                created = client.post(
                    "/Patient",
                    json={"resourceType": "Patient"},
                    headers={**FHIR_JSON, "connection": "close"},
                )
                assert created.status_code == 201, created.text
                path = f"/Patient/{created.json()['id']}"
                assert client.get(path, headers={"connection": "close"}).status_code == 200
    finally:
        stop(running)
