"""What the scopes do not give is refused before any data of that type is looked at."""

import pytest
from access_door import observation, patient
from token_door import close_door, open_door

from fhirserver.storage.sqlite import SqliteStore

#: Methods of the engine that look at, or write, resources.
LOOKS = ("read", "vread", "read_many", "search", "count", "history", "history_count", "commit")
PATCH = [{"op": "add", "path": "/language", "value": "fr"}]
JSON_PATCH = {"content_type": "application/json-patch+json"}
NEW = {key: value for key, value in observation("n", "a").items() if key != "id"}


def entry(method, url, resource=None, **more):
    request = {"method": method, "url": url, **more}
    return {"request": request, **({"resource": resource} if resource else {})}


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


REQUESTS = [
    ("GET", "Observation/o", None, {}),
    ("GET", "Observation/o?_elements=id", None, {}),
    ("GET", "Observation/o/_history", None, {}),
    ("GET", "Observation/o/_history/1", None, {}),
    ("GET", "Observation", None, {}),
    ("GET", "Observation?_id=o", None, {}),
    ("GET", "Observation?_summary=count", None, {}),
    ("GET", "Observation/_history", None, {}),
    ("GET", "Patient/a/Observation", None, {}),
    ("GET", "Patient?_has:Observation:subject:status=final", None, {}),
    ("GET", "Patient?_has:Observation:subject:_has:Provenance:target:_id=x", None, {}),
    ("POST", "Observation", NEW, {}),
    ("POST", "Observation", NEW, {"if_none_exist": "status=final"}),
    ("PUT", "Observation/o", observation("o", "a"), {}),
    ("PUT", "Observation?status=final", NEW, {}),
    ("PATCH", "Observation/o", PATCH, JSON_PATCH),
    ("PATCH", "Observation?status=final", PATCH, JSON_PATCH),
    ("DELETE", "Observation/o", None, {}),
    ("DELETE", "Observation?status=final", None, {}),
    ("GET", "Observation/o/$meta", None, {}),
    ("POST", "", bundle("transaction", entry("POST", "Observation", NEW)), {}),
    ("POST", "", bundle("transaction", entry("GET", "Observation/o")), {}),
    ("POST", "", bundle("transaction", entry("DELETE", "Observation/o")), {}),
    (
        "POST",
        "",
        bundle("transaction", entry("POST", "Observation", NEW, ifNoneExist="status=final")),
        {},
    ),
]


@pytest.fixture
async def door(tmp_path):
    made, lifespan = await open_door(f"sqlite:///{tmp_path}/scopes.db")
    await made.put(patient("a"), observation("o", "a"))
    await made.give("p", "citizen", "patient/Patient.rs", fhir_user="Patient/a", patient="a")
    yield made
    await close_door(made, lifespan)


@pytest.mark.parametrize(("method", "url", "body", "headers"), REQUESTS, ids=str)
async def test_out_of_scope_is_refused_before_any_data_is_looked_at(
    door, monkeypatch, method, url, body, headers
):
    looked = []

    def watched(name):
        inner = getattr(SqliteStore, name)

        def call(store, *arguments, **more):
            if store is not door.store and "Observation" in str(arguments):
                looked.append((name, str(arguments)[:200]))
            return inner(store, *arguments, **more)

        return call

    for name in LOOKS:
        monkeypatch.setattr(SqliteStore, name, watched(name))
    answer = await door.ask("p", method, url, body, **headers)
    assert answer.status_code == 403, answer.text
    assert looked == []


async def test_a_batch_refuses_what_is_out_of_scope_and_does_the_rest(door):
    entries = (entry("GET", "Observation/o"), entry("GET", "Patient/a"))
    answer = await door.ask("p", "POST", "", bundle("batch", *entries))
    statuses = [each["response"]["status"][:3] for each in answer.json()["entry"]]
    assert statuses == ["403", "200"]
