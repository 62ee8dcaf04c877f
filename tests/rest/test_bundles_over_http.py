"""batch, transaction and conditional interactions over HTTP (https://hl7.org/fhir/R4/http.html)."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from over_http import FHIR_JSON, outcome_of

JSON_PATCH = {"content-type": "application/json-patch+json"}


def patient(tag, **elements):
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:test", "value": tag}],
        **elements,
    }


def entry(method, url, resource=None, **request):
    made = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    return made


def post(fhir, kind, *entries, **headers):
    bundle = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    return fhir.post("", json=bundle, headers=FHIR_JSON | headers)


@pytest.fixture
def transactions(fhir):
    """Skips where the store has no transactions, which the CapabilityStatement must say."""
    rest = fhir.get("/metadata").json()["rest"][0]
    if "transaction" not in [i["code"] for i in rest["interaction"]]:
        bundle = post(
            fhir,
            "transaction",
            entry("POST", "Patient", patient("a")),
            entry("POST", "Patient", patient("b")),
        )
        outcome_of(bundle, 400)
        pytest.skip("this store has no transactions, and says so")


# --- batch -------------------------------------------------------------------------------------


def test_batch_entries_succeed_and_fail_by_themselves(fhir, tag):
    response = post(
        fhir,
        "batch",
        entry("POST", "Patient", patient(tag)),
        entry("POST", "Patient", {"resourceType": "Patient", "gender": "alien"}),
        entry("GET", f"Patient/{tag}"),
        entry("PUT", f"Patient/{tag}", patient(tag, id=tag)),
        entry("GET", f"Patient?identifier=urn:test%7C{tag}"),
        entry("DELETE", f"Patient/{tag}"),
        entry("GET", "metadata"),
        entry("GET", "Unheardof/1"),
        entry("PUT", "metadata", patient(tag)),
    )
    assert response.status_code == 200, response.text
    bundle = response.json()
    assert bundle["type"] == "batch-response"
    statuses = [e["response"]["status"][:3] for e in bundle["entry"]]
    assert statuses == ["201", "400", "404", "201", "200", "204", "200", "404", "405"]
    created = bundle["entry"][0]["response"]
    assert "/_history/1" in created["location"]
    assert created["etag"] == 'W/"1"'
    assert created["lastModified"]
    assert bundle["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert bundle["entry"][4]["resource"]["type"] == "searchset"
    assert bundle["entry"][6]["resource"]["resourceType"] == "CapabilityStatement"


def test_parts_of_resources_work_inside_a_batch(fhir, tag):
    fhir.put(f"/Patient/{tag}", json=patient(tag, id=tag, active=True), headers=FHIR_JSON)
    bundle = post(fhir, "batch", entry("GET", f"Patient/{tag}?_elements=active")).json()
    assert set(bundle["entry"][0]["resource"]) == {"resourceType", "id", "meta", "active"}


def test_conditional_read_inside_a_batch(fhir, tag):
    fhir.put(f"/Patient/{tag}", json=patient(tag, id=tag), headers=FHIR_JSON)
    bundle = post(fhir, "batch", entry("GET", f"Patient/{tag}", ifNoneMatch='W/"1"')).json()
    assert bundle["entry"][0]["response"]["status"][:3] == "304"


def test_if_modified_since_of_an_entry_is_an_instant(fhir, tag):
    made = fhir.put(f"Patient/{tag}", json=patient(tag, id=tag), headers=FHIR_JSON).json()
    last = made["meta"]["lastUpdated"]
    entries = post(
        fhir,
        "batch",
        *[
            entry("GET", f"Patient/{tag}", ifModifiedSince=since)
            for since in (last, "2999-01-01T00:00:00+02:00", "2001-01-01T00:00:00Z", "yesterday")
        ],
    ).json()["entry"]
    assert [e["response"]["status"][:3] for e in entries] == ["304", "304", "200", "200"]
    assert ["resource" in e for e in entries] == [False, False, True, True]


def test_prefer_asks_for_the_resources_of_a_batch(fhir, tag):
    plain = post(fhir, "batch", entry("POST", "Patient", patient(tag))).json()
    assert "resource" not in plain["entry"][0]
    full = post(
        fhir, "batch", entry("POST", "Patient", patient(tag)), prefer="return=representation"
    ).json()
    assert full["entry"][0]["resource"]["identifier"][0]["value"] == tag


def test_impossible_entry_of_a_batch_hinders_no_other(fhir, tag):
    response = post(
        fhir,
        "batch",
        entry("GET", "http://elsewhere.example/fhir/Patient/1"),
        entry("PUT", f"Patient/{tag}"),
        entry("PATCH", f"Patient/{tag}"),
        entry("POST", "Patient"),
        entry("POST", "Patient", patient(tag), ifMatch='W/"1"'),
        entry("POST", "Patient", patient(tag)),
    )
    assert response.status_code == 200, response.text
    answers = [e["response"] for e in response.json()["entry"]]
    assert [a["status"][:3] for a in answers] == ["400"] * 4 + ["201"] * 2
    assert all(a["outcome"]["issue"] for a in answers[:4])


WRONG_ENTRIES = {
    "an unknown method": {"request": {"method": "OPTIONS", "url": "Patient"}},
    "a method in small letters": {"request": {"method": "get", "url": "Patient"}},
    "no method": {"request": {"url": "Patient"}},
    "no url": {"request": {"method": "GET"}},
    "a url that is none": {"request": {"method": "GET", "url": 5}},
    "no request": {"resource": {"resourceType": "Patient"}},
    "nothing": None,
    "text": "GET Patient",
    "an unknown element": {"request": {"method": "GET", "url": "Patient"}, "ressource": {}},
    "an unknown element of the request": {
        "request": {"method": "GET", "url": "Patient", "ifmatch": "1"}
    },
    "a header that is no text": {"request": {"method": "GET", "url": "Patient", "ifMatch": 1}},
    "a resource without a type": {
        "resource": {"active": True},
        "request": {"method": "POST", "url": "Patient"},
    },
    "a resource that is a list": {
        "resource": [],
        "request": {"method": "POST", "url": "Patient"},
    },
    "an empty fullUrl": {"fullUrl": "", "request": {"method": "GET", "url": "Patient"}},
    "a fullUrl of a version": {
        "fullUrl": "http://a.example/Patient/1/_history/1",
        "request": {"method": "GET", "url": "Patient"},
    },
}


def test_entry_that_is_no_request_is_refused_alone_in_a_batch(fhir, tag):
    made = [entry("PUT", f"Patient/{tag}-{n}", patient(tag, id=f"{tag}-{n}")) for n in range(2)]
    response = post(fhir, "batch", made[0], *WRONG_ENTRIES.values(), made[1])
    assert response.status_code == 200, response.text
    first, *wrong, last = [e["response"] for e in response.json()["entry"]]
    assert first["status"][:3] == last["status"][:3] == "201"
    for (name, _), answer in zip(WRONG_ENTRIES.items(), wrong, strict=True):
        assert answer["status"][:3] == "400", name
        assert answer["outcome"]["issue"][0]["diagnostics"], name


@pytest.mark.parametrize("name", WRONG_ENTRIES)
def test_entry_that_is_no_request_refuses_a_transaction_whole(fhir, tag, name):
    made = entry("PUT", f"Patient/{tag}", patient(tag, id=tag))
    outcome_of(post(fhir, "transaction", made, WRONG_ENTRIES[name]), 400)
    assert fhir.get(f"Patient/{tag}").status_code == 404


def test_full_url_twice_hinders_no_batch(fhir, tag):
    made = {**entry("POST", "Patient", patient(tag)), "fullUrl": f"urn:uuid:{uuid.uuid4()}"}
    entries = post(fhir, "batch", made, made).json()["entry"]
    assert [e["response"]["status"][:3] for e in entries] == ["201", "201"]


@pytest.mark.parametrize("kind", ["collection", "document", "searchset", "", None, ["batch"]])
def test_bundle_of_another_type_is_refused(fhir, kind):
    outcome_of(fhir.post("", json={"resourceType": "Bundle", "type": kind}, headers=FHIR_JSON), 400)


def test_batch_in_a_batch_is_refused(fhir):
    inner = {"resourceType": "Bundle", "type": "batch"}
    bundle = post(fhir, "batch", entry("POST", "", inner))
    assert bundle.status_code == 400 or bundle.json()["entry"][0]["response"]["status"] >= "400"


def test_empty_batch_is_answered(fhir):
    response = fhir.post("", json={"resourceType": "Bundle", "type": "batch"}, headers=FHIR_JSON)
    assert response.json()["type"] == "batch-response"


# --- transaction -------------------------------------------------------------------------------


@pytest.mark.usefixtures("transactions")
def test_transaction_resolves_its_links(fhir, tag):
    urn = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": urn},
    }
    response = post(
        fhir,
        "transaction",
        entry("POST", "Observation", observation),
        {"fullUrl": urn, **entry("POST", "Patient", patient(tag))},
        entry("GET", f"Patient?identifier=urn:test%7C{tag}"),
    )
    assert response.status_code == 200, response.text
    bundle = response.json()
    assert bundle["type"] == "transaction-response"
    assert [e["response"]["status"][:3] for e in bundle["entry"]] == ["201", "201", "200"]
    made = fhir.get(bundle["entry"][0]["response"]["location"]).json()
    id = made["subject"]["reference"].removeprefix("Patient/")
    assert fhir.get(f"/Patient/{id}").json()["identifier"][0]["value"] == tag
    assert bundle["entry"][2]["resource"]["entry"][0]["resource"]["id"] == id


@pytest.mark.usefixtures("transactions")
def test_transaction_that_fails_leaves_nothing(fhir, tag):
    response = post(
        fhir,
        "transaction",
        entry("PUT", f"Patient/{tag}", patient(tag, id=tag)),
        entry("POST", "Patient", {"resourceType": "Patient", "gender": "alien"}),
    )
    outcome_of(response, (400, 422))
    assert fhir.get(f"/Patient/{tag}").status_code == 404
    assert fhir.get(f"/Patient/{tag}/_history").status_code == 404


@pytest.mark.usefixtures("transactions")
@pytest.mark.parametrize("exists", [True, False])
def test_transaction_with_one_identity_twice_is_refused(fhir, tag, exists):
    if exists:
        fhir.put(f"/Patient/{tag}", json=patient(tag, id=tag), headers=FHIR_JSON)
    response = post(
        fhir,
        "transaction",
        entry("PUT", f"Patient/{tag}", patient(tag, id=tag)),
        entry("DELETE", f"Patient/{tag}"),
    )
    outcome_of(response, 400)


@pytest.mark.usefixtures("transactions")
def test_transaction_with_a_patch(fhir, tag):
    fhir.put(f"/Patient/{tag}", json=patient(tag, id=tag, active=True), headers=FHIR_JSON)
    operations = "W3sib3AiOiJyZXBsYWNlIiwicGF0aCI6Ii9hY3RpdmUiLCJ2YWx1ZSI6ZmFsc2V9XQ=="
    binary = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": operations,
    }
    for kind in ("transaction", "batch"):
        bundle = post(fhir, kind, entry("PATCH", f"Patient/{tag}", binary))
        assert bundle.status_code == 200, bundle.text
        assert bundle.json()["entry"][0]["response"]["status"][:3] == "200", bundle.text
        assert fhir.get(f"/Patient/{tag}").json()["active"] is False


# --- conditional interactions ------------------------------------------------------------------


def test_conditional_create_makes_one(fhir, tag):
    headers = FHIR_JSON | {"if-none-exist": f"identifier=urn:test|{tag}"}
    first = fhir.post("/Patient", json=patient(tag), headers=headers)
    assert first.status_code == 201
    again = fhir.post("/Patient", json=patient(tag), headers=headers)
    assert again.status_code == 200
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["etag"] == 'W/"1"'
    assert again.json()["id"] == first.json()["id"]
    minimal = fhir.post(
        "/Patient", json=patient(tag), headers=headers | {"prefer": "return=minimal"}
    )
    assert minimal.content == b""
    fhir.post("/Patient", json=patient(tag), headers=FHIR_JSON)
    outcome_of(fhir.post("/Patient", json=patient(tag), headers=headers), 412)


def test_parallel_conditional_creates_make_exactly_one(server, fhir, tag):
    headers = FHIR_JSON | {"if-none-exist": f"identifier=urn:test|{tag}"}

    def create(_):
        url = f"{server.base_url}/Patient"
        return httpx.post(url, json=patient(tag), headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(create, range(50)))
    assert statuses == [200] * 49 + [201]
    total = fhir.get(f"/Patient?identifier=urn:test%7C{tag}&_summary=count").json()["total"]
    assert total == 1


def test_conditional_update(fhir, tag):
    url = f"/Patient?identifier=urn:test%7C{tag}"
    assert fhir.put(url, json=patient(tag), headers=FHIR_JSON).status_code == 201
    second = fhir.put(url, json=patient(tag, active=True), headers=FHIR_JSON)
    assert second.status_code == 200
    assert second.headers["etag"] == 'W/"2"'
    outcome_of(fhir.put(url, json=patient(tag, id="other"), headers=FHIR_JSON), 400)
    fhir.post("/Patient", json=patient(tag), headers=FHIR_JSON)
    outcome_of(fhir.put(url, json=patient(tag), headers=FHIR_JSON), 412)


def test_conditional_patch(fhir, tag):
    url = f"/Patient?identifier=urn:test%7C{tag}"
    operations = [{"op": "add", "path": "/active", "value": True}]
    outcome_of(fhir.patch(url, json=operations, headers=JSON_PATCH), 404)
    fhir.post("/Patient", json=patient(tag), headers=FHIR_JSON)
    assert fhir.patch(url, json=operations, headers=JSON_PATCH).json()["active"] is True
    fhir.post("/Patient", json=patient(tag), headers=FHIR_JSON)
    outcome_of(fhir.patch(url, json=operations, headers=JSON_PATCH), 412)


def test_parallel_conditional_updates_make_exactly_one(server, fhir, tag):
    def update(number):
        url = f"{server.base_url}/Patient?identifier=urn:test%7C{tag}"
        body = patient(tag, multipleBirthInteger=number)
        return httpx.put(url, json=body, headers=FHIR_JSON, timeout=120).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(update, range(8)))
    assert set(statuses) <= {200, 201, 409}
    assert statuses.count(201) == 1
    found = fhir.get(f"/Patient?identifier=urn:test%7C{tag}").json()["entry"]
    assert len(found) == 1
    id = found[0]["resource"]["id"]
    assert fhir.get(f"/Patient/{id}/_history").json()["total"] == 1 + statuses.count(200)


def test_conditional_delete_of_another_version_is_refused(fhir, tag):
    url = f"/Patient?identifier=urn:test%7C{tag}"
    id = fhir.post("/Patient", json=patient(tag), headers=FHIR_JSON).json()["id"]
    outcome_of(fhir.delete(url, headers={"if-match": 'W/"2"'}), 412)
    assert fhir.get(f"/Patient/{id}").status_code == 200
    assert fhir.delete(url, headers={"if-match": 'W/"1"'}).status_code == 204


def test_conditional_delete(fhir, tag):
    url = f"/Patient?identifier=urn:test%7C{tag}"
    assert fhir.delete(url).status_code == 204
    made = [fhir.post("/Patient", json=patient(tag), headers=FHIR_JSON).json() for _ in range(2)]
    assert fhir.delete(url).status_code == 204
    for one in made:
        assert fhir.get(f"/Patient/{one['id']}").status_code == 410


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("query", ["", "?", "?unheardof=1", "?identifier="])
def test_conditional_write_without_criteria_is_refused(fhir, tag, method, query):
    body = [] if method == "PATCH" else patient(tag)
    headers = JSON_PATCH if method == "PATCH" else FHIR_JSON
    outcome_of(fhir.request(method, f"/Patient{query}", json=body, headers=headers), (400, 412))
