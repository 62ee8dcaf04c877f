"""read, vread, create, update, patch, delete and history over HTTP, on each engine.

https://hl7.org/fhir/R4/http.html
"""

import re
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import httpx
import pytest
from over_http import FHIR_JSON, outcome_of


def patient(tag, **elements):
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:test", "value": tag}],
        **elements,
    }


@pytest.fixture
def created(fhir, tag):
    """A new Patient."""
    response = fhir.post("/Patient", json=patient(tag, active=True), headers=FHIR_JSON)
    assert response.status_code == 201, response.text
    return response.json()


# --- create, read ------------------------------------------------------------------------------


def test_create_answers_with_location_version_and_resource(fhir, server, tag):
    response = fhir.post("/Patient", json=patient(tag), headers=FHIR_JSON)
    assert response.status_code == 201
    body = response.json()
    id = body["id"]
    assert response.headers["location"] == f"{server.base_url}/Patient/{id}/_history/1"
    assert response.headers["etag"] == 'W/"1"'
    assert parsedate_to_datetime(response.headers["last-modified"])
    assert body["meta"]["versionId"] == "1"
    assert body["identifier"] == patient(tag)["identifier"]


def test_create_takes_no_id_from_the_client(fhir, tag):
    response = fhir.post("/Patient", json=patient(tag, id="mine-" + tag[:8]), headers=FHIR_JSON)
    assert response.status_code == 201
    assert response.json()["id"] != "mine-" + tag[:8]


def test_read_gives_the_stored_resource_with_its_headers(fhir, created):
    response = fhir.get(f"/Patient/{created['id']}")
    assert response.status_code == 200
    assert response.json() == created
    assert response.headers["etag"] == 'W/"1"'
    assert response.headers["content-type"].startswith("application/fhir+json")
    assert parsedate_to_datetime(response.headers["last-modified"])
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"


def test_decimal_digits_survive(fhir, tag):
    body = (
        '{"resourceType":"Observation","status":"final","code":{"text":"x"},'
        '"valueQuantity":{"value":1.00,"unit":"mg"}}'
    )
    response = fhir.post("/Observation", content=body, headers=FHIR_JSON)
    assert '"value":1.00' in fhir.get(f"/Observation/{response.json()['id']}").text


def test_read_of_unknown_resource_is_not_found(fhir, tag):
    outcome_of(fhir.get(f"/Patient/{tag}"), 404)


def test_read_of_deleted_resource_is_gone(fhir, created):
    path = f"/Patient/{created['id']}"
    assert fhir.delete(path).status_code == 204
    outcome_of(fhir.get(path), 410)


def test_vread_gives_each_version(fhir, created):
    path = f"/Patient/{created['id']}"
    fhir.put(path, json={**created, "active": False}, headers=FHIR_JSON)
    fhir.delete(path)
    assert fhir.get(f"{path}/_history/1").json()["active"] is True
    second = fhir.get(f"{path}/_history/2")
    assert second.json()["active"] is False
    assert second.headers["etag"] == 'W/"2"'
    outcome_of(fhir.get(f"{path}/_history/3"), 410)
    outcome_of(fhir.get(f"{path}/_history/4"), 404)
    outcome_of(fhir.get(f"{path}/_history/nonsense"), 404)


def test_head_is_get_without_the_body(fhir, created):
    for path in (f"/Patient/{created['id']}", "/metadata", "/Patient?_id=" + created["id"]):
        got, headed = fhir.get(path), fhir.head(path)
        assert headed.status_code == 200
        assert headed.content == b""
        for name in ("content-type", "etag", "last-modified"):
            assert headed.headers.get(name) == got.headers.get(name)
        assert headed.headers["content-length"] == got.headers["content-length"]


# --- conditional read --------------------------------------------------------------------------


def test_unchanged_resource_is_not_sent_again(fhir, created):
    path = f"/Patient/{created['id']}"
    first = fhir.get(path)
    again = fhir.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    dated = fhir.get(path, headers={"if-modified-since": first.headers["last-modified"]})
    assert dated.status_code == 304
    assert fhir.get(path, headers={"if-none-match": 'W/"9"'}).status_code == 200
    old = {"if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT"}
    assert fhir.get(path, headers=old).status_code == 200


# --- update ------------------------------------------------------------------------------------


def test_update_makes_a_version(fhir, server, created):
    path = f"/Patient/{created['id']}"
    response = fhir.put(path, json={**created, "active": False}, headers=FHIR_JSON)
    assert response.status_code == 200
    assert response.headers["etag"] == 'W/"2"'
    assert response.headers["location"] == f"{server.base_url}{path}/_history/2"
    assert response.json()["active"] is False


def test_update_creates_under_the_clients_id(fhir, tag):
    response = fhir.put(f"/Patient/{tag}", json=patient(tag, id=tag), headers=FHIR_JSON)
    assert response.status_code == 201
    assert response.headers["etag"] == 'W/"1"'


def test_update_brings_back_a_deleted_resource_and_versions_go_on(fhir, created):
    path = f"/Patient/{created['id']}"
    fhir.delete(path)
    response = fhir.put(path, json=created, headers=FHIR_JSON)
    assert response.status_code == 201
    assert response.headers["etag"] == 'W/"3"'


@pytest.mark.parametrize(
    "change",
    [
        lambda body: {**body, "id": "another"},
        lambda body: {k: v for k, v in body.items() if k != "id"},
        lambda body: {**body, "resourceType": "Group"},
        lambda body: {**body, "resourceType": "patient"},
        lambda body: {k: v for k, v in body.items() if k != "resourceType"},
        lambda body: {**body, "active": None},
        lambda body: {**body, "unheardOf": 1},
        lambda body: [body],
        lambda body: None,
    ],
)
def test_update_with_a_wrong_body_changes_nothing(fhir, created, change):
    path = f"/Patient/{created['id']}"
    outcome_of(fhir.put(path, json=change(created), headers=FHIR_JSON), (400, 422))
    assert fhir.get(path).headers["etag"] == 'W/"1"'


def test_stale_if_match_is_refused_by_every_write(fhir, created):
    path = f"/Patient/{created['id']}"
    fhir.put(path, json=created, headers=FHIR_JSON)
    stale = {"if-match": 'W/"1"'}
    outcome_of(fhir.put(path, json=created, headers=FHIR_JSON | stale), 412)
    outcome_of(fhir.delete(path, headers=stale), 412)
    patch = [{"op": "replace", "path": "/active", "value": False}]
    json_patch = {"content-type": "application/json-patch+json"}
    outcome_of(fhir.patch(path, json=patch, headers=json_patch | stale), 412)
    assert fhir.get(path).headers["etag"] == 'W/"2"'
    current = {"if-match": 'W/"2"'}
    assert fhir.patch(path, json=patch, headers=json_patch | current).status_code == 200


@pytest.mark.parametrize("value", ["1", 'W/"x"', 'W/"', "W/1"])
def test_malformed_if_match_is_a_bad_request(fhir, created, value):
    path = f"/Patient/{created['id']}"
    headers = FHIR_JSON | {"if-match": value}
    outcome_of(fhir.put(path, json=created, headers=headers), 400)
    outcome_of(fhir.delete(path, headers={"if-match": value}), 400)


def test_if_match_star_wants_any_current_version(fhir, created, tag):
    path, unknown, any_version = (
        f"/Patient/{created['id']}",
        f"/Patient/no-{tag}",
        {"if-match": "*"},
    )
    patch = [{"op": "replace", "path": "/active", "value": False}]
    json_patch = {"content-type": "application/json-patch+json"} | any_version
    assert fhir.put(path, json=created, headers=FHIR_JSON | any_version).status_code == 200
    assert fhir.patch(path, json=patch, headers=json_patch).status_code == 200
    assert fhir.delete(path, headers=any_version).status_code == 204
    outcome_of(fhir.put(path, json=created, headers=FHIR_JSON | any_version), 412)
    outcome_of(fhir.delete(path, headers=any_version), 412)
    body = patient(tag, id=f"no-{tag}")
    outcome_of(fhir.put(unknown, json=body, headers=FHIR_JSON | any_version), 412)
    outcome_of(fhir.patch(unknown, json=patch, headers=json_patch), 412)
    outcome_of(fhir.get(unknown), 404)


def test_if_none_match_star_creates_only(fhir, created, tag):
    never = FHIR_JSON | {"if-none-match": "*"}
    outcome_of(fhir.put(f"/Patient/{created['id']}", json=created, headers=never), 412)
    response = fhir.put(f"/Patient/new-{tag}", json=patient(tag, id=f"new-{tag}"), headers=never)
    assert response.status_code == 201


def in_parallel(server, count, send):
    """The statuses of `count` requests, each of its own client, at once."""

    def one(number):
        with httpx.Client(base_url=server.base_url, timeout=60) as client:
            return send(client, number).status_code

    with ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(one, range(count)))


def test_of_parallel_updates_of_one_version_one_wins(server, fhir, created):
    path = f"/Patient/{created['id']}"

    def update(client, number):
        body = created | {"multipleBirthInteger": number}
        return client.put(path, json=body, headers=FHIR_JSON | {"if-match": 'W/"1"'})

    assert in_parallel(server, 10, update) == [200] + [412] * 9
    assert fhir.get(path).headers["etag"] == 'W/"2"'


def test_of_parallel_first_updates_one_creates(server, fhir, tag):
    def update(client, number):
        return client.put(f"/Patient/p-{tag}", json=patient(tag, id=f"p-{tag}"), headers=FHIR_JSON)

    assert in_parallel(server, 10, update) == [200] * 9 + [201]
    assert fhir.get(f"/Patient/p-{tag}/_history").json()["total"] == 10


def test_no_parallel_patch_is_lost(server, fhir, tag):
    body = patient(tag, name=[{"family": "A"}])
    path = f"/Patient/{fhir.post('/Patient', json=body, headers=FHIR_JSON).json()['id']}"

    def append(client, number):
        operation = {"op": "add", "path": "/name/-", "value": {"family": f"B{number}"}}
        json_patch = {"content-type": "application/json-patch+json"}
        return client.patch(path, json=[operation], headers=json_patch)

    statuses = in_parallel(server, 10, append)
    assert set(statuses) <= {200, 409}
    assert len(fhir.get(path).json()["name"]) == 1 + statuses.count(200)


def test_parallel_deletes_make_one_version(server, fhir, created):
    path = f"/Patient/{created['id']}"
    assert in_parallel(server, 10, lambda client, _: client.delete(path)) == [204] * 10
    assert fhir.get(f"{path}/_history").json()["total"] == 2


# --- patch -------------------------------------------------------------------------------------


def test_json_patch_changes_the_resource(fhir, created):
    response = fhir.patch(
        f"/Patient/{created['id']}",
        json=[{"op": "replace", "path": "/active", "value": False}],
        headers={"content-type": "application/json-patch+json"},
    )
    assert response.status_code == 200, response.text
    assert response.json()["active"] is False
    assert response.headers["etag"] == 'W/"2"'


def test_fhirpath_patch_changes_the_resource(fhir, created):
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "Patient.active"},
                    {"name": "value", "valueBoolean": False},
                ],
            }
        ],
    }
    response = fhir.patch(f"/Patient/{created['id']}", json=parameters, headers=FHIR_JSON)
    assert response.status_code == 200, response.text
    assert response.json()["active"] is False


def test_patch_in_another_language_is_unsupported(fhir, created):
    for type in ("application/merge-patch+json", "application/xml-patch+xml", "text/plain"):
        response = fhir.patch(
            f"/Patient/{created['id']}", content=b"{}", headers={"content-type": type}
        )
        outcome_of(response, 415)
        assert "application/json-patch+json" in response.headers["accept-patch"]


@pytest.mark.parametrize(
    "patch",
    [
        "{",
        "{}",
        '[{"op":"replace","path":"/nothing/there","value":1}]',
        '[{"op":"unheardof","path":"/active"}]',
        '[{"op":"replace","path":"/id","value":"other"}]',
        '[{"op":"replace","path":"/resourceType","value":"Group"}]',
        '[{"op":"replace","path":"/active","value":"no"}]',
        '[{"op":"test","path":"/active","value":false}]',
        "[1]",
    ],
)
def test_wrong_patch_changes_nothing(fhir, created, patch):
    path = f"/Patient/{created['id']}"
    headers = {"content-type": "application/json-patch+json"}
    outcome_of(fhir.patch(path, content=patch, headers=headers), (400, 409, 412, 422))
    assert fhir.get(path).headers["etag"] == 'W/"1"'


def test_patch_of_unknown_resource_is_not_found(fhir, tag):
    headers = {"content-type": "application/json-patch+json"}
    outcome_of(fhir.patch(f"/Patient/{tag}", content="[]", headers=headers), 404)


# --- delete ------------------------------------------------------------------------------------


def test_delete_twice_makes_one_version(fhir, created):
    path = f"/Patient/{created['id']}"
    assert fhir.delete(path).status_code == 204
    assert fhir.delete(path).status_code == 204
    assert fhir.get(f"{path}/_history").json()["total"] == 2


def test_delete_of_unknown_resource_is_fine(fhir, tag):
    assert fhir.delete(f"/Patient/{tag}").status_code == 204


def test_delete_tells_its_outcome_when_asked(fhir, created):
    response = fhir.delete(
        f"/Patient/{created['id']}", headers={"prefer": "return=OperationOutcome"}
    )
    assert response.status_code == 200
    assert response.json()["resourceType"] == "OperationOutcome"


# --- Prefer ------------------------------------------------------------------------------------


def test_prefer_chooses_what_comes_back(fhir, tag):
    def create(returns):
        headers = FHIR_JSON | {"prefer": f"return={returns}"}
        response = fhir.post("/Patient", json=patient(tag), headers=headers)
        assert response.status_code == 201
        assert re.fullmatch(r".*/Patient/[^/]+/_history/1", response.headers["location"])
        return response

    assert create("minimal").content == b""
    assert create("representation").json()["resourceType"] == "Patient"
    assert create("OperationOutcome").json()["resourceType"] == "OperationOutcome"


# --- history -----------------------------------------------------------------------------------


def test_history_is_newest_first_and_tells_each_request(fhir, created):
    path = f"/Patient/{created['id']}"
    for number in range(10):
        fhir.put(path, json={**created, "active": number % 2 == 0}, headers=FHIR_JSON)
    fhir.delete(path)
    bundle = fhir.get(f"{path}/_history").json()
    assert bundle["type"] == "history"
    assert bundle["total"] == 12
    entries = bundle["entry"]
    assert "resource" not in entries[0]
    versions = [e["resource"]["meta"]["versionId"] for e in entries[1:]]
    assert versions == [str(n) for n in range(11, 0, -1)]
    methods = [e["request"]["method"] for e in entries]
    assert methods == ["DELETE", *["PUT"] * 10, "POST"]
    for entry in entries:
        assert entry["response"]["etag"]
        assert entry["response"]["lastModified"]


def test_history_pages_meet_each_version_once(fhir, created):
    path = f"/Patient/{created['id']}"
    for _ in range(6):
        fhir.put(path, json=created, headers=FHIR_JSON)
    url, seen = f"{path}/_history?_count=2", []
    while url:
        bundle = fhir.get(url).json()
        seen += [e["resource"]["meta"]["versionId"] for e in bundle["entry"]]
        assert bundle["total"] == 7
        url = next((e["url"] for e in bundle["link"] if e["relation"] == "next"), None)
    assert seen == ["7", "6", "5", "4", "3", "2", "1"]


def test_history_since(fhir, created):
    path = f"/Patient/{created['id']}"
    second = fhir.put(path, json=created, headers=FHIR_JSON).json()
    since = second["meta"]["lastUpdated"]
    bundle = fhir.get(f"{path}/_history", params={"_since": since}).json()
    assert [e["resource"]["meta"]["versionId"] for e in bundle["entry"]] == ["2"]


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history"])
def test_type_and_system_history_show_the_newest(fhir, created, path):
    bundle = fhir.get(path, params={"_count": 5}).json()
    assert bundle["type"] == "history"
    assert created["id"] in [e.get("resource", {}).get("id") for e in bundle["entry"]]


@pytest.mark.parametrize("query", ["name=x", "_since=yesterday", "_count=-1", "_at=2024-02-30"])
def test_history_refuses_other_parameters(fhir, query):
    outcome_of(fhir.get(f"/Patient/_history?{query}"), 400)


def test_history_of_unknown_resource_is_not_found(fhir, tag):
    outcome_of(fhir.get(f"/Patient/{tag}/_history"), 404)
