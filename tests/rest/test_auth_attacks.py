"""Attacks on the authorization server, over HTTP (and what it does with floods of failures)."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from smart_browser import (
    AUTH,
    BASE,
    CALLBACK,
    CAMILLE,
    Page,
    back,
    basic,
    close_door,
    open_door,
    people,
)

from fhirserver.app import build
from fhirserver.settings import Settings

SCOPE = "launch/patient openid patient/Patient.rs"


async def consent_page(app, browser, scope=SCOPE):
    return await browser.sign_in(Page(await browser.ask(app, scope)), CAMILLE)


@pytest.mark.parametrize("csrf", ["", "x", "é" * 40])
async def test_consent_without_the_csrf_token_is_refused(smart, csrf):
    app, browser = await smart.register(), smart.browser()
    page = await consent_page(app, browser)
    answer = await browser.answer(page, csrf=csrf)
    assert answer.status_code == 403
    assert "location" not in answer.headers
    assert back(await browser.answer(page))["code"]


async def test_consent_from_another_browser_is_refused(smart):
    app, browser, other = await smart.register(), smart.browser(), smart.browser()
    page = await consent_page(app, browser)
    await consent_page(app, other)
    assert (await other.answer(page)).status_code == 403
    assert (await smart.browser().answer(page)).status_code == 403
    handle = dict(page.fields("/consent"))["request"]
    for path in (f"consent?request={handle}", f"sign-in?request={handle}"):
        assert (await other.go("GET", f"{AUTH}/{path}")).status_code == 403


async def test_a_request_is_answered_once_even_in_parallel(smart):
    app, browser = await smart.register(), smart.browser()
    page = await consent_page(app, browser)
    answers = await asyncio.gather(*(browser.answer(page) for _ in range(10)))
    assert [a.status_code for a in answers].count(303) == 1
    assert (await browser.answer(page)).status_code == 403


async def test_signing_in_gives_the_browser_a_new_cookie(smart):
    app, browser = await smart.register(), smart.browser()
    await browser.ask(app, SCOPE)
    before = browser.http.cookies["session"]
    await consent_page(app, browser)
    assert browser.http.cookies["session"] != before
    fixed = smart.browser(cookie="session=" + "a" * 43)
    page = Page(await fixed.ask(app, SCOPE))
    await fixed.sign_in(page, CAMILLE)
    stranger = smart.browser(cookie="session=" + "a" * 43)
    page = Page(await stranger.ask(app, SCOPE))
    assert any(form.action.endswith("/sign-in") for form in page.root.forms)


async def test_sign_in_needs_its_csrf_token_too(smart):
    app, browser = await smart.register(), smart.browser()
    page = Page(await browser.ask(app, SCOPE))
    fields = {**dict(page.fields("/sign-in")), "person": CAMILLE, "csrf": "x"}
    assert (await browser.go("POST", f"{AUTH}/sign-in", data=fields)).status_code == 403


async def test_cookies_are_for_this_host_over_https_only(tmp_path):
    settings = {"base_url": "https://sante.example/fhir"}
    door, lifespan = await open_door(f"sqlite:///{tmp_path}/s.db", **settings)
    app = await door.register()
    parameters = app.request(SCOPE, aud="https://sante.example/fhir")
    answer = await door.http.get("/auth/authorize", params=parameters)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-session=")
    for part in ("; Path=/", "; Secure", "; HttpOnly", "; SameSite=lax"):
        assert part in cookie
    assert "domain" not in cookie.lower()
    assert answer.headers["location"].startswith("https://sante.example/auth/")
    page = await door.http.get("/auth/authorize", params={**parameters, "client_id": "nobody"})
    assert "max-age" in page.headers["strict-transport-security"]
    await close_door(door, lifespan)


async def test_forged_hosts_change_nothing(smart):
    app = await smart.register()
    forged = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https",
              "x-forwarded-prefix": "/evil", "host": "evil.example"}  # fmt: skip
    answer = await smart.http.get("/auth/authorize", params=app.request(SCOPE), headers=forged)
    assert answer.headers["location"].startswith(AUTH)
    assert "evil" not in str(answer.headers)
    given = await app.tokens(SCOPE)
    read = await smart.fhir(given["access_token"], "Patient?_count=1", headers=forged)
    assert read.status_code == 200
    assert "evil" not in read.text
    answer = await smart.http.get("/auth/.well-known/openid-configuration", headers=forged)
    assert "evil" not in answer.text
    wrong = app.request(SCOPE, aud="http://evil.example/fhir")
    answer = await smart.http.get("/auth/authorize", params=wrong, headers=forged)
    assert back(answer)["error"] == "invalid_request"


async def test_a_token_in_the_url_is_none(smart):
    app = await smart.register()
    token = (await app.tokens(SCOPE))["access_token"]
    for path in (f"Patient?access_token={token}", f"Patient/camille-lefevre?access_token={token}"):
        answer = await smart.http.get(f"{BASE}/{path}")
        assert answer.status_code == 401
    answer = await smart.http.post(
        f"{BASE}/Patient/_search",
        data={"access_token": token},
    )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer x y", "bearer " + "a" * 600, "Token x",
     "Bearer é", "Bearer null", "Bearer undefined"],
)  # fmt: skip
async def test_anything_but_a_valid_token_is_unauthenticated(smart, header):
    raw = {"authorization": header.encode("latin-1")}
    for path in ("Patient", "Patient/camille-lefevre", "", "Patient/$validate", "_history"):
        answer = await smart.http.get(f"{BASE}/{path}", headers=raw)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["cache-control"] == "no-store"
        assert "Authorization" in answer.headers["vary"]


async def test_nobodys_body_is_read_without_a_token(smart):
    read = []

    async def body():
        for _ in range(1000):
            read.append(1)
            yield b"x" * 65536

    answer = await smart.http.post(
        f"{BASE}/Patient", content=body(), headers={"content-type": "application/fhir+json"}
    )
    assert answer.status_code == 401
    assert len(read) < 10


async def test_refresh_tokens_and_codes_are_no_access_tokens(smart):
    app = await smart.register()
    given = await app.tokens("launch/patient openid offline_access patient/Patient.rs")
    code = await app.code(SCOPE)
    for secret in (given["refresh_token"], given["id_token"], code):
        answer = await smart.fhir(secret, "Patient/camille-lefevre")
        assert answer.status_code == 401


@pytest.fixture
def slow(monkeypatch):
    """A window of a day: none ends while a test counts."""
    monkeypatch.setattr("fhirserver.auth.rate.WINDOW", 86_400)


async def test_twenty_bad_secrets_a_minute_are_enough(slow, smart):
    app = await smart.register("confidential", "basic")
    wrong = {"authorization": basic(app.id, "guess")}
    fields = {"grant_type": "authorization_code", "code": "x"}
    statuses = []
    for _ in range(22):
        answer = await smart.http.post(f"{AUTH}/token", data=fields, headers=wrong)
        statuses.append(answer.status_code)
    assert statuses == [401] * 20 + [429] * 2
    assert 0 < int(answer.headers["retry-after"]) <= 86_401
    assert answer.headers["cache-control"] == "no-store"
    assert (await app.exchange("x")).status_code == 429  # the right secret waits too
    other = await smart.register()
    assert await other.tokens(SCOPE)


async def test_all_processes_of_a_server_count_together_also_after_a_restart(slow, smart_on_both):
    smart = smart_on_both
    app = await smart.register("confidential", "basic")
    wrong = {"authorization": basic(app.id, "guess")}
    fields = {"grant_type": "authorization_code", "code": "x"}

    async def status(http):
        return (await http.post(f"{AUTH}/token", data=fields, headers=wrong)).status_code

    built = build(Settings(_env_file=None, auth="smart", base_url=BASE, database=smart.database))
    async with built.lifespan(), httpx.AsyncClient(transport=httpx.ASGITransport(built)) as second:
        statuses = [await status((smart.http, second)[n % 2]) for n in range(20)]
        assert statuses == [401] * 20
        assert [await status(smart.http), await status(second)] == [429, 429]
        assert (await app.exchange("x")).status_code == 429
    again = build(Settings(_env_file=None, auth="smart", base_url=BASE, database=smart.database))
    async with again.lifespan(), httpx.AsyncClient(transport=httpx.ASGITransport(again)) as third:
        assert await status(third) == 429


async def test_of_many_guesses_at_once_no_more_than_the_limit_are_judged(slow, smart):
    app = await smart.register("confidential", "basic")
    wrong = {"authorization": basic(app.id, "guess")}
    fields = {"grant_type": "authorization_code", "code": "x"}
    answers = await asyncio.gather(
        *(smart.http.post(f"{AUTH}/token", data=fields, headers=wrong) for _ in range(30))
    )
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {401, 429}
    assert statuses.count(401) <= 20


async def test_sixty_failures_from_one_address_are_enough(slow, smart):
    statuses = set()
    for n in range(61):
        fields = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": f"c{n}"}
        statuses.add((await smart.http.post(f"{AUTH}/token", data=fields)).status_code)
    assert statuses == {401, 429}


async def test_requests_that_are_kept_are_bounded_too(slow, smart):
    app = await smart.register()
    url = httpx.URL(f"{AUTH}/authorize", params=app.request(SCOPE))
    answers = [await smart.http.get(url) for _ in range(601)]
    assert {a.status_code for a in answers[:600]} == {303}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_no_address_sends_a_browser_to_the_host_it_names(smart):
    forged = {"host": "evil.example"}
    for method, path in (("POST", "/auth/token/"), ("GET", "/auth/authorize/"), ("GET", "/auth/"),
                         ("PUT", "/auth/token"), ("GET", "/auth//authorize")):  # fmt: skip
        answer = await smart.http.request(method, path, headers=forged)
        assert answer.status_code in (404, 405), (path, answer.headers)
        assert "location" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


async def test_twenty_bad_sign_ins_a_minute_are_enough(slow, smart):
    app, browser = await smart.register(), smart.browser()
    page = Page(await browser.ask(app, SCOPE))
    statuses = []
    for _ in range(21):
        fields = {**dict(page.fields("/sign-in")), "person": "Patient/nobody"}
        answer = await browser.go("POST", f"{AUTH}/sign-in", data=fields)
        statuses.append(answer.status_code)
    assert statuses == [400] * 20 + [429]
    assert answer.headers["retry-after"]


async def test_no_secret_is_logged(smart, capfd):
    app = await smart.register("confidential", "basic")
    browser = smart.browser()
    code = (await browser.authorize(app, f"{SCOPE} offline_access"))["code"]
    given = (await app.exchange(code)).json()
    await app.exchange(code)
    await app.refresh(given["refresh_token"])
    await smart.fhir(given["access_token"], f"Patient?access_token={given['access_token']}")
    signed = await smart.register("backend", "ES384", "system/*.rs")
    assertion = signed.assertion(exp=1)
    await signed.backend("system/*.rs", client_assertion=assertion)
    said = "".join(capfd.readouterr())
    for secret in (code, given["access_token"], given["refresh_token"], app.secret, assertion,
                   browser.http.cookies["session"], app.verifier):  # fmt: skip
        assert secret not in said


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "{{ 7 * 7 }}", '"><img src=x onerror=alert(1)>', "a\x00b"],
)
async def test_what_others_wrote_is_shown_as_text(smart, text):
    name = text.replace("\x00", "")
    app = await smart.register(id="named")
    import msgspec

    await smart.clients.put(msgspec.structs.replace(app.client, name=name))
    page = Page(await smart.browser().ask(app, SCOPE, state=text))
    if "\x00" in text:
        assert page.status == 400
        return
    assert "<script>" not in page.response.text
    assert "<img" not in page.response.text
    assert name in page.text
    assert "49" not in page.text or "49" in name


async def test_hostile_requests_are_answered_without_an_error(smart):
    app = await smart.register()
    form = {"content-type": "application/x-www-form-urlencoded"}
    bodies = [b"\xff\xfe=1", b"a=1&" * 5000, b"%", b"grant_type=%00", b"=", b"&&&",
              b"grant_type[$gt]=&client_id[$ne]=x", b"x" * 200_000]  # fmt: skip
    for path in ("token", "introspect", "revoke", "authorize", "consent", "sign-in", "sign-out"):
        for body in bodies:
            answer = await smart.http.post(f"/auth/{path}", content=body, headers=form)
            assert 400 <= answer.status_code < 500, (path, body[:20])
        answer = await smart.http.post(f"/auth/{path}", content=b"{}")
        assert 400 <= answer.status_code < 500
    for body in (b"", b"[]", b"{" * 3000, b'{"client_id": 1}', b"\xff"):
        given = await app.tokens(SCOPE)
        bearer = {"authorization": f"Bearer {given['access_token']}"}
        answer = await smart.http.post("/auth/launch", content=body, headers=bearer)
        assert answer.status_code == 400
    for path in ("consent", "sign-in", "sign-in/nobody", "callback/nobody", "consent?request=x"):
        answer = await smart.http.get(f"/auth/{path}")
        assert answer.status_code == 403, path


async def test_registration_is_not_open(smart):
    for path in ("register", "clients", "client"):
        answer = await smart.http.post(f"/auth/{path}", json={"redirect_uris": [CALLBACK]})
        assert answer.status_code == 404


async def test_production_has_no_demo_people(tmp_path, monkeypatch):
    from fhirserver.settings import Settings

    made = Settings(_env_file=None, environment="production", base_url="https://a.example/fhir",
                    identity_providers="x.json", auth="smart")  # fmt: skip
    assert made.problems() == []
    assert made.demo is False
    assert any(people())
    door, lifespan = await open_door(f"sqlite:///{tmp_path}/s.db", demo_identities=False)
    app, browser = await door.register(), door.browser()
    page = Page(await browser.ask(app, SCOPE))
    assert page.status == 200
    assert "Camille" not in page.text
    fields = {"request": str(page.response.url).rpartition("request=")[2], "person": CAMILLE}
    answer = await browser.go("POST", f"{AUTH}/sign-in", data=fields)
    assert answer.status_code == 403
    await close_door(door, lifespan)


async def test_a_proxy_that_is_not_trusted_is_not_believed():
    from starlette.requests import Request

    from fhirserver.auth.answering import address_of

    def request(client, forwarded):
        headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
        return Request({"type": "http", "headers": headers, "client": (client, 1)})

    assert address_of(request("9.9.9.9", "1.1.1.1"), ("127.0.0.1",)) == "9.9.9.9"
    assert address_of(request("127.0.0.1", "1.1.1.1, 2.2.2.2"), ("127.0.0.1",)) == "2.2.2.2"
    assert address_of(request("127.0.0.1", ""), ("127.0.0.1",)) == "127.0.0.1"
    chain = request("127.0.0.1", "1.1.1.1, 10.0.0.1")
    assert address_of(chain, ("127.0.0.1", "10.0.0.0/8")) == "1.1.1.1"
