"""SearchParameter resources made while the server runs, and $reindex, on each engine.

https://hl7.org/fhir/R4/searchparameter.html
"""

import asyncio
import json
import time

import httpx
import pytest
from over_http import FHIR_JSON, outcome_of, start, stop

STRICT = {"prefer": "handling=strict"}
URL = "http://example.fr/colour"


def patient(value):
    return {"resourceType": "Patient", "extension": [{"url": URL, "valueString": value}]}


def parameter(tag, url=URL):
    return {
        "resourceType": "SearchParameter",
        "url": f"http://example.fr/SearchParameter/{tag}",
        "name": "Colour",
        "status": "active",
        "description": "The colour.",
        "code": f"colour-{tag}",
        "base": ["Patient"],
        "type": "string",
        "expression": f"Patient.extension.where(url='{url}').value",
    }


def create(fhir, resource):
    response = fhir.post(f"/{resource['resourceType']}", json=resource, headers=FHIR_JSON)
    assert response.status_code == 201, response.text
    return response.json()["id"]


def found(fhir, tag):
    response = fhir.get(f"/Patient?colour-{tag}=v{tag}", headers=STRICT)
    assert response.status_code == 200, response.text
    return {e["resource"]["id"] for e in response.json().get("entry", [])}


def reindex(fhir):
    assert fhir.post("/Patient/$reindex").status_code == 200
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        told = fhir.get("/$reindex-status").json()["parameter"]
        (status,) = [p["valueCode"] for p in told if p["name"] == "status"]
        if status != "in-progress":
            assert status == "completed"
            return
        time.sleep(0.05)
    raise AssertionError("$reindex did not end")


def test_new_parameter_finds_new_data_at_once_and_old_after_reindex(fhir, tag):
    old = create(fhir, patient(f"v{tag}"))
    outcome_of(fhir.get(f"/Patient?colour-{tag}=v{tag}", headers=STRICT), 400)
    id = create(fhir, parameter(tag))
    new = create(fhir, patient(f"v{tag}"))
    assert found(fhir, tag) == {new}
    reindex(fhir)
    assert found(fhir, tag) == {old, new}
    assert fhir.get(f"/Patient/{old}").headers["etag"] == 'W/"1"'

    changed = parameter(tag, "http://example.fr/other") | {"id": id}
    assert fhir.put(f"/SearchParameter/{id}", json=changed, headers=FHIR_JSON).status_code == 200
    reindex(fhir)
    assert found(fhir, tag) == set()

    assert fhir.delete(f"/SearchParameter/{id}").status_code == 204
    outcome_of(fhir.get(f"/Patient?colour-{tag}=v{tag}", headers=STRICT), 400)


def test_capability_statement_follows(fhir, tag):
    def codes():
        resources = fhir.get("/metadata").json()["rest"][0]["resource"]
        (found,) = [r for r in resources if r["type"] == "Patient"]
        return [p["name"] for p in found["searchParam"]]

    assert f"colour-{tag}" not in codes()
    id = create(fhir, parameter(tag))
    assert f"colour-{tag}" in codes()
    fhir.delete(f"/SearchParameter/{id}")
    assert f"colour-{tag}" not in codes()


@pytest.mark.parametrize(
    "change",
    [
        {"expression": "((("},
        {"expression": None},
        {"code": "a b"},
        {"code": "name"},
        {"type": "colour"},
        {"base": ["Colour"]},
    ],
)
def test_parameter_that_cannot_work_is_refused(fhir, tag, change):
    resource = {k: v for k, v in (parameter(tag) | change).items() if v is not None}
    outcome_of(fhir.post("/SearchParameter", json=resource, headers=FHIR_JSON), (400, 422))


def test_every_worker_follows_within_two_seconds(tmp_path):
    running = start(tmp_path, f"sqlite:///{tmp_path}/store.db", "sqlite", FHIRSERVER_WORKERS="2")
    try:
        with httpx.Client(base_url=running.base_url, timeout=30) as client:
            create(client, parameter("w"))
        time.sleep(2)
        for _ in range(10):  # a new connection each time, so that each worker is met
            with httpx.Client(base_url=running.base_url, timeout=30) as client:
                id = create(client, patient("vw"))
            with httpx.Client(base_url=running.base_url, timeout=30) as client:
                assert id in found(client, "w")
    finally:
        stop(running)


async def test_interrupted_reindex_goes_on(in_process):
    client = await in_process()
    old = (await client.post("/Patient", json=patient("vr"), headers=FHIR_JSON)).json()["id"]
    await client.post("/SearchParameter", json=parameter("r"), headers=FHIR_JSON)
    job = {"types": ["Patient"], "started": 1.0, "touched": 1.0}
    await client.app.endpoint.context.store.set_state("reindex", json.dumps(job).encode())
    for _ in range(100):
        await asyncio.sleep(0.1)
        response = await client.get("/Patient?colour-r=vr", headers=STRICT)
        if response.json().get("entry"):
            break
    assert [e["resource"]["id"] for e in response.json()["entry"]] == [old]
