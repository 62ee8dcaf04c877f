"""What a citizen is shown of the apps: which are authorised, for what, and what each has done."""

from __future__ import annotations

from catalogue_people import (
    CONVENTION,
    REFERENCING,
    authorisation,
    citizen,
    convention,
    listed,
    part,
    referencing,
    token,
)
from messaging_people import acting_for
from smart_browser import CAMILLE, LEA, App

JSON = {"content-type": "application/fhir+json"}
VACCINE = {
    "resourceType": "Immunization",
    "id": "imm-camille",
    "status": "completed",
    "vaccineCode": {"text": "ROR"},
    "patient": {"reference": CAMILLE},
    "occurrenceDateTime": "1990-01-01",
}
PURPOSES = {"prevention": ["patient/Immunization.rs"], "care": ["patient/Observation.rs"]}


async def agree(by, secret, **more):
    body = authorisation(by.device, **more)
    answer = await by.door.fhir(secret, "Consent", "POST", json=body, headers=JSON)
    assert answer.status_code == 201, answer.text
    return answer.json()


def values(parameter):
    """The parts of a parameter by name: one value, or a list of further parameters."""
    found = {}
    for each in parameter["part"]:
        value = next((v for k, v in each.items() if k.startswith("value")), each)
        found.setdefault(each["name"], []).append(value)
    return found


async def apps(door, secret, id="camille-lefevre"):
    answer = await door.fhir(secret, f"Patient/{id}/$apps")
    assert answer.status_code == 200, answer.text
    return [values(p) for p in answer.json().get("parameter", [])]


async def test_the_citizen_sees_apps_purposes_and_what_is_to_be_approved_anew(smart_on_both):
    door = smart_on_both
    by, op = await listed(door, purposes=PURPOSES, exchange=("vaccination", "measures"))
    camille = await citizen(door)
    assert await apps(door, camille) == []
    made = await agree(by, camille, purposes=["prevention"])
    (app,) = await apps(door, camille)
    assert app["device"] == [{"reference": by.device, "display": "Carnet de vaccins"}]
    assert app["status"] == ["EN_LIGNE"]
    assert app["approvalNeeded"] == [False]
    prevention, care = map(values, app["purpose"])
    assert prevention["authorised"] == [True]
    assert prevention["since"] == ["2026-11-02"]
    assert prevention["consent"] == [{"reference": f"Consent/{made['id']}"}]
    assert prevention["scope"] == ["patient/Immunization.rs"]
    assert care["authorised"] == [False]
    assert "scope" not in care
    device = await by.read(by.device)
    more = PURPOSES | {"prevention": ["patient/Immunization.rs", "patient/Observation.rs"]}
    widened = [referencing("EN_LIGNE"), convention(**more)]
    assert (await op.put(device | {"extension": widened})).status_code == 200
    (app,) = await apps(door, camille)
    assert app["approvalNeeded"] == [True]
    assert app["conventionVersion"] == [2]
    prevention, _ = map(values, app["purpose"])
    assert prevention["agreedVersion"] == [1]
    assert prevention["notAgreed"] == ["patient/Observation.rs"]
    await door.fhir(
        camille, f"Consent/{made['id']}", "PUT", json=made | {"status": "inactive"}, headers=JSON
    )
    assert await apps(door, camille) == []


async def test_apps_and_activity_are_their_own_citizens_alone(smart):
    by, _ = await listed(smart)
    camille, hugo = await citizen(smart), await citizen(smart, "hugo-lefevre")
    await agree(by, camille)
    app = await citizen(smart, client=by.ids["Device"], device=by.device)
    for secret, statuses in (
        (hugo, (404,)),
        (app, (403,)),
        (by.token, (403, 404)),
        (
            await token(smart, "professional", fhir_user="Practitioner/x", scopes="user/*.rs"),
            (404,),
        ),
    ):
        for path in ("$apps", f"$app-activity?app={by.device}"):
            answer = await smart.fhir(secret, f"Patient/camille-lefevre/{path}")
            assert answer.status_code in statuses, (path, answer.text)


async def test_a_carer_reads_and_yet_sees_no_apps(smart):
    carer = await acting_for(smart, "Patient/sophie-martin", "Geneviève")
    whose = (await carer.get("Patient")).json()["entry"][0]["resource"]["id"]
    for path in ("$apps", "$app-activity?app=Device/x"):
        assert (await carer.get(f"Patient/{whose}/{path}")).status_code == 403, path
    mother = await acting_for(smart, CAMILLE, "Léa")
    for path in ("$apps", "$app-activity?app=Device/x"):
        assert (await mother.get(f"{LEA}/{path}")).status_code == 200, path


async def test_the_citizen_sees_what_each_app_did(smart_on_both):
    door = smart_on_both
    by, _ = await listed(door, purposes=PURPOSES, exchange=("vaccination", "measures"))
    await door.put(VACCINE)
    camille = await citizen(door)
    await agree(by, camille, purposes=["prevention"])
    app = App(door, await door.clients.get(by.ids["Device"]), "none")
    secret = (await app.tokens("launch/patient patient/Immunization.rs"))["access_token"]
    assert (await door.fhir(secret, "Immunization/imm-camille")).status_code == 200
    assert (await door.fhir(secret, "Immunization?patient=camille-lefevre")).status_code == 200
    path = f"Patient/camille-lefevre/$app-activity?app={by.device}"
    answer = await door.fhir(camille, path)
    assert answer.status_code == 200, answer.text
    events = [e["resource"] for e in answer.json()["entry"]]
    assert {e["resourceType"] for e in events} == {"AuditEvent"}
    did = sorted(event["subtype"][0]["code"] for event in events)
    # What it read, and that the citizen signed in for it, allowed it and it got its token.
    assert did == ["110122", "ITI-71", "authorize", "read", "search"]
    assert all(any(by.ids["Device"] in str(a["who"]) for a in e["agent"]) for e in events)
    page = (await door.fhir(camille, path + "&_count=1")).json()
    assert len(page["entry"]) == 1
    (following,) = [link["url"] for link in page["link"] if link["relation"] == "next"]
    assert "/$app-activity?" in following
    second = (await door.http.get(following, headers={"authorization": f"Bearer {camille}"})).json()
    assert second["entry"][0]["resource"]["id"] != page["entry"][0]["resource"]["id"]
    answer = await door.fhir(camille, path + "&start=2099-01-01")
    assert answer.json().get("entry", []) == []
    for bad in ("", "?app=Patient/x", "?app=Device/", f"?app={by.device}&zzz=1"):
        answer = await door.fhir(camille, f"Patient/camille-lefevre/$app-activity{bad}")
        assert answer.status_code == 400, bad


async def test_a_listed_app_shows_its_convention_to_who_decides(smart):
    by, _ = await listed(smart, purposes=PURPOSES, exchange=("vaccination", "measures"))
    camille = await citizen(smart)
    answer = await smart.fhir(camille, by.device)
    assert answer.status_code == 200
    assert part(answer.json(), REFERENCING, "status") == "EN_LIGNE"
    assert part(answer.json(), CONVENTION, "version") == 1
