"""One space for one INS, whoever writes at the same time; wrong numbers refused with the place."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
from catalogue_people import citizen
from over_http import FHIR_JSON, outcome_of
from smart_browser import CAMILLE, LEA
from space_people import new_ins

NIR = "urn:oid:1.2.250.1.213.1.4.8"
TEST = "urn:oid:1.2.250.1.213.1.4.10"


def person(system, value, **more):
    identifier = {"system": system, "value": value}
    return {"resourceType": "Patient", "identifier": [identifier], **more}


def found(fhir, system, value):
    answer = fhir.get("Patient", params={"identifier": f"{system}|{value}"}).json()
    return [entry["resource"]["id"] for entry in answer.get("entry", [])]


def test_a_wrong_official_number_is_refused_with_reason_and_place(fhir):
    answer = fhir.post("Patient", json=person(NIR, "123456789012345"), headers=FHIR_JSON)
    (issue,) = outcome_of(answer, 422)["issue"]
    assert issue["expression"] == ["Patient.identifier[0].value"]
    assert "key" in issue["diagnostics"]
    wrong = {
        "resourceType": "Organization",
        "name": "x",
        "identifier": [{"system": "https://sirene.fr", "value": "264403107"}],
    }
    (issue,) = outcome_of(fhir.post("Organization", json=wrong, headers=FHIR_JSON), 422)["issue"]
    assert issue["expression"] == ["Organization.identifier[0].value"]


def test_of_twenty_creates_at_once_one_makes_the_patient(server, tag):
    def create(_):
        with httpx.Client(base_url=server.base_url, timeout=60) as client:
            return client.post("Patient", json=person(TEST, tag), headers=FHIR_JSON)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(create, range(20)))
    assert sorted(a.status_code for a in answers) == [201] + [422] * 19
    with httpx.Client(base_url=server.base_url, timeout=60) as client:
        assert len(found(client, TEST, tag)) == 1
    refused = next(a for a in answers if a.status_code == 422)
    (issue,) = outcome_of(refused, 422)["issue"]
    assert issue["code"] == "duplicate"
    assert issue["expression"] == ["Patient.identifier[0]"]


def test_an_update_cannot_take_the_ins_of_another(fhir, tag):
    first = fhir.post("Patient", json=person(TEST, tag), headers=FHIR_JSON).json()
    second = fhir.post("Patient", json=person(TEST, f"{tag}-2"), headers=FHIR_JSON).json()
    taking = person(TEST, tag, id=second["id"])
    outcome_of(fhir.put(f"Patient/{second['id']}", json=taking, headers=FHIR_JSON), 422)
    again = fhir.put(f"Patient/{first['id']}", json=first, headers=FHIR_JSON)
    assert again.status_code == 200
    # After a merge the number is old in one of them, and free for the other.
    first["identifier"][0]["use"] = "old"
    merged = fhir.put(f"Patient/{first['id']}", json=first, headers=FHIR_JSON)
    assert merged.status_code == 200
    taken = fhir.put(f"Patient/{second['id']}", json=taking, headers=FHIR_JSON)
    assert taken.status_code == 200
    del first["identifier"][0]["use"]
    outcome_of(fhir.put(f"Patient/{first['id']}", json=first, headers=FHIR_JSON), 422)


async def test_a_citizen_keeps_the_strict_traits_and_learns_nothing_of_others(smart):
    camille = await citizen(smart)
    own = json.loads((await smart.store.read(*CAMILLE.split("/"))).content)
    lea = json.loads((await smart.store.read(*LEA.split("/"))).content)
    unknown = lea["identifier"][0] | {"value": new_ins(), "system": TEST}

    async def put(changed):
        return await smart.fhir(camille, CAMILLE, "PUT", json=own | changed, headers=FHIR_JSON)

    texts = set()
    for changed in (
        {"identifier": lea["identifier"]},  # somebody's
        {"identifier": [unknown]},  # nobody's
        {"name": [{"use": "usual", "family": "X"}]},
        {"extension": [{"url": "http://example.org/x", "valueString": "x"}]},
    ):
        answer = await put(changed)
        assert answer.status_code == 403, (changed, answer.text)
        texts.add(answer.text if "identifier" in changed else "")
    assert len(texts) == 2
    answer = await put({"name": [*own["name"], {"use": "nickname", "given": ["Cam"]}]})
    assert answer.status_code == 200, answer.text


def test_a_deleted_patient_frees_its_ins(fhir, tag):
    first = fhir.post("Patient", json=person(TEST, tag), headers=FHIR_JSON).json()
    assert fhir.delete(f"Patient/{first['id']}").status_code in (200, 204)
    answer = fhir.post("Patient", json=person(TEST, tag), headers=FHIR_JSON)
    assert answer.status_code == 201


def test_a_bundle_cannot_make_two_of_one(server, fhir, tag):
    entry = [
        {"resource": person(TEST, tag), "request": {"method": "POST", "url": "Patient"}}
        for _ in range(2)
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entry}
    answer = fhir.post("", json=bundle, headers=FHIR_JSON).json()
    assert [e["response"]["status"][:3] for e in answer["entry"]] == ["201", "422"]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
    answer = fhir.post("", json=bundle, headers=FHIR_JSON)
    assert answer.status_code in (400, 422)  # 400: the store has no transactions
    assert len(found(fhir, TEST, tag)) == 1
