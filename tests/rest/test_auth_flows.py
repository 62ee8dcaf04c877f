"""Launches from beginning to end: every kind of client, both versions of scopes, both launches."""

from __future__ import annotations

import pytest
from smart_browser import BASE, CAMILLE, DOCTOR

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
    back = await browser.authorize(app, asked, CAMILLE, **more)
    assert back["state"] == app.state
    assert back["iss"] == "http://testserver/auth"
    answer = await app.exchange(back["code"])
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
    back = await smart.browser().authorize(
        app,
        "launch/patient openid fhirUser patient/Patient.rs",
        DOCTOR,
        answer={"patient": "2 88 04 31 555 112 72"},
    )
    given = (await app.exchange(back["code"])).json()
    assert given["patient"] == "camille-lefevre"


async def test_a_parent_opens_the_record_of_a_child(smart):
    app = await smart.register()
    browser = smart.browser()
    from smart_browser import Page, back

    page = Page(await browser.ask(app, "launch/patient openid fhirUser patient/Patient.rs"))
    page = await browser.sign_in(page, CAMILLE)
    labels = page.root.xpath("//label[starts-with(@for, 'c-')]")
    place = next(n for n, label in enumerate(labels) if "Léa" in label.text_content())
    answer = back(await browser.answer(page, capacity=str(place)))
    given = (await app.exchange(answer["code"])).json()
    assert given["patient"] == "lea-lefevre"
    assert (await smart.fhir(given["access_token"], "Patient/lea-lefevre")).status_code == 200
    assert (await smart.fhir(given["access_token"], "Patient/camille-lefevre")).status_code == 404
