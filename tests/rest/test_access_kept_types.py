"""Types that are neither somebody's record nor for everybody, over HTTP on both engines."""

import os
import uuid

import pytest
from access_door import patient
from over_http import database_in
from token_door import close_door, open_door

GROUP = {
    "resourceType": "Group",
    "type": "person",
    "actual": True,
    "managingEntity": {"reference": "Organization/h"},
    "member": [{"entity": {"reference": "Patient/a"}}],
}
PERSON = {"resourceType": "Person", "link": [{"target": {"reference": "Patient/a"}}]}
SUBSCRIPTION = {
    "resourceType": "Subscription",
    "status": "requested",
    "reason": "test",
    "criteria": "Observation?code=x",
    "channel": {"type": "rest-hook", "endpoint": "https://h.example/hook"},
}
BY = {"Group": "his", "Person": "cnam", "Subscription": "op"}


@pytest.fixture(params=["sqlite", "mongodb"])
async def door(request, tmp_path):
    if request.param == "sqlite":
        database = f"sqlite:///{tmp_path}/kept.db"
    elif url := os.environ.get("FHIRSERVER_TEST_MONGODB"):
        database = database_in(url, f"kept_{uuid.uuid4().hex[:12]}")
    else:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    made, lifespan = await open_door(database, registrars="cnam")
    await made.put(patient("a"), *({**r, "id": "1"} for r in (GROUP, PERSON, SUBSCRIPTION)))
    services = {"scopes": "system/*.cruds"}
    await made.give("his", "system", **services, organization="Organization/h")
    await made.give("other", "system", **services, organization="Organization/o")
    await made.give("none", "system", **services)
    await made.give("cnam", "system", **services, client="cnam")
    await made.give("op", "operator", "system/*.cruds user/*.cruds")
    await made.give("A", "citizen", fhir_user="Patient/a", patient="a")
    await made.give("X", "professional", fhir_user="Practitioner/x", organization="Organization/h")
    yield made
    await close_door(made, lifespan)


@pytest.mark.parametrize("resource", [GROUP, PERSON, SUBSCRIPTION], ids=list(BY))
async def test_each_is_for_those_who_keep_it_alone(door, resource):
    type = resource["resourceType"]
    for name in ("his", "other", "none", "cnam", "op", "A", "X"):
        answers = [
            await door.get(name, f"{type}/1"),
            await door.get(name, type),
            await door.ask(name, "POST", type, resource),
            await door.ask(name, "PUT", f"{type}/1", {**resource, "id": "1"}),
        ]
        statuses = [answer.status_code for answer in answers]
        if name == BY[type]:
            assert statuses == [200, 200, 201, 200], (name, [a.text for a in answers])
            assert len(answers[1].json()["entry"]) == 1
        elif type == "Group" and name in ("other", "none", "cnam"):
            assert statuses == [404, 200, 403, 405], name
            assert "entry" not in answers[1].json()
        else:
            assert statuses == [403, 403, 403, 403], name


async def test_a_group_does_not_change_hands(door):
    taken = {**GROUP, "id": "1", "managingEntity": {"reference": "Organization/o"}}
    assert (await door.ask("his", "PUT", "Group/1", taken)).status_code == 403
    assert (await door.ask("other", "PUT", "Group/1", taken)).status_code == 405


async def test_members_of_a_group_are_read_by_their_own_rules(door):
    for url in ("Group?_id=1&_include=Group:member", "Group?member=Patient/a"):
        assert await door.ids("his", url) == ["Group/1"]
    assert (await door.get("his", "Group?member:Patient._id=a")).json().get("entry") is None
