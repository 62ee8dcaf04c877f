"""SMART checklist, scopes as they are granted and kept to: S1 to S5."""

from __future__ import annotations

import pytest
from smart_browser import BASE, CAMILLE, DOCTOR

VITAL = "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"


@pytest.mark.parametrize(
    "scope", ["patient/Patient.read", "patient/Observation.write", "patient/*.read", "user/*.*"]
)
async def test_s1_scopes_of_version_1_come_back_as_asked(smart, scope):
    app = await smart.register()
    assert (await app.tokens(f"launch/patient {scope}"))["scope"] == f"launch/patient {scope}"


@pytest.mark.parametrize(
    "wrong",
    ["patient/Patient.dus", "patient/Unicorn.rs", "patient/Patient.xyz", "patient/Patient",
     "patient/Observation.rs?code:not=a", "patient/Observation.rs?subject.name=a",
     "patient/Observation.rs?_filter=x", "patient/Observation.rs?colour=red"],
)  # fmt: skip
async def test_s1_s2_what_is_not_understood_is_left_out(smart, wrong):
    app = await smart.register()
    given = await app.tokens(f"launch/patient patient/Patient.rs {wrong}")
    assert given["scope"] == "launch/patient patient/Patient.rs"


async def test_s1_reading_and_searching_are_two_rights(smart):
    app = await smart.register()
    reads = (await app.tokens("launch/patient patient/Patient.r"))["access_token"]
    searches = (await app.tokens("launch/patient patient/Patient.s"))["access_token"]
    assert (await smart.fhir(reads, "Patient/camille-lefevre")).status_code == 200
    assert (await smart.fhir(reads, "Patient")).status_code == 403
    assert (await smart.fhir(searches, "Patient")).status_code == 200
    assert (await smart.fhir(searches, "Patient/camille-lefevre")).status_code == 403


async def test_s2_an_escaped_slash_is_understood(smart):
    app = await smart.register()
    given = await app.tokens("launch/patient patient%2FPatient.rs")
    assert given["scope"] == "launch/patient patient/Patient.rs"


async def test_s2_a_constraint_binds_reads_and_searches(smart):
    def observation(id, category):
        return {
            "resourceType": "Observation", "id": id, "status": "final", "code": {"text": "x"},
            "category": [{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                "code": category}]}],
            "subject": {"reference": "Patient/camille-lefevre"},
        }  # fmt: skip

    await smart.put(observation("v", "vital-signs"), observation("l", "laboratory"))
    app = await smart.register()
    scope = f"launch/patient patient/Observation.rs?category={VITAL}"
    token = (await app.tokens(scope))["access_token"]
    assert (await smart.fhir(token, "Observation/v")).status_code == 200
    assert (await smart.fhir(token, "Observation/l")).status_code == 404
    found = (await smart.fhir(token, "Observation?_id=v,l&_total=accurate")).json()
    assert [e["resource"]["id"] for e in found["entry"]] == ["v"]
    assert found["total"] == 1


CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


async def test_s2_a_constraint_binds_writes_and_includes(smart):
    def observation(category, **more):
        return {
            "resourceType": "Observation", "status": "final", "code": {"text": "x"},
            "subject": {"reference": CAMILLE}, "performer": [{"reference": CAMILLE}],
            "category": [{"coding": [{"system": CATEGORY, "code": category}]}], **more,
        }  # fmt: skip

    vital = observation("vital-signs", id="v", derivedFrom=[{"reference": "Observation/l"}])
    await smart.put(observation("laboratory", id="l"), vital)
    app = await smart.register()
    limited = f"patient/Observation.cruds?category={CATEGORY}|vital-signs"
    token = (await app.tokens(f"launch/patient patient/Patient.rs {limited}"))["access_token"]
    sent = {"headers": {"content-type": "application/fhir+json"}}
    for path in (
        "Observation?_id=v&_include=Observation:derived-from",
        "Observation?_id=v&_include:iterate=*",
        "Patient?_id=camille-lefevre&_revinclude=Observation:subject",
        "Observation?_id=v&_include=*&_revinclude=*",
        "Patient/camille-lefevre/$everything?_count=100",
        "Observation?_include=Observation:derived-from",
    ):
        found = (await smart.fhir(token, path)).json()
        ids = {(e["resource"]["resourceType"], e["resource"]["id"]) for e in found["entry"]}
        assert ("Observation", "v") in ids, path
        assert ("Observation", "l") not in ids, path
    for path in ("Observation?derived-from:Observation.code-value-quantity=1",
                 "Observation?derived-from:Observation.category=laboratory"):  # fmt: skip
        answer = await smart.fhir(token, path)
        assert answer.status_code in (400, 403) or not answer.json().get("entry"), path
    made = await smart.fhir(token, "Observation", "POST", json=observation("vital-signs"), **sent)
    assert made.status_code == 201, made.text
    own = f"Observation/{made.json()['id']}"
    made = await smart.fhir(token, "Observation", "POST", json=observation("laboratory"), **sent)
    assert made.status_code == 403, made.text
    # Neither out of what the scope reaches, nor into it.
    for id, body in (("v", observation("laboratory", id="v")),
                     ("l", observation("vital-signs", id="l"))):  # fmt: skip
        changed = await smart.fhir(token, f"Observation/{id}", "PUT", json=body, **sent)
        assert changed.status_code in (403, 404, 405), (id, changed.text)
    hidden, unknown = [
        await smart.fhir(token, f"Observation/{id}", "DELETE") for id in ("l", "none")
    ]
    assert (hidden.status_code, hidden.content) == (unknown.status_code, unknown.content)
    gone = await smart.fhir(token, "Observation?category=laboratory", "DELETE")
    assert gone.status_code in (204, 403, 404, 412), gone.text
    kept = await smart.context.store.read("Observation", "l")
    assert kept.version == 1
    assert kept.content is not None
    gone = await smart.fhir(token, own, "DELETE")
    assert gone.status_code in (200, 204), gone.text


async def test_s2_a_scope_of_100_kb_is_read_at_once(smart):
    import time

    app = await smart.register()
    began = time.perf_counter()
    answer = await smart.browser().ask(
        app, "patient/Observation.rs?" + "&".join(f"code={n}" for n in range(10_000)), post=True
    )
    assert time.perf_counter() - began < 2
    assert answer.status_code < 500


async def test_s3_each_entry_of_a_batch_is_judged(smart):
    app = await smart.register()
    token = (await app.tokens("launch/patient patient/Patient.r"))["access_token"]
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {"request": {"method": "GET", "url": "Patient/camille-lefevre"}},
            {"request": {"method": "GET", "url": "Patient"}},
            {"request": {"method": "GET", "url": "Patient/hugo-lefevre"}},
        ],
    }
    answer = await smart.fhir(
        token, "", "POST", json=batch, headers={"content-type": "application/fhir+json"}
    )
    statuses = [e["response"]["status"][:3] for e in answer.json()["entry"]]
    assert statuses == ["200", "403", "404"]


async def test_s3_scopes_do_not_exceed_what_the_person_may_do(smart):
    app = await smart.register()
    token = (await app.tokens("patient/*.cruds user/*.cruds"))["access_token"]
    assert (await smart.fhir(token, "Patient/hugo-lefevre")).status_code == 404


async def test_s4_the_context_of_a_launch_comes_beside_the_token(smart):
    app, browser = await smart.register(), smart.browser()
    portal = await smart.register(launcher=True)
    given = await portal.tokens(
        "launch/patient user/*.rs", DOCTOR, browser=browser, answer={"patient": "lea-lefevre"}
    )
    context = {
        "client_id": app.id,
        "patient": "Patient/camille-lefevre",
        "encounter": "e1",
        "intent": "reconcile",
        "need_patient_banner": False,
        "fhirContext": [
            {"reference": "DocumentReference/d1", "role": "https://example.org/focus"},
            {"canonical": "http://example.org/Questionnaire/q", "type": "Questionnaire"},
            {"identifier": {"system": "urn:a", "value": "b"}, "type": "ServiceRequest"},
        ],
    }
    bearer = {"authorization": f"Bearer {given['access_token']}"}
    launch = (await smart.http.post("/auth/launch", json=context, headers=bearer)).json()["launch"]
    given = await app.tokens(
        "launch launch/patient launch/encounter launch/questionnaire offline_access "
        "patient/Patient.rs",
        DOCTOR,
        browser=browser,
        launch=launch,
    )
    for _ in range(2):
        assert given["patient"] == "camille-lefevre"
        assert given["encounter"] == "e1"
        assert given["intent"] == "reconcile"
        assert given["need_patient_banner"] is False
        assert given["fhirContext"] == context["fhirContext"]
        given = (await app.refresh(given["refresh_token"])).json()
    for item in (
        {"reference": "Patient/1"},
        {"reference": "Encounter/1", "role": "launch"},
        {"reference": "Observation/1", "role": ""},
        {"reference": "Observation/1", "canonical": "http://a"},
        {},
        {"reference": "Unicorn/1"},
    ):
        body = {"client_id": app.id, "fhirContext": [item]}
        answer = await smart.http.post("/auth/launch", json=body, headers=bearer)
        assert answer.status_code == 400, item


async def test_s4_a_context_that_cannot_be_given_is_not_granted(smart):
    app = await smart.register()
    given = await app.tokens("launch/patient launch/encounter launch/questionnaire patient/*.rs")
    assert given["scope"] == "launch/patient patient/*.rs"
    assert "encounter" not in given


async def test_s5_tokens_are_opaque_and_stored_hashed(smart, tmp_path):
    app = await smart.register("confidential", "basic")
    code = await app.code("launch/patient openid offline_access patient/*.rs")
    given = (await app.exchange(code)).json()
    secrets = [code, given["access_token"], given["refresh_token"], app.secret]
    for secret in secrets[:3]:
        assert len(secret) == 43
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("smart.db*"))
    assert app.id.encode() in stored
    for secret in secrets:
        assert secret.encode() not in stored


async def test_s5_withdrawal_and_disabling_act_on_the_next_request(smart_on_both):
    door = smart_on_both
    app = await door.register()
    given = await app.tokens("launch/patient offline_access patient/Patient.rs")
    token = given["access_token"]
    assert (await door.fhir(token, "Patient/camille-lefevre")).status_code == 200
    assert await door.store.drop_grants(client=app.id, patient="camille-lefevre") >= 2
    assert (await door.fhir(token, "Patient/camille-lefevre")).status_code == 401
    given = await app.tokens("launch/patient offline_access patient/Patient.rs")
    code = await app.code("launch/patient patient/Patient.rs")
    assert await door.clients.disable(app.id)
    assert (await door.fhir(given["access_token"], "Patient/camille-lefevre")).status_code == 401
    assert (await app.refresh(given["refresh_token"])).status_code == 401
    assert (await app.exchange(code)).status_code == 401
    answer = await door.browser().ask(app, "patient/*.rs")
    assert answer.status_code == 400


async def test_a_token_for_another_audience_is_no_token_here(smart):
    from dataclasses import replace

    app = await smart.register()
    given = await app.tokens("launch/patient patient/Patient.rs")
    (grant,) = await smart.store.list_grants("access")
    value = grant.value.replace(BASE.encode(), b"https://other.example/fhir")
    await smart.store.put_grant(replace(grant, value=value))
    answer = await smart.fhir(given["access_token"], "Patient/camille-lefevre")
    assert answer.status_code == 401
