"""Who reads which traces, in the real application with `--auth smart`, on both engines."""

import os
import uuid

import pytest
from access_door import binary, choice, consent, document, observation, patient
from over_http import database_in
from token_door import close_door, open_door

X = {"fhir_user": "Practitioner/x", "profession": "10", "organization": "Organization/h"}
Y = {"fhir_user": "Practitioner/y", "profession": "10", "organization": "Organization/h"}


@pytest.fixture(params=["sqlite", "mongodb"])
async def door(request, tmp_path):
    if request.param == "sqlite":
        database = f"sqlite:///{tmp_path}/traces.db"
    elif url := os.environ.get("FHIRSERVER_TEST_MONGODB"):
        database = database_in(url, f"traces_{uuid.uuid4().hex[:12]}")
    else:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    made, lifespan = await open_door(database)
    await made.put(
        {"resourceType": "Practitioner", "id": "x"},
        {"resourceType": "Practitioner", "id": "y"},
        patient("a", birthDate="2015-01-01", generalPractitioner=[{"reference": "Practitioner/g"}]),
        patient("b", birthDate="1980-01-01"),
        observation("oa", "a"),
        observation("ob", "b"),
        consent("team", "a", actor="Organization/h"),
        choice("choice-second-parent") | {"id": "parent"},
        choice("choice-carer") | {"id": "carer"},
    )
    await made.give("A", "citizen", fhir_user="Patient/a", patient="a")
    await made.give("B", "citizen", fhir_user="Patient/b", patient="b")
    await made.give("X", "professional", **X)
    await made.give("Y", "professional", **Y)
    await made.give("G", "professional", fhir_user="Practitioner/g", profession="10")
    await made.give("parent", "proxy", fhir_user="RelatedPerson/parent", patient="a")
    await made.give("carer", "proxy", fhir_user="RelatedPerson/carer", patient="a")
    yield made
    await close_door(made, lifespan)


async def traces(door, name, query=""):
    """(who, what) of each trace that a caller finds."""
    answer = await door.get(name, f"AuditEvent?_count=1000{query}")
    assert answer.status_code == 200, answer.text
    return [told(entry["resource"]) for entry in answer.json().get("entry", [])]


def told(event):
    who = next(a["who"]["reference"] for a in event["agent"] if "reference" in a["who"])
    return who, [
        e["what"]["reference"] for e in event["entity"] if "reference" in e.get("what", {})
    ]


def of(found, who):
    return [what for by, what in found if by == who]


async def test_the_citizen_reads_their_own_log_in_full_and_no_other(door):
    for name in ("X", "Y", "parent", "carer"):
        assert (await door.get(name, "Observation/oa")).status_code == 200, name
    assert (await door.get("X", "Observation/ob")).status_code == 404
    found = await traces(door, "A")
    for who in ("Practitioner/x", "Practitioner/y", "RelatedPerson/parent", "RelatedPerson/carer"):
        assert of(found, who) == [["Patient/a", "Observation/oa/_history/1"]], who
    assert await traces(door, "A", "&patient=b") == []
    # Whoever tried in vain is told to whom it is about.
    assert of(await traces(door, "B"), "Practitioner/x") == [["Patient/b", "Observation/ob"]]
    event = next(e for e in await door.events() if told(e)[1][:1] == ["Patient/b"])
    assert (await door.get("A", f"AuditEvent/{event['id']}")).status_code == 404
    assert (await door.get("B", f"AuditEvent/{event['id']}")).status_code == 200


async def test_a_parent_reads_the_childs_log_and_a_carer_none(door):
    await door.get("X", "Observation/oa")
    await door.get("X", "Observation/ob")
    found = await traces(door, "parent")
    assert of(found, "Practitioner/x") == [["Patient/a", "Observation/oa/_history/1"]]
    for url in ("AuditEvent", "AuditEvent?patient=a", "AuditEvent/_history"):
        assert (await door.get("carer", url)).status_code == 403


async def test_a_professional_reads_their_own_actions_and_never_a_colleagues(door):
    await door.get("X", "Observation/oa")
    await door.get("Y", "Observation/oa")
    assert {who for who, _ in await traces(door, "X")} == {"Practitioner/x"}
    assert {who for who, _ in await traces(door, "Y")} == {"Practitioner/y"}


async def test_the_general_practitioner_reads_all_traces_of_an_open_space(door):
    await door.get("X", "Observation/oa")
    await door.get("X", "Observation/ob")
    found = await traces(door, "G")
    assert of(found, "Practitioner/x") == [["Patient/a", "Observation/oa/_history/1"]]
    await door.put(choice("choice-close-space"))
    assert of(await traces(door, "G"), "Practitioner/x") == []
    assert len(of(await traces(door, "A"), "Practitioner/x")) == 1


async def test_services_operators_and_apps_read_no_log(door):
    await door.get("X", "Observation/oa")
    await door.give("his", "system", "system/*.cruds", organization="Organization/h")
    await door.give("op", "operator", "system/*.cruds user/*.cruds")
    device = {"resourceType": "Device", "id": "app"}
    await door.put(device, consent("app", "a", actor="Device/app"))
    await door.give("app", "citizen", fhir_user="Patient/a", patient="a", device="Device/app")
    for name in ("his", "op", "app"):
        assert (await door.get(name, "AuditEvent")).status_code == 403, name


async def test_who_asked_for_something_hidden_finds_the_trace_of_an_unknown_one(door):
    for id in ("ob", "unknown"):
        assert (await door.get("X", f"Observation/{id}")).status_code == 404
    hidden, unknown = of(await traces(door, "X"), "Practitioner/x")[:2]
    assert (hidden, unknown) == (["Observation/ob"], ["Observation/unknown"])
    assert await traces(door, "X", "&patient=b") == []
    assert await traces(door, "X", "&entity=Patient/b") == []


@pytest.mark.parametrize("where", ["security", "securityLabel"])
async def test_traces_of_what_is_hidden_are_hidden(door, where):
    label = "INVISIBLE_REPRESENTANTS_LEGAUX"
    secret = document("secret", "a", author="Organization/h", labels=[label])
    if where == "security":
        secret["meta"] = {"security": secret.pop("securityLabel")[0]["coding"]}
    await door.put(secret)
    assert (await door.get("X", "DocumentReference?patient=a")).status_code == 200
    assert not any(
        "DocumentReference/secret" in str(what) for _, what in await traces(door, "parent")
    )
    assert any("DocumentReference/secret" in str(what) for _, what in await traces(door, "A"))


async def test_a_binary_is_an_access_to_whose_document_carries_it(door):
    await door.put(document("d", "a"), binary("d-b"))
    assert (await door.get("X", "Binary/d-b")).status_code == 200
    raw = await door.ask("X", "GET", "Binary/d-b", accept="text/plain")
    assert raw.status_code == 200
    assert (await door.get("B", "Binary/d-b")).status_code == 404
    found = await traces(door, "A")
    assert of(found, "Practitioner/x") == [["Patient/a", "Binary/d-b/_history/1"]] * 2
    assert of(found, "Patient/b") == [["Patient/a", "Binary/d-b"]]


async def test_a_binary_of_a_hidden_document_leaves_a_hidden_trace(door):
    labels = ["INVISIBLE_REPRESENTANTS_LEGAUX"]
    await door.put(document("d", "a", labels=labels), binary("d-b"))
    assert (await door.get("X", "Binary/d-b")).status_code == 200
    assert of(await traces(door, "parent"), "Practitioner/x") == []
    assert len(of(await traces(door, "A"), "Practitioner/x")) == 1


async def test_a_binary_written_with_its_document_is_in_the_patients_log(door):
    if not door.store.capabilities.transactions:
        pytest.skip(door.store.capabilities.reason)
    await door.give("his", "system", "system/*.cruds", organization="Organization/h")
    urn = f"urn:uuid:{uuid.uuid4()}"
    written = document("x", "a", author="Organization/h", content=[{"attachment": {"url": urn}}])
    entry = [
        {"request": {"method": "POST", "url": "Binary"}, "resource": binary("x"), "fullUrl": urn},
        {"request": {"method": "POST", "url": "DocumentReference"}, "resource": written},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
    made = await door.ask("his", "POST", "", bundle)
    assert made.status_code == 200, made.text
    place = made.json()["entry"][0]["response"]["location"]
    id = place.split("Binary/")[1].split("/")[0]
    answer = await door.get("A", "AuditEvent?_count=100&subtype=create")
    assert f"Binary/{id}" in answer.text
