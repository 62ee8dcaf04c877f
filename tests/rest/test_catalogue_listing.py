"""From application to listing, suspension and removal, over HTTP with tokens."""

from __future__ import annotations

import pytest
from catalogue_people import (
    IDENTIFIER,
    REFERENCING,
    anyone,
    citizen,
    listed,
    operator,
    part,
    publisher,
    status_of,
    token,
)
from smart_browser import CAMILLE


async def names(door, path):
    answer = await anyone(door, path)
    assert answer.status_code == 200, answer.text
    return sorted(e["resource"]["name"] for e in answer.json().get("entry", []))


async def test_an_app_is_applied_for_reviewed_listed_and_found_by_anybody(smart_on_both):
    door = smart_on_both
    by, op = await publisher(door), await operator(door)
    await by.prepare(region="76", theme="vaccination")
    task = await by.apply()
    assert {"authoredOn", "lastModified"} <= task.keys()
    assert await names(door, "HealthcareService") == []
    answer = await op.place(by.device, "EN_LIGNE")
    assert answer.status_code == 422
    assert "No application" in answer.text
    answer = await op.review(f"Task/{task['id']}")
    assert answer.status_code == 200, answer.text
    answer = await op.place(by.device, "EN_LIGNE")
    assert answer.status_code == 200, answer.text
    device = answer.json()
    assert device["status"] == "active"
    period = part(device, REFERENCING, "period")
    assert int(period["end"][:4]) == int(period["start"][:4]) + 1
    region = "region=76&service-category=http://fhirserver.example/CodeSystem/catalogue-theme"
    for query in (
        "",
        "?name=carnet",
        f"?{region}|vaccination",
        "?characteristic=exchange",
        "?characteristic=vaccination",
        "?characteristic:not=medical-device",
        "?organization.name=carnet",
        "?catalogue-entry:Device.device-name=carnet",
    ):
        assert await names(door, f"HealthcareService{query}") == ["Carnet de vaccins"], query
    for query in ("?name=autre", "?region=11", "?characteristic=medical-device", "?region=7"):
        assert await names(door, f"HealthcareService{query}") == [], query
    for reference in (
        by.device,
        f"DeviceDefinition/{by.ids['DeviceDefinition']}",
        f"HealthcareService/{by.ids['HealthcareService']}",
        by.organization,
    ):
        answer = await anyone(door, reference)
        assert answer.status_code == 200, (reference, answer.text)
    assert (await anyone(door, "Organization/ch-garonne")).status_code == 404


async def test_what_is_not_listed_nobody_else_sees(smart_on_both):
    door = smart_on_both
    by = await publisher(door)
    await by.prepare()
    task = await by.apply()
    own = [
        by.device,
        f"HealthcareService/{by.ids['HealthcareService']}",
        f"DeviceDefinition/{by.ids['DeviceDefinition']}",
    ]
    other = await publisher(door, "editeur-coeur")
    camille = await citizen(door)
    for reference in own:
        assert (await by.ask("GET", reference)).status_code == 200
        assert (await other.ask("GET", reference)).status_code == 404
        assert (await anyone(door, reference)).status_code == 404
        assert (await door.fhir(camille, reference)).status_code in (403, 404)
    everything = await token(
        door, "professional", fhir_user="Practitioner/claire-fontaine", scopes="user/*.rs"
    )
    for reference in own:
        assert (await door.fhir(everything, reference)).status_code == 404
        found = await door.fhir(everything, reference.partition("/")[0])
        assert by.ids[reference.partition("/")[0]] not in found.text
    assert (await by.ask("GET", f"Task/{task['id']}")).status_code == 200
    assert (await other.ask("GET", f"Task/{task['id']}")).status_code == 404
    assert (await anyone(door, f"Task/{task['id']}")).status_code == 401
    assert (await door.fhir(camille, f"Task/{task['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "Task"), ("GET", "Patient"), ("GET", ""), ("GET", "Device/$everything"),
        ("GET", "Device/_history"), ("GET", "HealthcareService/x/_history"), ("POST", "Device"),
        ("GET", "Consent"), ("PUT", "Device/x"), ("DELETE", "Device/x"), ("GET", "_history"),
        ("GET", "Device/x/_history/1"), ("GET", "Location"), ("POST", "Patient/_search"),
    ],
)  # fmt: skip
async def test_without_a_token_there_is_the_public_list_alone(smart, method, path):
    answer = await anyone(smart, path, method)
    assert answer.status_code == 401, answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_the_public_list_reaches_nothing_beside_it(smart):
    by, _ = await listed(smart)
    await smart.put(
        {"resourceType": "Device", "id": "of-camille", "patient": {"reference": CAMILLE}}
    )
    assert (await anyone(smart, "Device/of-camille")).status_code == 404
    answer = await anyone(smart, "Device")
    assert [e["resource"]["id"] for e in answer.json()["entry"]] == [by.ids["Device"]]
    assert answer.headers["cache-control"] == "public, max-age=60"
    for query in (
        "Device?patient.name=camille",
        "Device?_has:Observation:device:status=final",
        "Organization?_has:Patient:organization:name=camille",
    ):
        assert (await anyone(smart, query)).status_code == 403, query
    answer = await anyone(
        smart, f"Device?_id={by.ids['Device']}&_revinclude=*&_include=Device:organization"
    )
    types = {e["resource"]["resourceType"] for e in answer.json()["entry"]}
    assert types <= {"Device", "Organization", "HealthcareService"}
    assert "Task" not in types


async def test_the_list_has_pages_counts_and_a_page_for_people(smart):
    for number in range(3):
        await listed(smart, name=("editeur-carnet", "editeur-coeur", "editeur-mer")[number])
    answer = await anyone(smart, "HealthcareService?_count=2&_sort=name&_total=accurate")
    first = answer.json()
    assert first["total"] == 3
    assert len(first["entry"]) == 2
    (following,) = [link["url"] for link in first["link"] if link["relation"] == "next"]
    answer = await smart.http.get(following)
    assert len(answer.json()["entry"]) == 1
    answer = await anyone(smart, "HealthcareService?_summary=count")
    assert answer.json()["total"] == 3
    answer = await anyone(smart, "HealthcareService/_search", "POST", data={"name": "carnet"})
    assert answer.status_code == 200
    assert len(answer.json()["entry"]) == 3
    answer = await anyone(smart, "HealthcareService", headers={"accept": "text/html"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "Carnet de vaccins" in answer.text


async def test_suspended_and_removed_apps_leave_the_list(smart_on_both):
    door = smart_on_both
    by, op = await listed(door)
    answer = await op.place(by.device, "SUSPENDUE")
    assert answer.status_code == 422
    assert "reason" in answer.text
    answer = await op.place(by.device, "SUSPENDUE", "Incident de sécurité")
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "inactive"
    assert await names(door, "HealthcareService") == []
    assert (await anyone(door, by.device)).status_code == 404
    device = await by.read(by.device)
    assert part(device, REFERENCING, "reason") == "Incident de sécurité"
    answer = await op.place(by.device, "EN_LIGNE")
    assert answer.status_code == 200, answer.text
    assert await names(door, "HealthcareService") == ["Carnet de vaccins"]
    answer = await op.place(by.device, "DEREFERENCEE", "Fin de service")
    assert answer.status_code == 200, answer.text
    assert await names(door, "HealthcareService") == []
    answer = await op.place(by.device, "EN_LIGNE")
    assert answer.status_code == 422
    assert "After DEREFERENCEE comes PRESERIE" in answer.text
    answer = await op.place(by.device, "PRESERIE")
    assert answer.status_code == 200
    answer = await op.place(by.device, "EN_LIGNE")
    assert answer.status_code == 422
    assert "No application" in answer.text
    task = await by.apply()
    assert (await op.review(f"Task/{task['id']}")).status_code == 200
    answer = await op.place(by.device, "EN_LIGNE")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("who", "before", "after", "said"),
    [
        ("by", "PRESERIE", "EN_LIGNE", "the operator alone"),
        ("by", "PRESERIE", "SUSPENDUE", "comes EN_LIGNE, DEREFERENCEE"),
        ("by", "EN_LIGNE", "SUSPENDUE", "the operator alone"),
        ("by", "EN_LIGNE", "HORS_LIGNE", ""),
        ("by", "EN_LIGNE", "DEREFERENCEE", ""),
        ("by", "SUSPENDUE", "EN_LIGNE", "the operator alone"),
        ("by", "EN_LIGNE", "PRESERIE", "comes HORS_LIGNE"),
        ("op", "EN_LIGNE", "PRESERIE", "comes HORS_LIGNE"),
        ("op", "EN_LIGNE", "EN LIGNE", "is none of"),
    ],
)
async def test_a_status_follows_by_whom_it_may(smart, who, before, after, said):
    if before == "PRESERIE":
        by, op = await publisher(smart), await operator(smart)
        await by.prepare()
    else:
        by, op = await listed(smart)
        if before != "EN_LIGNE":
            assert (await op.place(by.device, before, "motif")).status_code == 200
    asking = by if who == "by" else op
    from catalogue_people import Operator

    answer = await Operator.place(asking, by.device, after, "motif")
    if said:
        assert answer.status_code == 422, answer.text
        issue = answer.json()["issue"][0]
        assert said in issue["diagnostics"]
        assert "status" in issue["expression"][0]
    else:
        assert answer.status_code == 200, answer.text
        assert status_of(answer.json()) == after


async def test_a_publisher_writes_its_own_and_nothing_else(smart_on_both):
    door = smart_on_both
    by, _ = await listed(door)
    thief = await publisher(door, "editeur-coeur")
    assert (await thief.ask("PUT", by.device, await by.read(by.device))).status_code in (403, 404)
    foreign = by.app() | {"owner": {"reference": "Organization/editeur-carnet"}}
    assert (await thief.ask("POST", "Device", foreign)).status_code == 403
    described = by.described() | {"providedBy": {"reference": thief.organization}}
    answer = await thief.ask("POST", "HealthcareService", described)
    assert answer.status_code == 422
    assert "another publisher's" in answer.text
    await thief.create(thief.model())
    foreign = thief.app() | {
        "definition": {"reference": f"DeviceDefinition/{by.ids['DeviceDefinition']}"}
    }
    answer = await thief.ask("POST", "Device", foreign)
    assert answer.status_code == 422, answer.text
    assert answer.json()["issue"][0]["expression"] == ["Device.definition"]
    for path in ("Patient", "Observation", "Consent", "AuditEvent", "Practitioner"):
        assert (await by.ask("GET", path)).status_code == 403, path
    plain = {"resourceType": "Device", "owner": {"reference": by.organization}}
    assert (await by.ask("POST", "Device", plain)).status_code == 403
    assert (await by.ask("DELETE", by.device)).status_code == 403
    camille = await citizen(door, scopes="patient/*.cruds user/*.cruds")
    headers = {"content-type": "application/fhir+json"}
    answer = await door.fhir(camille, "Device", "POST", json=by.app(), headers=headers)
    assert answer.status_code == 403


async def test_the_operator_reviews_and_sees_no_health_data(smart):
    op = await operator(smart)
    for path in ("Patient", "Observation", "Consent", "DocumentReference"):
        assert (await op.ask("GET", path)).status_code == 403, path
    own_task = {"resourceType": "Task", "status": "requested", "intent": "order"}
    await smart.put(own_task | {"id": "t1", "for": {"reference": "Patient/camille-lefevre"}})
    assert (await op.ask("GET", "Task/t1")).status_code == 404


async def test_reviewed_parts_stay_as_they_were(smart):
    by, op = await listed(smart)
    service = await by.read(f"HealthcareService/{by.ids['HealthcareService']}")
    assert (await by.put(service | {"comment": "Nouveau texte"})).status_code == 200
    answer = await by.put(service | {"name": "Autre nom"})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["HealthcareService.name"]
    device = await by.read(by.device)
    answer = await by.put(device | {"deviceName": [{"name": "Z", "type": "other"}]})
    assert answer.status_code == 422
    assert (await by.put(device | {"url": "https://carnet.example"})).status_code == 200
    answer = await op.put(service | {"name": "Nom corrigé"})
    assert answer.status_code == 200, answer.text
    second = by.described()
    answer = await by.ask("POST", "HealthcareService", second)
    assert answer.status_code == 422
    assert "describes this app already" in answer.text


async def test_too_many_requests_without_a_token_are_told_to_wait(tmp_path):
    import smart_browser

    door, lifespan = await smart_browser.open_door(
        f"sqlite:///{tmp_path}/rate.db", public_requests_per_minute=3
    )
    try:
        answers = [await anyone(door, "HealthcareService") for _ in range(4)]
        assert {a.status_code for a in answers[:3]} == {200}
        if answers[3].status_code == 200:  # a minute began in between
            answers += [await anyone(door, "HealthcareService") for _ in range(4)]
        assert answers[-1].status_code == 429
        assert answers[-1].headers["retry-after"] == "60"
        assert answers[-1].json()["issue"][0]["code"] == "throttled"
        assert (await door.fhir(await citizen(door), "Patient/camille-lefevre")).status_code == 200
    finally:
        await smart_browser.close_door(door, lifespan)


async def test_an_endpoint_shows_with_the_app_it_belongs_to(smart):
    endpoint = {
        "resourceType": "Endpoint",
        "identifier": [{"system": IDENTIFIER, "value": "x"}],
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "hl7-fhir-rest",
        },
        "payloadType": [{"text": "any"}],
        "address": "https://carnet.example/fhir",
    }
    by, op = await listed(smart)
    mine = await by.create(endpoint | {"managingOrganization": {"reference": by.organization}})
    path = f"Endpoint/{mine['id']}"
    assert (await anyone(smart, path)).status_code == 404
    other = await publisher(smart, "editeur-coeur")
    foreign = endpoint | {"managingOrganization": {"reference": by.organization}}
    assert (await other.ask("POST", "Endpoint", foreign)).status_code == 403
    theirs = await other.create(
        endpoint | {"managingOrganization": {"reference": other.organization}}
    )
    service = await by.read(f"HealthcareService/{by.ids['HealthcareService']}")
    answer = await by.put(service | {"endpoint": [{"reference": f"Endpoint/{theirs['id']}"}]})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["HealthcareService.endpoint[0]"]
    answer = await by.put(service | {"endpoint": [{"reference": path}]})
    assert answer.status_code == 200, answer.text
    answer = await anyone(smart, f"{path}")
    assert answer.json()["address"] == "https://carnet.example/fhir"
    answer = await anyone(smart, "HealthcareService?_include=HealthcareService:endpoint")
    assert len(answer.json()["entry"]) == 2
    assert (await op.place(by.device, "SUSPENDUE", "motif")).status_code == 200
    assert (await anyone(smart, path)).status_code == 404
