"""Every access leaves AuditEvents, over HTTP, on both engines."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import audit_door
import pytest
from audit_door import Recorded, hidden, open_store

from fhirserver.access.audit.verify import verify
from fhirserver.access.caller import Caller, Mode, Role
from fhirserver.access.decision.build import any_of, refers
from fhirserver.search.expression import Chain, OfType
from fhirserver.validation.validator import Validator

A = {"resourceType": "Patient", "id": "a", "name": [{"family": "A"}]}
B = {"resourceType": "Patient", "id": "b", "name": [{"family": "B"}]}


def observation(id, patient, **more):
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": "pulse"},
        "subject": {"reference": f"Patient/{patient}"},
        **more,
    }


@pytest.fixture(params=["sqlite", "mongodb"])
async def server(request, tmp_path):
    store = open_store(request.param, tmp_path)
    if store is None:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    await store.open()
    server = Recorded(store)
    await server.service.start()
    await server.put(A, B, observation("oa", "a"), observation("ob", "b"))
    yield server
    await server.client.aclose()
    if request.param == "mongodb":
        await store._connection.client.drop_database(store._connection.database_name)
    await store.close()


def entities(event, role="4"):
    return [
        e["what"]["reference"]
        for e in event.get("entity", [])
        if e.get("role", {}).get("code") == role and "what" in e
    ]


def patients(events):
    return [entity for event in events for entity in entities(event, "1")]


def of(events, code):
    return [e for e in events if e["subtype"][0]["code"] == code]


async def test_a_read_is_recorded_with_all_that_BALP_asks_for(server):
    answer = await server.ask("doctor", "GET", "Observation/oa", x_request_id="call-7")
    assert answer.status_code == 200
    (event,) = await server.events()
    assert Validator().validate(event) == []
    assert event["meta"]["profile"] == [
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
    ]
    assert event["type"]["code"] == "rest"
    assert event["subtype"][0]["code"] == "read"
    assert (event["action"], event["outcome"]) == ("R", "0")
    client, serving, user, organization = event["agent"]
    assert client["type"]["coding"][0]["code"] == "110152"
    assert client["who"]["identifier"]["value"] == "practice-software"
    assert client["network"] == {"address": "127.0.0.1", "type": "2"}
    assert serving["type"]["coding"][0]["code"] == "110153"
    assert user["who"]["reference"] == "Practitioner/doctor"
    assert user["requestor"] is True
    assert [c["code"] for c in user["purposeOfUse"][0]["coding"]] == ["TREAT", "normal"]
    assert user["role"][1]["coding"][0]["code"] == "10"
    assert user["policy"] == [f"urn:fhirserver:token:{audit_door.DOCTOR.token}"]
    assert organization["who"]["reference"] == "Organization/clinic"
    assert entities(event, "1") == ["Patient/a"]
    assert entities(event) == ["Observation/oa/_history/1"]
    (query,) = [e["query"] for e in event["entity"] if "query" in e]
    assert base64.b64decode(query) == b"GET /Observation/oa"
    (id_,) = [e for e in event["entity"] if e["type"]["code"] == "XrequestId"]
    assert id_["what"]["identifier"]["value"] == "call-7"


async def test_the_plain_read_is_recorded_before_it_is_answered(server):
    """The short way of the endpoint too."""
    assert (await server.ask("doctor", "GET", "Patient/a")).status_code == 200
    (event,) = await server.events()
    assert patients([event]) == ["Patient/a"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "Observation/oa", "read"),
        ("HEAD", "Observation/oa", "read"),
        ("GET", "Observation/oa/_history/1", "vread"),
        ("GET", "Observation/oa/_history", "history-instance"),
        ("GET", "Observation/_history", "history-type"),
        ("GET", "_history", "history-system"),
        ("GET", "Observation?patient=a", "search"),
        ("GET", "Patient/a/Observation", "search"),
        ("GET", "?_type=Observation", "search"),
        ("POST", "Observation/_search", "search"),
        ("GET", "Patient/a/$everything", "operation"),
        ("DELETE", "Observation/oa", "delete"),
    ],
)
async def test_each_interaction_tells_the_patient(server, method, path, code):
    answer = await server.ask("doctor", method, path)
    assert answer.status_code < 300
    events = of(await server.events(), code)
    assert "Patient/a" in patients(events)
    assert all(e["outcome"] == "0" for e in events)
    assert all(Validator().validate(e) == [] for e in events)


async def test_a_search_over_patients_gives_one_event_for_each(server):
    await server.put(observation("oa2", "a"))
    answer = await server.ask("doctor", "GET", "Observation?_include=Observation:patient")
    assert len(answer.json()["entry"]) == 5
    events = await server.events()
    assert sorted(patients(events)) == ["Patient/a", "Patient/b"]
    by_patient = {entities(e, "1")[0]: entities(e) for e in events}
    assert sorted(by_patient["Patient/a"]) == [
        "Observation/oa/_history/1",
        "Observation/oa2/_history/1",
        "Patient/a/_history/1",
    ]
    assert not any("ob/" in e or "Patient/b" in e for e in by_patient["Patient/a"])


async def test_a_search_that_finds_nothing_is_told_to_whose_record_is_open(server):
    await server.ask("doctor", "GET", "Observation?_id=none")
    server.callers["panel"] = replace(server.callers["doctor"], patient=None)
    await server.ask("panel", "GET", "Observation?_id=none")
    open_, none = await server.events()
    assert patients([open_]) == ["Patient/a"]
    assert patients([none]) == []


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("POST", "Observation", "create"), ("PUT", "Observation/oa", "update")],
)
async def test_writes_are_recorded_once(server, method, path, code):
    answer = await server.ask("doctor", method, path, observation("oa", "a"))
    assert answer.status_code in (200, 201)
    (event,) = await server.events()
    assert event["subtype"][0]["code"] == code
    assert event["action"] == {"create": "C", "update": "U"}[code]
    assert patients([event]) == ["Patient/a"]


async def test_a_resource_moved_to_another_patient_is_told_to_both(server):
    await server.ask("doctor", "PUT", "Observation/oa", observation("oa", "b"))
    assert sorted(patients(await server.events())) == ["Patient/a", "Patient/b"]


async def test_a_refused_write_leaves_an_event_of_its_failure(server):
    answer = await server.ask(
        "doctor", "PUT", "Observation/oa", observation("oa", "a"), if_match='W/"9"'
    )
    assert answer.status_code == 412
    failed = [e for e in await server.events() if e["outcome"] == "4"]
    assert {e["outcomeDesc"] for e in failed} == {"HTTP status 412"}
    assert patients(failed) == ["Patient/a"]


async def test_entries_of_a_batch_are_recorded_one_by_one(server):
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {"request": {"method": "GET", "url": "Observation/oa"}},
            {"request": {"method": "GET", "url": "Observation/ob"}},
            {"request": {"method": "GET", "url": "Observation/none"}},
            {
                "resource": observation("x", "b"),
                "request": {"method": "POST", "url": "Observation"},
            },
        ],
    }
    assert (await server.ask("doctor", "POST", "", bundle)).status_code == 200
    events = await server.events()
    assert sorted(e["subtype"][0]["code"] for e in events) == ["create", "read", "read", "read"]
    assert sorted(patients(events)) == ["Patient/a", "Patient/b", "Patient/b"]
    assert [e["outcome"] for e in events].count("4") == 1


async def test_a_transaction_is_recorded_with_its_commit(server):
    if not server.raw.capabilities.transactions:
        pytest.skip(server.raw.capabilities.reason)
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": observation("x", p), "request": {"method": "POST", "url": "Observation"}}
            for p in ("a", "b", "a")
        ]
        + [{"request": {"method": "GET", "url": "Observation/oa"}}],
    }
    assert (await server.ask("doctor", "POST", "", bundle)).status_code == 200
    events = await server.events()
    assert sorted(patients(of(events, "create"))) == ["Patient/a", "Patient/b"]
    assert patients(of(events, "read")) == ["Patient/a"]


async def test_an_unknown_caller_is_recorded(server):
    assert (await server.ask(None, "GET", "Observation/oa")).status_code == 401
    (event,) = await server.events()
    assert event["outcome"] == "4"
    assert event["outcomeDesc"] == "HTTP status 401"
    assert patients([event]) == ["Patient/a"]


async def test_a_flood_of_unknown_callers_does_not_fill_the_log(server):
    server.service.audit._clock = lambda: 1_800_000_000_000_000
    for _ in range(30):
        await server.ask(None, "GET", "Observation/oa")
    assert len(await server.events()) == 20
    server.service.audit._clock = lambda: 1_800_000_001_000_000
    await server.ask(None, "GET", "Observation/oa")
    last = (await server.events())[-1]
    assert "10 requests of unknown callers" in last["outcomeDesc"]


async def test_a_hidden_resource_tells_its_patient_who_tried(server):
    server.predicates["doctor"] = hidden("Observation")
    assert (await server.ask("doctor", "GET", "Observation/ob")).status_code == 404
    tried, told = await server.events()
    assert tried["outcome"] == told["outcome"] == "4"
    assert patients([tried]) == []
    assert patients([told]) == ["Patient/b"]


async def test_without_its_record_nothing_is_served(server, monkeypatch):
    async def fails(records):
        raise ConnectionError("gone")

    monkeypatch.setattr(server.raw, "append_log", fails)
    for path in ("Patient/a", "Observation?patient=a", "Observation/oa/_history", "Patient/none"):
        answer = await server.ask("doctor", "GET", path)
        assert answer.status_code == 503, path
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert "pulse" not in answer.text
        assert answer.headers["retry-after"]


async def test_without_its_record_nothing_is_written(server, monkeypatch):
    writer = getattr(server.raw, "_writer", None)
    log = getattr(writer, "log", None) or server.raw._log

    def fails(*arguments):
        raise ConnectionError("gone")

    monkeypatch.setattr(log, "append", fails)
    answer = await server.ask("doctor", "PUT", "Observation/new", observation("new", "a"))
    assert answer.status_code == 503
    monkeypatch.undo()
    assert await server.raw.read("Observation", "new") is None


async def test_metadata_is_open_and_not_recorded(server):
    answer = await server.ask(None, "GET", "metadata")
    assert answer.status_code == 200
    assert await server.events() == []
    (resource,) = [r for r in answer.json()["rest"][0]["resource"] if r["type"] == "AuditEvent"]
    codes = {i["code"] for i in resource["interaction"]}
    assert codes.isdisjoint({"create", "update", "patch", "delete"})
    assert {"read", "search-type"} <= codes


EVENT = {
    "resourceType": "AuditEvent",
    "id": "mine",
    "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
    "recorded": "2026-01-01T00:00:00Z",
    "agent": [{"requestor": True}],
    "source": {"observer": {"display": "x"}},
}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "AuditEvent"),
        ("PUT", "AuditEvent/{id}"),
        ("PUT", "AuditEvent/new"),
        ("PUT", "AuditEvent?_id={id}"),
        ("PATCH", "AuditEvent/{id}"),
        ("PATCH", "AuditEvent?_id={id}"),
        ("DELETE", "AuditEvent/{id}"),
        ("DELETE", "AuditEvent?_id={id}"),
        ("DELETE", "AuditEvent?_id=none"),
    ],
)
async def test_clients_never_write_audit_events(server, method, path):
    await server.ask("doctor", "GET", "Patient/a")
    (event,) = await server.events()
    id = event["id"]
    body = EVENT | {"id": id if "{id}" in path else "new"}
    if method == "PATCH":
        body = [{"op": "replace", "path": "/outcome", "value": "8"}]
    answer = await server.ask(
        "doctor", method, path.format(id=id), None if method == "DELETE" else body
    )
    assert answer.status_code == 405
    assert "POST" not in answer.headers.get("allow", "")
    assert (await server.raw.read("AuditEvent", id)).version == 1


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_bundles_write_no_audit_events(server, kind):
    if kind == "transaction" and not server.raw.capabilities.transactions:
        pytest.skip(server.raw.capabilities.reason)
    bundle = {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {"resource": EVENT, "request": {"method": "PUT", "url": "AuditEvent/mine"}},
            {"resource": EVENT, "request": {"method": "POST", "url": "AuditEvent"}},
        ],
    }
    answer = await server.ask("doctor", "POST", "", bundle)
    if kind == "batch":
        statuses = [e["response"]["status"][:3] for e in answer.json()["entry"]]
        assert statuses == ["405", "405"]
    else:
        assert answer.status_code == 405
    assert await server.raw.read("AuditEvent", "mine") is None


async def test_looking_at_the_log_is_itself_recorded(server):
    await server.ask("doctor", "GET", "Observation/oa")
    await server.ask("alice", "GET", "AuditEvent?patient=a")
    searches = of(await server.events(), "search")
    assert patients(searches) == ["Patient/a"]


async def test_the_mode_and_the_reason_are_told(server):
    server.callers["samu"] = Caller(
        Role.PROFESSIONAL,
        client="x",
        fhir_user="Practitioner/samu",
        mode=Mode.BRIS_DE_GLACE,
        reason="Patient inconscient",
        token="t",
    )
    await server.ask("samu", "GET", "Patient/a")
    (event,) = await server.events()
    (purpose,) = event["agent"][2]["purposeOfUse"]
    assert [c["code"] for c in purpose["coding"]] == ["BTG", "bris_de_glace"]
    assert purpose["text"] == "Patient inconscient"


async def test_materialising_again_changes_nothing(server):
    await server.ask("doctor", "GET", "Observation/oa")
    before = await server.events()
    await server.raw.drop_grants(kind="audit-done")
    again = Recorded(server.raw)
    assert await again.events() == before
    assert all(json.dumps(e) for e in before)


async def test_the_chain_of_what_was_recorded_verifies(server):
    for _ in range(5):
        await server.ask("doctor", "GET", "Observation/oa")
    verdict = await verify(server.raw)
    assert verdict.broken == ()
    assert verdict.records == 6  # with the witness


async def events_made(server):
    return len(await server.all("AuditEvent"))


async def test_a_professional_does_not_wait_for_the_records_of_others(server):
    """Their own actions, and the spaces they are the general practitioner of."""
    general_practitioner = refers("general-practitioner", (("Practitioner", "doctor"),))
    server.predicates["doctor"] = any_of(
        OfType(("Patient",)),
        refers("agent", (("Practitioner", "doctor"),)),
        Chain("entity", ("Patient",), general_practitioner),
    )
    await server.put({**B, "generalPractitioner": [{"reference": "Practitioner/doctor"}]})
    for _ in range(3):
        for path in ("Observation/oa", "Observation/ob", "Observation?code:text=pulse"):
            await server.ask("alice", "GET", path)
    assert await events_made(server) == 0
    found = (await server.ask("doctor", "GET", "AuditEvent?_count=100")).json()["entry"]
    assert len(found) == 6  # all of b's, none of a's
    assert await events_made(server) == 6
    seen = await server.ask("doctor", "GET", "Patient?_has:AuditEvent:entity:action=R")
    assert "b" in [entry["resource"]["id"] for entry in seen.json()["entry"]]
    assert await events_made(server) == 7  # and their own search before


async def test_an_answer_waits_no_longer_than_it_may_and_is_never_incomplete(server, monkeypatch):
    monkeypatch.setattr("fhirserver.access.audit.store.WAIT_SECONDS", 0)
    for _ in range(50):
        await server.ask("alice", "GET", "Observation/oa")
    history = await server.ask("doctor", "GET", "AuditEvent/_history?_count=100")
    assert history.status_code == 200
    assert 0 < len(history.json()["entry"]) < 50  # the rest stands above these, once made
    statuses = []
    while statuses[-1:] != [200]:
        answer = await server.ask("doctor", "GET", "AuditEvent?_summary=count")
        statuses.append(answer.status_code)
        assert len(statuses) < 10
    assert set(statuses[:-1]) == {503}
    assert answer.json()["total"] >= 50
    refused = await server.ask("doctor", "GET", f"AuditEvent?_count={len(statuses)}")
    assert refused.status_code == 200
