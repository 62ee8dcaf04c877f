"""Signing in with an external OpenID provider."""

from __future__ import annotations

import json

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from openid_provider import Provider
from smart_browser import AUTH, BASE, Page, back, close_door, open_door, people

from fhirserver.auth.identity.provider import read_providers

SCOPE = "launch/patient openid fhirUser patient/Patient.rs"
INS = "288043155511272"
INS_TEST = "urn:oid:1.2.250.1.213.1.4.10"


@pytest.fixture
async def provider():
    async with Provider() as made:
        made.claims = {"ins": INS, "given_name": "Camille", "family_name": "Lefèvre"}
        yield made


@pytest.fixture
async def door(tmp_path, provider, monkeypatch):
    monkeypatch.setenv("THE_SECRET", "shh")
    described = [
        {
            "preset": "franceconnect", "id": "fc", "issuer": provider.issuer, "client_id": "us",
            "client_secret_env": "THE_SECRET", "claim": "ins", "system": INS_TEST,
        },
        {"preset": "pro_sante_connect", "id": "psc", "issuer": provider.issuer, "client_id": "us"},
        {"preset": "franceconnect", "id": "traits", "issuer": provider.issuer, "client_id": "us"},
    ]  # fmt: skip
    file = tmp_path / "providers.json"
    file.write_text(json.dumps(described))
    database = f"sqlite:///{tmp_path}/s.db"
    made, lifespan = await open_door(database, identity_providers=str(file), demo_identities=False)
    yield made
    await close_door(made, lifespan)


async def sign_in(door, provider, which="fc", browser=None, app=None, **changed):
    """The page the person sees after coming back from the provider."""
    app = app or await door.register()
    browser = browser or door.browser()
    page = Page(await browser.ask(app, SCOPE, **changed))
    (link,) = [a for a in page.root.xpath("//a/@href") if f"/sign-in/{which}?" in a]
    answer = await browser.http.get(link)
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith(f"{provider.issuer}/authorize?")
    returned = provider.sign_in(answer.headers["location"])
    callback = f"{AUTH}/callback/{which}?{returned}"
    return app, browser, callback, await browser.go("GET", callback)


async def test_a_citizen_signs_in_by_franceconnect(door, provider):
    app, browser, _, answer = await sign_in(door, provider)
    page = Page(answer)
    assert "Camille Lefèvre" in page.text
    given = (await app.exchange(back(await browser.answer(page))["code"])).json()
    assert given["patient"] == "camille-lefevre"
    assert (await door.fhir(given["access_token"], "Patient/camille-lefevre")).status_code == 200
    claims = json.loads(__import__("base64").urlsafe_b64decode(
        given["id_token"].split(".")[1] + "=="))  # fmt: skip
    assert claims["fhirUser"] == f"{BASE}/Patient/camille-lefevre"
    assert claims["acr"] == "eidas2"
    assert provider.asked["acr_values"] == "eidas2"
    assert provider.asked["code_challenge_method"] == "S256"
    assert provider.requests[0]["client_secret"] == "shh"
    assert provider.requests[0]["redirect_uri"] == f"{AUTH}/callback/fc"


@pytest.mark.parametrize("signed", [False, True])
async def test_a_professional_signs_in_by_pro_sante_connect(door, provider, signed):
    provider.claims = {"acr": "eidas1"}
    provider.userinfo = {"SubjectNameID": "899700990015"}
    provider.signed_userinfo = signed
    app, browser, _, answer = await sign_in(door, provider, "psc")
    answer = back(await browser.answer(Page(answer), patient="camille-lefevre"))
    given = (await app.exchange(answer["code"])).json()
    found = (await app.post("introspect", token=given["access_token"])).json()
    assert found["fhirUser"] == f"{BASE}/PractitionerRole/claire-fontaine-role"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"aud": "somebody-else"},
        {"aud": ["us", "somebody-else"]},
        {"exp": 1},
        {"exp": None},
        {"nonce": "another"},
        {"nonce": None},
        {"acr": "eidas1"},
        {"acr": None},
        {"sub": None},
        {"sub": 7},
        {"ins": "1"},
        {"ins": None},
        {"ins": f"{INS},257019935212066"},
        {"ins": ["x"]},
    ],
)
async def test_an_id_token_that_is_not_right_signs_nobody_in(door, provider, changed):
    provider.changed = changed
    *_, answer = await sign_in(door, provider)
    assert answer.status_code == 400
    assert "La connexion n’a pas abouti" in Page(answer).text


async def test_an_id_token_of_another_key_signs_nobody_in(door, provider):
    provider.key = RSAKey.generate_key(2048, {"kid": "idp-1"})
    assert (await sign_in(door, provider))[3].status_code == 400
    provider.key = type("NoKey", (), {})()
    provider.id_token = lambda: jwt.encode(
        {"alg": "HS256", "kid": "idp-1"}, {"sub": "x"}, _shared_key()
    )
    assert (await sign_in(door, provider))[3].status_code == 400


def _shared_key():
    from joserfc.jwk import OctKey

    return OctKey.import_key(b"x" * 32)


TRAITS = {
    "given_name": "Camille Anne", "family_name": "Petit", "preferred_username": "Lefèvre",
    "gender": "female", "birthdate": "1988-04-17", "birthplace": "31555", "birthcountry": "99100",
}  # fmt: skip


@pytest.mark.parametrize(
    "spelled", [{}, {"family_name": "PÉTIT", "given_name": "CAMILLE  Anne"}, {"ins": "1"}]
)
async def test_the_traits_of_franceconnect_lead_to_the_citizen(door, provider, spelled):
    provider.claims, provider.userinfo = {}, {**TRAITS, **spelled}
    app, browser, _, answer = await sign_in(door, provider, "traits")
    page = Page(answer)
    assert "Camille Lefèvre" in page.text or "CAMILLE Lefèvre" in page.text
    # A parent signs in so as well, and chooses whose record it is.
    assert any(
        "Léa" in label for label in page.root.xpath("//label[starts-with(@for, 'c-')]/text()")
    )
    given = (await app.exchange(back(await browser.answer(page))["code"])).json()
    assert given["patient"] == "camille-lefevre"


@pytest.mark.parametrize(
    "changed",
    [
        {"family_name": "Lefèvre"},  # the usual name is no birth name
        {"family_name": "Pet"},
        {"given_name": "Camille"},
        {"given_name": "Anne Camille"},
        {"gender": "male"},
        {"birthdate": "1988-04-18"},
        {"birthdate": "1988-04-00"},
        {"birthdate": "1988"},
        {"birthplace": "31001"},
        {"birthplace": ""},
        {"birthplace": None, "birthcountry": None},
        {"birthplace": "", "birthcountry": "99109"},
        {"given_name": None},
        {"family_name": ["Petit"]},
        {"family_name": "Petit&_id=camille-lefevre"},
    ],
)
async def test_other_traits_sign_nobody_in(door, provider, changed):
    provider.claims, provider.userinfo = {}, {**TRAITS, **changed}
    assert (await sign_in(door, provider, "traits"))[3].status_code == 400


async def test_traits_of_two_people_or_of_an_unqualified_identity_sign_nobody_in(door, provider):
    provider.claims, provider.userinfo = {}, TRAITS
    camille = next(r for r in people() if r["id"] == "camille-lefevre")
    await door.put({**camille, "id": "twin"})
    assert (await sign_in(door, provider, "traits"))[3].status_code == 400
    status = [e for e in camille["extension"] if "reliability" not in e["url"]]
    await door.put({**camille, "id": "twin", "extension": status})
    assert (await sign_in(door, provider, "traits"))[3].status_code == 200


PRO = {
    "acr": "eidas1",
    "SubjectNameID": "899700990015",
    "SubjectRole": ["10^1.2.250.1.213.1.1.5.5"],
}
ASKED = {"access_mode": "centre_15"}


@pytest.mark.parametrize(
    ("changed", "profession"),
    [
        ({}, "10"),
        ({"SubjectRole": ["60^1.2.250.1.213.1.1.5.5", "10^1.2.250.1.213.1.1.5.5"]}, "10"),
        ({"SubjectRole": None, "SubjectRefPro": {"exercices": [{"codeProfession": "10"}]}}, "10"),
        ({"SubjectNameID": "0311234567", "otherIds": [
            {"identifiant": "99700990015", "origine": "RPPS", "qualite": 1}]}, "10"),
        ({"SubjectRole": ["60^1.2.250.1.213.1.1.5.5"]}, None),
        ({"SubjectRefPro": {"exercices": [{"codeProfession": "60"}]}, "SubjectRole": None}, None),
        ({"SubjectNameID": "899700990016"}, None),
        ({"SubjectNameID": None}, None),
        ({"SubjectNameID": "0311234567", "otherIds": [
            {"identifiant": "99700990015", "origine": "AUTRE", "qualite": 1}, 7]}, None),
    ],
)  # fmt: skip
async def test_pro_sante_connect_and_the_directory_have_to_agree(
    door, provider, changed, profession
):
    provider.claims = {"acr": "eidas1"}
    provider.userinfo = {**PRO, **changed}
    app, browser, _, answer = await sign_in(door, provider, "psc")
    assert answer.status_code == (200 if profession else 400)
    if profession:
        code = back(await browser.answer(Page(answer), patient="camille-lefevre"))["code"]
        token = (await app.exchange(code)).json()["access_token"]
        assert (await door.fhir(token, "Patient/camille-lefevre")).status_code == 200


async def test_a_professional_of_whom_the_directory_knows_no_role_has_the_profession_vouched_for(
    door, provider
):
    await door.put({"resourceType": "Practitioner", "id": "new", "identifier": [
        {"system": "https://rpps.esante.gouv.fr", "value": "99900000001"}]})  # fmt: skip
    provider.claims = {**PRO, "SubjectNameID": "899900000001", "given_name": "Zoé",
                       "Mode_Acces_Raison": "Appel du 15, inconscient"}  # fmt: skip
    app, browser, _, answer = await sign_in(door, provider, "psc", access_mode="bris_de_glace")
    page = Page(answer)
    assert dict(page.fields("/consent"))["reason"] == "Appel du 15, inconscient"
    code = back(await browser.answer(page, patient="camille-lefevre"))["code"]
    token = (await app.exchange(code)).json()["access_token"]
    assert (await door.fhir(token, "Patient/camille-lefevre")).status_code == 200


@pytest.mark.parametrize(("said", "may"), [("VRAI", True), ("FAUX", False), (None, False)])
async def test_centre_15_is_for_those_whom_pro_sante_connect_calls_regulators(
    door, provider, said, may
):
    provider.claims = {**PRO, "Acces_Regulation_Medicale": said}
    _, browser, _, answer = await sign_in(door, provider, "psc", **ASKED)
    if may:
        assert back(await browser.answer(Page(answer), patient="camille-lefevre"))["code"]
    else:
        assert back(answer)["error"] == "access_denied"


async def test_a_citizen_provider_makes_nobody_a_professional(door, provider):
    provider.claims = {"ins": "899700990015"}
    assert (await sign_in(door, provider))[3].status_code == 400


async def test_state_is_for_one_browser_and_one_use(door, provider):
    app = await door.register()
    browser = door.browser()
    page = Page(await browser.ask(app, SCOPE))
    link = next(a for a in page.root.xpath("//a/@href") if "/sign-in/fc?" in a)
    returned = provider.sign_in((await browser.http.get(link)).headers["location"])
    callback = f"{AUTH}/callback/fc?{returned}"
    victim = door.browser()
    await victim.ask(app, SCOPE)
    assert (await victim.go("GET", callback)).status_code == 403
    assert (await browser.go("GET", callback)).status_code == 403  # it was taken
    _, browser, callback, answer = await sign_in(door, provider, app=app)
    assert answer.status_code == 200
    assert (await browser.go("GET", callback)).status_code == 403
    for query in ("", "?code=good", "?state=x&code=good", f"?{returned}&state=y"):
        answer = await browser.go("GET", f"{AUTH}/callback/fc{query}")
        assert answer.status_code in (400, 403)


async def test_a_provider_that_is_away_is_told_to_the_person(door, provider):
    provider.server.close()
    app, browser = await door.register(), door.browser()
    page = Page(await browser.ask(app, SCOPE))
    link = next(a for a in page.root.xpath("//a/@href") if "/sign-in/fc?" in a)
    answer = await browser.go("GET", link)
    assert answer.status_code == 400
    assert "La connexion" in Page(answer).text


async def test_break_glass_needs_a_level_the_provider_gives_for_it(door, provider):
    app = await door.register()
    provider.claims = {"acr": "eidas1", "SubjectNameID": "899700990015"}
    _, browser, _, answer = await sign_in(door, provider, "psc", app=app,
                                          access_mode="bris_de_glace")  # fmt: skip
    answer = await browser.answer(
        Page(answer), patient="camille-lefevre", reason="Urgence vitale au domicile"
    )
    assert back(answer)["code"]
    provider.claims = {"ins": INS}
    _, _, _, answer = await sign_in(door, provider, "fc", app=app, access_mode="centre_15")
    assert back(answer)["error"] == "access_denied"


@pytest.mark.parametrize(
    "described",
    [
        "{",
        "{}",
        '[{"preset": "franceconnect"}]',
        '[{"preset": "pro_sante_connect", "id": "a b", "client_id": "x"}]',
        '[{"id": "a", "name": "A", "kind": "citizen", "issuer": "https://a.fr", "client_id": "x"}]',
        '[{"preset": "pro_sante_connect", "id": "a", "client_id": "x", "colour": "red"}]',
        '[{"preset": "pro_sante_connect", "id": "a", "client_id": "x", "issuer": "http://a.fr"}]',
    ],
)
def test_a_provider_file_that_is_wrong_is_refused(tmp_path, described):
    file = tmp_path / "p.json"
    file.write_text(described)
    with pytest.raises(ValueError):
        read_providers(file)
    with pytest.raises(ValueError):
        read_providers(tmp_path / "missing.json")
