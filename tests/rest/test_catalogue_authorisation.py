"""The citizen authorises an app per purpose; what it may do is requested ∩ convention ∩ consent.

With real tokens: the app is the client that listing has registered, and goes through the consent
page of the authorization server.
"""

from __future__ import annotations

import json
import time

import pytest
from catalogue_people import (
    AGREED,
    CALLBACK,
    CONVENTION,
    VACCINES,
    authorisation,
    citizen,
    convention,
    listed,
    operator,
    part,
    publisher,
    referencing,
    token,
)
from smart_browser import CAMILLE, EC, LEA, App

from fhirserver.auth.client import Client
from fhirserver.model.dates import instant

JSON = {"content-type": "application/fhir+json"}
IMMUNIZATION = {
    "resourceType": "Immunization",
    "id": "imm-camille",
    "status": "completed",
    "vaccineCode": {"text": "ROR"},
    "patient": {"reference": CAMILLE},
    "occurrenceDateTime": "1990-01-01",
}
WEIGHT = {
    "resourceType": "Observation",
    "id": "weight-camille",
    "status": "final",
    "category": [
        {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                    "code": "vital-signs",
                }
            ]
        }
    ],
    "code": {"text": "poids"},
    "subject": {"reference": CAMILLE},
}
TWO = {"prevention": VACCINES, "care": ("patient/Observation.rs", "patient/Patient.r")}
TOLD = ("vaccination", "measures", "identity")
ASKED = (
    "launch/patient openid fhirUser offline_access patient/Immunization.rs "
    "patient/ImmunizationRecommendation.rs patient/Observation.rs patient/Patient.r"
)


async def app_of(by):
    """The app as listing has registered it."""
    client = await by.door.clients.get(by.ids["Device"])
    assert client is not None
    return App(by.door, client, "none")


async def agree(by, secret, **more):
    """The citizen's Consent; the answer."""
    body = authorisation(by.device, **more)
    return await by.door.fhir(secret, "Consent", "POST", json=body, headers=JSON)


async def put(by, secret, resource):
    path = f"{resource['resourceType']}/{resource['id']}"
    return await by.door.fhir(secret, path, "PUT", json=resource, headers=JSON)


async def two_purposes(door):
    by, op = await listed(door, purposes=TWO, exchange=TOLD)
    await door.put(IMMUNIZATION, WEIGHT)
    return by, op, await citizen(door)


async def reached(door, secret):
    """The status of one read of each kind."""
    paths = {
        "vaccines": "Immunization/imm-camille",
        "measures": "Observation/weight-camille",
        "patient": "Patient/camille-lefevre",
    }
    return {name: (await door.fhir(secret, path)).status_code for name, path in paths.items()}


async def test_listing_registers_the_client_and_its_tokens_are_narrowed_by_consent(smart_on_both):
    door = smart_on_both
    by, _, camille = await two_purposes(door)
    app = await app_of(by)
    assert app.client.device == by.device
    assert app.client.redirect_uris == (CALLBACK,)
    tokens = await app.tokens(ASKED)
    assert set(tokens["scope"].split()) == set(ASKED.split())
    secret = tokens["access_token"]
    refused = dict.fromkeys(("vaccines", "measures", "patient"), 403)
    assert await reached(door, secret) == refused
    assert (await agree(by, camille, purposes=["prevention"])).status_code == 201
    assert await reached(door, secret) == refused | {"vaccines": 200}
    answer = await door.fhir(secret, "Immunization?patient=camille-lefevre")
    assert [e["resource"]["id"] for e in answer.json()["entry"]] == ["imm-camille"]
    assert (await door.fhir(secret, "Observation")).status_code == 403
    assert (await agree(by, camille, purposes=["care"])).status_code == 201
    assert await reached(door, secret) == dict.fromkeys(refused, 200)
    body = IMMUNIZATION | {"id": "x"}
    answer = await door.fhir(secret, "Immunization", "POST", json=body, headers=JSON)
    assert answer.status_code == 403


async def test_a_consent_may_be_for_classes_of_data(smart):
    by, _, camille = await two_purposes(smart)
    app = await app_of(by)
    secret = (await app.tokens(ASKED))["access_token"]
    assert (await agree(by, camille, classes=["Observation"])).status_code == 201
    assert await reached(smart, secret) == {"vaccines": 403, "measures": 200, "patient": 200}


async def test_withdrawal_ends_access_on_the_next_request(smart_on_both):
    door = smart_on_both
    by, _, camille = await two_purposes(door)
    app = await app_of(by)
    tokens = await app.tokens(ASKED)
    secret = tokens["access_token"]
    first = (await agree(by, camille, purposes=["prevention"])).json()
    second = (await agree(by, camille, purposes=["care"])).json()
    assert set((await reached(door, secret)).values()) == {200}
    assert (await put(by, camille, first | {"status": "inactive"})).status_code == 200
    assert await reached(door, secret) == {"vaccines": 403, "measures": 200, "patient": 200}
    assert (await put(by, camille, second | {"status": "inactive"})).status_code == 200
    assert set((await reached(door, secret)).values()) == {401}
    assert (await app.refresh(tokens["refresh_token"])).status_code == 400
    assert (await door.fhir(camille, "Immunization/imm-camille")).status_code == 200


async def test_a_deleted_consent_is_a_withdrawn_one(smart):
    by, _, camille = await two_purposes(smart)
    secret = (await (await app_of(by)).tokens(ASKED))["access_token"]
    made = (await agree(by, camille)).json()
    assert set((await reached(smart, secret)).values()) == {200}
    answer = await smart.fhir(camille, f"Consent/{made['id']}", "DELETE")
    assert answer.status_code in (200, 204)
    assert set((await reached(smart, secret)).values()) == {401}


@pytest.mark.parametrize("status", ["SUSPENDUE", "HORS_LIGNE", "DEREFERENCEE"])
async def test_an_app_that_leaves_the_list_loses_its_tokens_at_once(smart_on_both, status):
    door = smart_on_both
    by, op, camille = await two_purposes(door)
    app = await app_of(by)
    tokens = await app.tokens(ASKED)
    secret = tokens["access_token"]
    assert (await agree(by, camille)).status_code == 201
    assert set((await reached(door, secret)).values()) == {200}
    assert (await op.place(by.device, status, "motif")).status_code == 200
    assert set((await reached(door, secret)).values()) == {401}
    assert (await app.refresh(tokens["refresh_token"])).status_code in (400, 401)
    assert await door.clients.get(app.id) is None
    answer = await agree(by, camille, purposes=["care"])
    assert answer.status_code == 422
    assert "not in the catalogue now" in answer.text
    if status != "DEREFERENCEE":
        assert (await op.place(by.device, "EN_LIGNE")).status_code == 200
        assert set((await reached(door, secret)).values()) == {401}
        again = (await app.tokens(ASKED))["access_token"]
        assert set((await reached(door, again)).values()) == {200}


async def test_even_a_token_that_was_left_over_opens_nothing_of_an_unlisted_app(smart_on_both):
    door = smart_on_both
    by, op, camille = await two_purposes(door)
    assert (await agree(by, camille)).status_code == 201
    assert (await op.place(by.device, "SUSPENDUE", "motif")).status_code == 200
    left = await citizen(door, client=by.ids["Device"], device=by.device, scopes=ASKED)
    assert set((await reached(door, left)).values()) == {403}
    gone = await citizen(door, client="x", device="Device/none", scopes="patient/*.cruds")
    assert set((await reached(door, gone)).values()) == {403}


async def change_convention(by, op, **purposes):
    device = await by.read(by.device)
    new = device | {"extension": [referencing("EN_LIGNE"), convention(**purposes)]}
    answer = await op.put(new)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_old_consent_does_not_give_what_the_convention_added(smart_on_both):
    door = smart_on_both
    by, op = await listed(door, exchange=TOLD)
    await door.put(IMMUNIZATION, WEIGHT)
    camille = await citizen(door)
    assert (await agree(by, camille)).status_code == 201
    consent = (await door.fhir(camille, "Consent?actor=" + by.device)).json()["entry"][0][
        "resource"
    ]
    assert part(consent, AGREED) == 1
    device = await change_convention(by, op, **TWO)
    assert part(device, CONVENTION, "version") == 2
    app = await app_of(by)
    assert "patient/Observation.rs" in app.client.scopes
    secret = (await app.tokens(ASKED))["access_token"]
    old = {"vaccines": 200, "measures": 403, "patient": 403}
    assert await reached(door, secret) == old
    # Writing it anew in the same words is no agreement to what is new.
    unsaid = {k: v for k, v in consent.items() if k != "extension"} | {"dateTime": "2026-11-20"}
    assert (await put(by, camille, unsaid)).status_code == 200
    assert await reached(door, secret) == old
    beyond = authorisation(by.device, version=3) | {"id": consent["id"]}
    answer = await put(by, camille, beyond)
    assert answer.status_code == 422
    assert "at version 2" in answer.text
    agreed = authorisation(by.device, version=2) | {"id": consent["id"]}
    assert (await put(by, camille, agreed)).status_code == 200
    assert await reached(door, secret) == dict.fromkeys(old, 200)


async def test_what_the_convention_takes_away_ends_at_once(smart):
    by, op, camille = await two_purposes(smart)
    secret = (await (await app_of(by)).tokens(ASKED))["access_token"]
    assert (await agree(by, camille)).status_code == 201
    assert set((await reached(smart, secret)).values()) == {200}
    await change_convention(by, op, prevention=VACCINES)
    assert await reached(smart, secret) == {"vaccines": 200, "measures": 403, "patient": 403}


async def test_a_scope_that_is_widened_stays_narrow_until_agreed(smart):
    by, op = await listed(smart, purposes={"care": ["patient/Observation.r"]}, exchange=TOLD)
    await smart.put(WEIGHT)
    camille = await citizen(smart)
    assert (await agree(by, camille)).status_code == 201
    await change_convention(by, op, care=["patient/Observation.cruds"])
    asked = "launch/patient patient/Observation.cruds"
    secret = (await (await app_of(by)).tokens(asked))["access_token"]
    assert (await smart.fhir(secret, "Observation/weight-camille")).status_code == 200
    assert (await smart.fhir(secret, "Observation")).status_code == 403
    body = {k: v for k, v in WEIGHT.items() if k != "id"}
    answer = await smart.fhir(secret, "Observation", "POST", json=body, headers=JSON)
    assert answer.status_code == 403
    assert (await agree(by, camille, version=2)).status_code == 201
    answer = await smart.fhir(secret, "Observation", "POST", json=body, headers=JSON)
    assert answer.status_code == 201, answer.text


async def test_a_constraint_of_the_convention_binds_at_each_call(smart):
    category = "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
    scope = f"patient/Observation.rs?category={category}"
    by, _ = await listed(smart, purposes={"care": [scope]}, exchange=("measures",))
    laboratory = WEIGHT | {"id": "lab-camille", "category": [{"text": "laboratory"}]}
    await smart.put(WEIGHT, laboratory)
    camille = await citizen(smart)
    assert (await agree(by, camille)).status_code == 201
    left = await citizen(
        smart, client=by.ids["Device"], device=by.device, scopes="patient/Observation.rs"
    )
    assert (await smart.fhir(left, "Observation/weight-camille")).status_code == 200
    assert (await smart.fhir(left, "Observation/lab-camille")).status_code == 404
    found = (await smart.fhir(left, "Observation")).json()["entry"]
    assert [e["resource"]["id"] for e in found] == ["weight-camille"]


@pytest.mark.parametrize(
    ("more", "said", "place"),
    [
        ({"purposes": ["diagnosis"]}, "no purpose diagnosis", "Consent.provision.purpose"),
        ({"classes": ["Condition"]}, "gives no Condition", "Consent.provision.class"),
        (
            {"purposes": ["prevention"], "classes": ["Observation"]},
            "gives no Observation",
            "Consent.provision.class",
        ),
        ({"version": 7}, "at version 1", "Consent.extension"),
    ],
)
async def test_a_consent_that_the_convention_does_not_know_is_refused(smart, more, said, place):
    by, _, camille = await two_purposes(smart)
    answer = await agree(by, camille, **more)
    assert answer.status_code == 422
    (issue,) = answer.json()["issue"]
    assert said in issue["diagnostics"]
    assert issue["expression"][0].startswith(place)


async def test_an_authorisation_without_a_time_is_given_at_the_moment_of_the_write(smart):
    by, _, camille = await two_purposes(smart)
    body = authorisation(by.device, purposes=["prevention"])
    del body["dateTime"]
    before = time.time_ns() // 1_000_000 * 1000
    answer = await smart.fhir(camille, "Consent", "POST", json=body, headers=JSON)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert instant(before) <= made["dateTime"] <= instant(time.time_ns() // 1000)
    assert list(made).index("dateTime") == list(made).index("performer") - 1
    secret = (await (await app_of(by)).tokens(ASKED))["access_token"]
    assert (await reached(smart, secret))["vaccines"] == 200  # Camille is of age


@pytest.mark.parametrize(
    ("element", "code"), [("category", "ICOL"), ("category", "INFA"), ("scope", "patient-privacy")]
)
async def test_a_consent_that_would_open_nothing_is_refused(smart, element, code):
    by, _, camille = await two_purposes(smart)
    system = {"ICOL": "http://terminology.hl7.org/CodeSystem/v3-ActCode"}.get(code, "http://e.org")
    concept = {"coding": [{"system": system, "code": code}]}
    body = authorisation(by.device) | {element: [concept] if element == "category" else concept}
    answer = await smart.fhir(camille, "Consent", "POST", json=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert answer.json()["issue"][0]["expression"] == [f"Consent.{element}"]


async def test_apps_and_others_do_not_authorise_apps(smart):
    by, _, camille = await two_purposes(smart)
    assert (await agree(by, camille, purposes=["prevention"])).status_code == 201
    app = await citizen(smart, client=by.ids["Device"], device=by.device, scopes="patient/*.cruds")
    assert (await agree(by, app, purposes=["care"])).status_code == 403
    doctor = await token(
        smart, "professional", fhir_user="Practitioner/claire-fontaine", scopes="user/*.cruds"
    )
    assert (await agree(by, doctor, purposes=["care"])).status_code == 403
    assert (await agree(by, by.token, purposes=["care"])).status_code == 403


async def test_a_parent_authorises_an_app_for_a_child(smart):
    by, _ = await listed(smart)
    lea = {"patient": "lea-lefevre", "fhir_user": "RelatedPerson/lea-mere"}
    mother = await token(smart, "proxy", scopes="patient/*.cruds", **lea)
    await smart.put(IMMUNIZATION | {"id": "imm-lea", "patient": {"reference": LEA}})
    app = {"client": by.ids["Device"], "device": by.device, "scopes": "patient/Immunization.rs"}
    secret = await token(smart, "proxy", **lea, **app)
    assert (await smart.fhir(secret, "Immunization/imm-lea")).status_code == 403
    answer = await agree(by, mother, patient="lea-lefevre")
    assert answer.status_code == 201, answer.text
    assert (await smart.fhir(secret, "Immunization/imm-lea")).status_code == 200
    own = await citizen(smart, **app)
    await smart.put(IMMUNIZATION)
    assert (await smart.fhir(own, "Immunization/imm-camille")).status_code == 403


async def test_an_app_may_show_who_it_is_by_its_keys(smart):
    by, op = await publisher(smart), await operator(smart)
    await by.prepare()
    keys = json.dumps({"keys": [EC.as_dict(private=False)]})
    task = await by.apply(inputs={"redirect-uri": CALLBACK, "jwks": keys})
    assert (await op.review(f"Task/{task['id']}")).status_code == 200
    assert (await op.place(by.device, "EN_LIGNE")).status_code == 200
    client = await smart.clients.get(by.ids["Device"])
    assert client.kind == "confidential"
    assert client.method == "private_key_jwt"
    app = App(smart, client, "ES384")
    tokens = await app.tokens("launch/patient patient/Immunization.rs")
    assert tokens["patient"] == "camille-lefevre"


async def test_a_client_of_the_operators_is_not_taken_over(smart):
    """Whatever id the Device has, a client that the operator registered stays as it is."""
    await smart.clients.add(Client("carnet", "Carnet", "public", "patient/*.rs", (CALLBACK,)))
    await smart.put(
        {
            "resourceType": "Device",
            "id": "carnet",
            "extension": [referencing("EN_LIGNE"), convention(care=["patient/Observation.rs"])],
        },
        {
            "resourceType": "Task",
            "id": "carnet-application",
            "status": "completed",
            "intent": "proposal",
            "code": {
                "coding": [
                    {
                        "system": "http://fhirserver.example/CodeSystem/catalogue-task",
                        "code": "application",
                    }
                ]
            },
            "focus": {"reference": "Device/carnet"},
            "requester": {"reference": "Organization/editeur-carnet"},
            "input": [
                {
                    "type": {
                        "coding": [
                            {
                                "system": "http://fhirserver.example/CodeSystem/catalogue-input",
                                "code": "redirect-uri",
                            }
                        ]
                    },
                    "valueUrl": "https://thief.example/retour",
                }
            ],
        },
    )
    from fhirserver.auth.catalogue_clients import CatalogueClients
    from fhirserver.auth.server import microseconds
    from fhirserver.catalogue.sync import sync

    registrar = CatalogueClients(smart.store, microseconds)
    await sync(smart.context, "carnet", registrar)
    kept = await smart.clients.get("carnet")
    assert kept.redirect_uris == (CALLBACK,)
    await registrar.stop("carnet")
    assert await smart.clients.get("carnet") is not None
