"""SMART checklist, authorization endpoint and consent page: A1 to A5."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest
from smart_browser import AUTH, CALLBACK, CAMILLE, DOCTOR, Page, back, challenge_of

SCOPE = "launch/patient openid fhirUser patient/Patient.rs patient/Condition.rs"


async def consent_page(app, scope, person=CAMILLE, browser=None, **changed):
    browser = browser or app.door.browser()
    page = Page(await browser.ask(app, scope, **changed))
    return browser, await browser.sign_in(page, person)


@pytest.mark.parametrize("post", [False, True])
async def test_a1_get_and_form_post_lead_to_a_code(smart, post):
    app = await smart.register()
    assert await app.code(SCOPE, post=post)


async def test_a1_the_posted_request_is_not_mixed_with_the_query(smart):
    app = await smart.register()
    parameters = app.request(SCOPE)
    aud = parameters.pop("aud")
    answer = await smart.http.post(f"{AUTH}/authorize", params={"aud": aud}, data=parameters)
    assert back(answer)["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"aud": "https://other.example/fhir"}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"scope": "patient/Unicorn.rs"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"launch": "unknown", "scope": "launch patient/*.rs"}, "invalid_request"),
        ({"request": "eyJ"}, "invalid_request"),
        ({"prompt": "none"}, "interaction_required"),
        ({"response_mode": "fragment"}, "invalid_request"),
    ],
)
async def test_a2_the_app_is_told_what_is_wrong_with_its_state(smart, changed, error):
    app = await smart.register()
    answer = back(await smart.browser().ask(app, **{"scope": SCOPE, **changed}))
    assert answer["error"] == error
    assert answer["state"] == app.state
    assert answer["iss"] == AUTH
    assert "code" not in answer


async def test_a2_a_request_without_state_is_refused(smart):
    app = await smart.register()
    answer = back(await smart.browser().ask(app, SCOPE, state=None))
    assert answer["error"] == "invalid_request"


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": f"{CALLBACK}/more"},
        {"redirect_uri": f"{CALLBACK}?x=1"},
        {"redirect_uri": f"{CALLBACK}#x"},
        {"redirect_uri": "https://app.example"},
        {"redirect_uri": "https://app.example@evil.example/callback"},
        {"redirect_uri": "https://app.example.evil.example/callback"},
        {"redirect_uri": "https://APP.example/callback"},
        {"redirect_uri": "https://app.example/x/../callback"},
        {"redirect_uri": "https://evil.example/", "response_type": "token"},
    ],
)
async def test_a2_an_unknown_client_or_redirect_uri_leads_nowhere(smart, changed):
    app = await smart.register()
    answer = await smart.browser().ask(app, SCOPE, **changed)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "text/html" in answer.headers["content-type"]
    assert "evil" not in answer.text


LOCAL = (
    "http://127.0.0.1/cb",
    "http://[::1]/",
    "http://127.0.0.1:7000/fixed",
    "http://localhost/cb",
)


LISTENING = [
    ("http://127.0.0.1/cb", True),
    ("http://127.0.0.1:49152/cb", True),
    ("http://[::1]:1024/", True),
    ("http://127.0.0.1:7000/fixed", True),
    ("http://127.0.0.1:7001/fixed", False),  # registered with its port
    ("http://localhost:7000/cb", False),  # a name may lead elsewhere
    ("http://127.0.0.1:49152/cb/", False),
    ("http://127.0.0.1:49152/", False),
    ("http://127.0.0.1:49152/cb?x=1", False),
    ("http://127.0.0.1:49152/cb#x", False),
    ("http://127.0.0.1:/cb", False),
    ("http://127.0.0.1:080/cb", False),
    ("https://127.0.0.1:49152/cb", False),
    ("http://127.0.0.1:80@evil.example/cb", False),
    ("http://127.0.0.1:80.evil.example/cb", False),
    ("http://127.0.0.2:49152/cb", False),
    ("http://127.0.0.1:49152\n/cb", False),
    ('http://127.0.0.1:49152/cb"', False),
    ("http://127.0.0.1:49152/é", False),
]


async def test_a2_an_app_on_the_persons_device_listens_at_any_port(smart):
    app = await smart.register(redirect_uris=LOCAL)
    for uri, good in LISTENING:
        parameters = app.request(SCOPE, redirect_uri=uri)
        answer = await smart.http.get(f"{AUTH}/authorize", params=parameters)
        assert answer.status_code == (303 if good else 400), uri


async def test_a2_the_port_is_part_of_what_a_code_is_bound_to(smart):
    app = await smart.register(redirect_uris=LOCAL)
    uri = "http://127.0.0.1:49152/cb"
    browser = smart.browser()
    page = await browser.sign_in(
        Page(await browser.ask(app, SCOPE, redirect_uri=uri)), "Patient/camille-lefevre"
    )
    sent = (await browser.answer(page)).headers["location"]
    assert sent.startswith(f"{uri}?")
    code = parse_qs(urlsplit(sent).query)["code"][0]
    other = await app.exchange(code, redirect_uri="http://127.0.0.1:49153/cb")
    assert other.json()["error"] == "invalid_grant"


async def test_a2_a_repeated_parameter_leads_nowhere(smart):
    app = await smart.register()
    url = f"{AUTH}/authorize?redirect_uri=https://evil.example&"
    answer = await smart.http.get(url + str(__import__("httpx").QueryParams(app.request(SCOPE))))
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a2_refusing_is_access_denied(smart):
    app = await smart.register()
    answer = await smart.browser().authorize(app, SCOPE, answer={"allow": False})
    assert answer["error"] == "access_denied"
    assert answer["state"] == app.state
    browser, page = await consent_page(app, SCOPE)
    everything = range(len(page.scopes))
    assert back(await browser.answer(page, drop=everything))["error"] == "access_denied"


async def test_a3_a_code_is_exchanged_once_and_its_replay_ends_what_it_gave(smart_on_both):
    door = smart_on_both
    app = await door.register()
    code = await app.code(SCOPE + " offline_access")
    given = (await app.exchange(code)).json()
    read = await door.fhir(given["access_token"], "Patient/camille-lefevre")
    assert read.status_code == 200
    answer = await app.exchange(code)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"
    read = await door.fhir(given["access_token"], "Patient/camille-lefevre")
    assert read.status_code == 401
    assert (await app.refresh(given["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a3_of_twenty_parallel_exchanges_one_wins(smart_on_both):
    app = await smart_on_both.register()
    code = await app.code(SCOPE)
    answers = await asyncio.gather(*(app.exchange(code) for _ in range(20)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 400, 429}


async def test_a3_a_code_is_bound_to_client_redirect_uri_and_challenge(smart):
    app, other = await smart.register(), await smart.register()
    code = await app.code(SCOPE)
    other.verifier = app.verifier
    assert (await other.exchange(code)).json()["error"] == "invalid_grant"
    answer = await app.exchange(code, redirect_uri="https://app.example/other")
    assert answer.json()["error"] == "invalid_grant"
    answer = await app.exchange(code, code_verifier="x" * 43)
    assert answer.status_code == 400
    assert (await app.exchange(code)).status_code == 200


async def test_a3_a_code_expires(smart, monkeypatch):
    monkeypatch.setattr("fhirserver.auth.tokens.CODE_SECONDS", 0)
    app = await smart.register()
    answer = await app.exchange(await app.code(SCOPE))
    assert answer.json()["error"] == "invalid_grant"


async def minted(smart, app, browser, person=CAMILLE, **asked):
    portal = await smart.register(launcher=True)
    given = await portal.tokens("user/*.rs launch/patient", person, browser=browser, **asked)
    answer = await smart.http.post(
        "/auth/launch",
        json={"client_id": app.id},
        headers={"authorization": f"Bearer {given['access_token']}"},
    )
    return answer.json()["launch"]


async def test_a4_a_launch_value_is_used_once(smart):
    app, browser = await smart.register(), smart.browser()
    launch = await minted(smart, app, browser)
    scope = "launch patient/Patient.rs"
    assert "code" in await browser.authorize(app, scope, launch=launch)
    answer = await browser.authorize(app, scope, launch=launch)
    assert answer["error"] == "invalid_request"


async def test_a4_of_parallel_requests_with_one_launch_value_one_goes_on(smart_on_both):
    door = smart_on_both
    app, browser = await door.register(), door.browser()
    launch = await minted(door, app, browser)
    answers = await asyncio.gather(
        *(browser.ask(app, "launch patient/*.rs", launch=launch) for _ in range(10))
    )
    assert len([a for a in answers if a.status_code == 200]) == 1


async def test_a4_a_launch_value_is_for_one_client_and_one_person(smart):
    app, other, browser = await smart.register(), await smart.register(), smart.browser()
    launch = await minted(smart, app, browser)
    answer = await browser.authorize(other, "launch patient/*.rs", launch=launch)
    assert answer["error"] == "invalid_request"
    launch = await minted(smart, app, browser)
    answer = await smart.browser().authorize(
        app, "launch patient/*.rs", "Patient/hugo-lefevre", launch=launch
    )
    assert answer["error"] == "invalid_request"


async def test_a4_only_a_registered_portal_launches(smart):
    app = await smart.register()
    given = await app.tokens("launch/patient patient/*.rs")
    bearer = {"authorization": f"Bearer {given['access_token']}"}
    body = {"client_id": app.id}
    answer = await smart.http.post("/auth/launch", json=body, headers=bearer)
    assert answer.status_code == 400
    assert (await smart.http.post("/auth/launch", json=body)).status_code == 401
    portal = await smart.register(launcher=True)
    given = await portal.tokens("launch/patient patient/*.rs")
    bearer = {"authorization": f"Bearer {given['access_token']}"}
    body["patient"] = "hugo-lefevre"
    assert (await smart.http.post("/auth/launch", json=body, headers=bearer)).status_code == 400


async def test_a4_patient_scopes_fix_one_patient_even_unasked(smart):
    app = await smart.register()
    assert (await app.tokens("patient/Observation.rs"))["patient"] == "camille-lefevre"
    browser, page = await consent_page(app, "patient/Observation.rs", DOCTOR)
    answer = await browser.answer(page, patient="nobody")
    assert answer.status_code == 400
    assert back(await browser.answer(Page(answer), patient="lea-lefevre"))["code"]


async def test_a5_scopes_are_told_in_plain_words_and_both_languages(smart):
    app = await smart.register()
    scope = "launch/patient offline_access patient/*.rs"
    _, page = await consent_page(app, scope, browser=smart.browser())
    assert page.root.get("lang") == "fr"
    assert "tout ce qui y sera ajouté plus tard" in page.text
    assert "quand vous n’utilisez pas l’application" in page.text
    assert "jusqu’à ce que vous retiriez" in page.text
    english = smart.browser(**{"accept-language": "en"})
    _, page = await consent_page(app, scope, browser=english)
    assert page.root.get("lang") == "en"
    assert "everything added in future" in page.text
    assert "while you are not using the app" in page.text


async def test_a5_scopes_can_be_dropped(smart):
    app = await smart.register()
    browser, page = await consent_page(app, SCOPE)
    place = next(n for n, text in enumerate(page.scopes) if "maladies" in text)
    answer = back(await browser.answer(page, drop=[place]))
    given = (await app.exchange(answer["code"])).json()
    assert "patient/Condition.rs" not in given["scope"]
    assert "patient/Patient.rs" in given["scope"]
    assert (await smart.fhir(given["access_token"], "Condition")).status_code == 403


async def test_a5_scopes_can_be_narrowed(smart):
    app = await smart.register()
    browser, page = await consent_page(app, SCOPE)
    place = next(n for n, text in enumerate(page.scopes) if "maladies" in text)
    choices = page.root.xpath(f"//select[@name='narrow.{place}']/option/@value")
    assert choices[0] == ""
    answer = back(await browser.answer(page, narrow={place: [choices[1]]}))
    given = (await app.exchange(answer["code"])).json()
    assert choices[1] in given["scope"].split()
    assert choices[1].startswith("patient/Condition.rs?category=")


async def test_a5_a_wildcard_can_be_cut_to_some_types_in_the_words_asked(smart):
    app = await smart.register()
    browser, page = await consent_page(app, "launch/patient patient/*.read")
    answer = back(
        await browser.answer(page, narrow={1: ["patient/Observation.rs", "patient/Patient.rs"]})
    )
    given = (await app.exchange(answer["code"])).json()
    scopes = "launch/patient patient/Observation.read patient/Patient.read"
    assert given["scope"] == scopes


@pytest.mark.parametrize(
    "text", ["patient/*.rs", "user/Condition.rs", "patient/Condition.cruds", "openid", "x y"]
)
async def test_a5_narrowing_never_widens(smart, text):
    app = await smart.register()
    browser, page = await consent_page(app, "patient/Condition.rs")
    answer = await browser.answer(page, narrow={0: [text]})
    assert answer.status_code == 403
    assert "location" not in answer.headers


async def test_pages_are_accessible_and_without_script(smart):
    app = await smart.register()
    page = Page(await smart.browser().ask(app, SCOPE))
    _, consent = await consent_page(app, SCOPE)
    for shown in (page, consent):
        root = shown.root
        assert root.get("lang")
        assert root.xpath("//title")
        assert len(root.xpath("//h1")) == 1
        assert not root.xpath("//script")
        assert not root.xpath("//*[@style]")
        labelled = set(root.xpath("//label/@for"))
        for control in root.xpath("//input[not(@type='hidden')] | //select"):
            assert control.get("id") in labelled
        ids = root.xpath("//@id")
        assert len(ids) == len(set(ids))
        for fieldset in root.xpath("//fieldset"):
            assert fieldset.xpath("./legend")
        policy = shown.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert shown.headers["x-frame-options"] == "DENY"
        assert shown.headers["referrer-policy"] == "no-referrer"
        assert shown.headers["cache-control"] == "no-store"
    assert challenge_of("x") not in page.text


async def test_the_demo_is_marked_as_such(smart):
    app = await smart.register()
    page = Page(await smart.browser().ask(app, SCOPE))
    assert "Démonstration" in page.text
    assert "Camille" in page.text


async def test_exceptional_access_needs_a_professional_a_reason_and_a_fresh_sign_in(smart):
    app, browser = await smart.register(), smart.browser()
    scope = "launch/patient offline_access patient/Patient.rs"
    await app.code(scope, DOCTOR, browser=browser, answer={"patient": "camille-lefevre"})
    answer = await smart.browser().authorize(app, scope, CAMILLE, access_mode="bris_de_glace")
    assert answer["error"] == "access_denied"
    page = Page(await browser.ask(app, scope, access_mode="bris_de_glace"))
    page = await browser.sign_in(page, DOCTOR)  # signed in already, but not since the request
    assert "Le patient en sera informé" in page.text
    refused = await browser.answer(page, patient="camille-lefevre")
    assert refused.status_code == 400
    answer = back(
        await browser.answer(
            Page(refused), patient="camille-lefevre", reason="Patient inconscient aux urgences"
        )
    )
    given = (await app.exchange(answer["code"])).json()
    assert given["expires_in"] <= 900
    assert "refresh_token" not in given


async def test_centre_15_is_answered_without_a_reason(smart):
    app, browser = await smart.register(), smart.browser()
    scope = "launch/patient patient/Patient.rs"
    page = Page(await browser.ask(app, scope, access_mode="centre_15"))
    page = await browser.sign_in(page, DOCTOR)
    assert not page.root.xpath("//input[@name='reason']")
    answer = back(await browser.answer(page, patient="camille-lefevre"))
    given = (await app.exchange(answer["code"])).json()
    assert given["expires_in"] <= 900
    assert (await smart.fhir(given["access_token"], "Patient/camille-lefevre")).status_code == 200
