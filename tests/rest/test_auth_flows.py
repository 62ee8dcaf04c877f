"""Launches from beginning to end: every kind of client, both versions of scopes, both launches."""

from __future__ import annotations

import pytest
from smart_browser import BASE, CAMILLE, DOCTOR, Page, back

SCOPES = {
    "v1": "patient/Patient.read patient/Observation.read",
    "v2": "patient/Patient.rs patient/Observation.rs",
    "granular": "patient/Patient.rs patient/Observation.rs?category="
    "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs",
}
KINDS = {
    "public": ("public", "none"),
    "basic": ("confidential", "basic"),
    "RS384": ("confidential", "RS384"),
    "ES384": ("confidential", "ES384"),
}


@pytest.mark.parametrize("launch", ["standalone", "ehr"])
@pytest.mark.parametrize("scopes", SCOPES)
@pytest.mark.parametrize("kind", KINDS)
async def test_an_app_is_launched_and_reads(smart_on_both, kind, scopes, launch):
    door = smart_on_both
    app = await door.register(*KINDS[kind])
    browser = door.browser()
    more = {}
    if launch == "ehr":
        portal = await door.register(launcher=True)
        given = await portal.tokens("patient/*.rs", browser=browser)
        answer = await door.http.post(
            "/auth/launch",
            json={"client_id": app.id, "patient": "camille-lefevre", "encounter": "e1"},
            headers={"authorization": f"Bearer {given['access_token']}"},
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["iss"] == BASE
        more["launch"] = answer.json()["launch"]
        asked = f"launch launch/encounter openid fhirUser offline_access {SCOPES[scopes]}"
    else:
        asked = f"launch/patient openid fhirUser offline_access {SCOPES[scopes]}"
    told = await browser.authorize(app, asked, CAMILLE, **more)
    assert told["state"] == app.state
    assert told["iss"] == "http://testserver/auth"
    answer = await app.exchange(told["code"])
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert given["token_type"] == "Bearer"
    assert given["patient"] == "camille-lefevre"
    assert set(given["scope"].split()) == set(asked.split())
    assert ("encounter" in given) == (launch == "ehr")
    assert {"id_token", "refresh_token", "access_token"} <= set(given)
    read = await door.fhir(given["access_token"], "Patient/camille-lefevre")
    assert read.status_code == 200, read.text
    refreshed = await app.refresh(given["refresh_token"])
    assert refreshed.status_code == 200, refreshed.text
    assert refreshed.json()["patient"] == "camille-lefevre"
    assert refreshed.json()["scope"] == given["scope"]
    read = await door.fhir(refreshed.json()["access_token"], "Patient/camille-lefevre")
    assert read.status_code == 200


async def test_a_professional_picks_the_patient(smart):
    app = await smart.register()
    told = await smart.browser().authorize(
        app,
        "launch/patient openid fhirUser patient/Patient.rs",
        DOCTOR,
        answer={"patient": "2 88 04 31 555 112 72"},
    )
    given = (await app.exchange(told["code"])).json()
    assert given["patient"] == "camille-lefevre"


def encounter(id, patient, day, **more):
    return {
        "resourceType": "Encounter", "id": id, "status": "finished",
        "class": {"code": "AMB", "display": "consultation"},
        "subject": {"reference": patient},
        "period": {"start": f"2026-10-{day}", "end": f"2026-10-{day}"}, **more,
    }  # fmt: skip


@pytest.mark.parametrize("person", [CAMILLE, DOCTOR])
async def test_the_encounter_is_chosen_when_no_portal_names_one(smart, person):
    await smart.put(
        encounter("older", CAMILLE, "02", serviceProvider={"display": "Maison de santé"}),
        encounter("newer", CAMILLE, "03", type=[{"text": "Suivi"}]),
        encounter("other", "Patient/hugo-lefevre", "04"),
    )
    app, browser = await smart.register(), smart.browser()
    # Who may not see encounters all the same chooses one, but the app then gets but its id.
    scope = "launch/patient launch/encounter offline_access patient/Observation.rs"
    page = await browser.sign_in(Page(await browser.ask(app, scope)), person)
    patient = {"patient": "camille-lefevre"} if person == DOCTOR else {}
    place = next(n for n, text in enumerate(page.scopes) if "mesures" in text)
    only = page.root.xpath(f"//select[@name='narrow.{place}']/option/@value")[1]
    page = Page(await browser.answer(page, narrow={place: [only]}, **patient))
    assert page.status == 200
    assert page.root.xpath("//select[@name='encounter']/option/@value") == ["", "newer", "older"]
    assert "2026-10-03 Suivi" in page.text
    assert "2026-10-02 consultation, Maison de santé" in page.text
    for wrong in ("other", "nonsense", ""):
        page = Page(await browser.answer(page, encounter=wrong))
        assert page.status == 200
        assert "Choisissez la consultation" in page.text
    # What was chosen before is still chosen.
    assert dict(page.fields("/consent"))[f"narrow.{place}"] == only
    given = (await app.exchange(back(await browser.answer(page, encounter="older"))["code"])).json()
    assert "launch/encounter" in given["scope"].split()
    assert only in given["scope"].split()
    for _ in range(2):
        assert (given["patient"], given["encounter"]) == ("camille-lefevre", "older")
        given = (await app.refresh(given["refresh_token"])).json()
    seen = await app.tokens("launch/patient patient/AuditEvent.rs", CAMILLE)
    log = (await smart.fhir(seen["access_token"], "AuditEvent?_count=100")).json()
    assert any("Encounter/older" in str(e["resource"].get("entity")) for e in log["entry"])


async def test_without_an_encounter_to_choose_the_app_is_not_given_that_scope(smart):
    await smart.put(encounter("other", "Patient/hugo-lefevre", "04"))
    app = await smart.register()
    given = await app.tokens("launch/patient launch/encounter patient/Encounter.rs")
    assert given["scope"] == "launch/patient patient/Encounter.rs"
    assert "encounter" not in given
    await smart.put(encounter("mine", CAMILLE, "04"))
    browser = smart.browser()
    page = Page(await browser.ask(app, "launch/patient launch/encounter patient/Encounter.rs"))
    page = await browser.sign_in(page, CAMILLE)
    place = next(n for n, text in enumerate(page.scopes) if "séjour il" in text)
    answer = back(await browser.answer(page, drop=[place]))
    assert "encounter" not in (await app.exchange(answer["code"])).json()


async def test_a_parent_opens_the_record_of_a_child(smart):
    app = await smart.register()
    browser = smart.browser()
    page = Page(await browser.ask(app, "launch/patient openid fhirUser patient/Patient.rs"))
    page = await browser.sign_in(page, CAMILLE)
    labels = page.root.xpath("//label[starts-with(@for, 'c-')]")
    place = next(n for n, label in enumerate(labels) if "Léa" in label.text_content())
    answer = back(await browser.answer(page, capacity=str(place)))
    given = (await app.exchange(answer["code"])).json()
    assert given["patient"] == "lea-lefevre"
    assert (await smart.fhir(given["access_token"], "Patient/lea-lefevre")).status_code == 200
    assert (await smart.fhir(given["access_token"], "Patient/camille-lefevre")).status_code == 404
