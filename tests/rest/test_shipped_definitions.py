"""What the server states by canonical URL can be read and found on it, and is written by nobody."""

from __future__ import annotations

import pytest
from catalogue_people import citizen, token

MEASURE = "http://fhirserver.example/Measure/space-statistics"
JSON = {"content-type": "application/fhir+json"}


def test_a_definition_is_read_and_found_by_its_url(fhir):
    answer = fhir.get("/Measure/space-statistics")
    assert answer.status_code == 200, answer.text
    measure = answer.json()
    assert measure["url"] == MEASURE
    assert answer.headers["etag"] == 'W/"1"'
    again = fhir.get("/Measure/space-statistics", headers={"if-none-match": 'W/"1"'})
    assert again.status_code == 304
    assert fhir.get("/Measure/space-statistics/_history/1").json() == measure
    assert fhir.get("/Measure/space-statistics/_history/2").status_code == 404
    for query in ({"url": MEASURE}, {"_id": "space-statistics"}, {"url:below": MEASURE}):
        bundle = fhir.get("/Measure", params=query).json()
        assert [e["resource"]["id"] for e in bundle["entry"]] == ["space-statistics"], query
        assert bundle["total"] == 1
        assert bundle["entry"][0]["search"]["mode"] == "match"
    count = fhir.get("/Measure", params={"url": MEASURE, "_summary": "count"}).json()
    assert count["total"] == 1
    assert "entry" not in count
    narrowed = fhir.get("/Measure", params={"url": MEASURE, "status": "retired"}).json()
    assert "entry" not in narrowed
    page = fhir.get("/Measure/space-statistics", headers={"accept": "application/fhir+xml"})
    assert page.status_code == 200
    assert b"<Measure " in page.content


def test_the_definition_of_each_operation_of_our_own_is_there(fhir):
    statement = fhir.get("/metadata").json()["rest"][0]
    stated = {
        operation["definition"]
        for each in (statement, *statement["resource"])
        for operation in each.get("operation", ())
        if operation["definition"].startswith("http://fhirserver.example/")
    }
    found = fhir.get("/OperationDefinition", params={"url": ",".join(sorted(stated))}).json()
    assert {e["resource"]["url"] for e in found["entry"]} == stated


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_nobody_writes_what_is_part_of_the_server(fhir, method):
    measure = fhir.get("/Measure/space-statistics").json()
    body = {"json": measure | {"status": "retired"}} if method == "PUT" else {}
    answer = fhir.request(method, "/Measure/space-statistics", **body)
    assert answer.status_code == 405, answer.text
    entry = {"request": {"method": method, "url": "Measure/space-statistics"}}
    if method == "PUT":
        entry["resource"] = measure | {"status": "retired"}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
    answer = fhir.post("/", json=bundle)
    assert answer.json()["entry"][0]["response"]["status"].startswith("405")
    assert fhir.get("/Measure/space-statistics").json() == measure


def test_a_patch_of_what_is_part_of_the_server_is_refused(fhir):
    answer = fhir.patch(
        "/Measure/space-statistics",
        json=[{"op": "add", "path": "/title", "value": "x"}],
        headers={"content-type": "application/json-patch+json"},
    )
    assert answer.status_code == 405, answer.text


def test_a_search_that_does_not_name_one_lists_what_is_stored_alone(fhir):
    bundle = fhir.get("/OperationDefinition", params={"code": "apps"}).json()
    assert "entry" not in bundle


async def test_with_tokens_a_definition_is_for_whom_the_type_is_in_reach(smart):
    operator = await token(smart, "operator", client="operator")
    assert (await smart.fhir(operator, "Measure/space-statistics")).status_code == 200
    assert (await smart.fhir(operator, f"Measure?url={MEASURE}")).json()["total"] == 1
    without = await citizen(smart, scopes="patient/Observation.rs")
    assert (await smart.fhir(without, "Measure/space-statistics")).status_code == 403
    assert (await smart.fhir(without, f"Measure?url={MEASURE}")).status_code == 403
