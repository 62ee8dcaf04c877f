"""SMART checklist, token endpoint, id_token, introspection, revocation: T1 to T8."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from smart_browser import AUTH, BASE, CALLBACK, CAMILLE, DOCTOR, EC, LEA, RSA, Page, basic

SCOPE = "launch/patient openid fhirUser offline_access patient/Patient.rs"
SYSTEM = "system/Patient.rs"


def has_no_store(answer: httpx.Response) -> bool:
    return (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")


async def test_t1_the_answer_has_what_it_needs_and_is_not_kept(smart):
    app = await smart.register()
    answer = await app.exchange(await app.code(SCOPE))
    given = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert has_no_store(answer)
    assert given["token_type"] == "Bearer"
    assert 0 < given["expires_in"] <= 3600
    assert given["scope"] == SCOPE
    assert given["need_patient_banner"] is True
    style = await smart.http.get(given["smart_style_url"])
    assert style.json()["color_text"]
    assert has_no_store(await app.exchange("wrong"))


async def test_t1_parameters_come_in_the_form_alone(smart):
    app = await smart.register()
    code = await app.code(SCOPE)
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK,
              "client_id": app.id, "code_verifier": app.verifier}  # fmt: skip
    answer = await smart.http.post(f"{AUTH}/token", params=fields)
    assert answer.status_code == 400
    answer = await smart.http.post(f"{AUTH}/token", json=fields)
    assert answer.json()["error"] == "invalid_request"
    twice = httpx.QueryParams([*fields.items(), ("code", code)])
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await smart.http.post(f"{AUTH}/token", content=str(twice), headers=form)
    assert answer.json()["error"] == "invalid_request"
    assert (await smart.http.post(f"{AUTH}/token", data=fields)).status_code == 200


@pytest.mark.parametrize("kind", [("public", "none"), ("confidential", "basic")])
async def test_t2_the_code_verifier_has_to_fit(smart, kind):
    app = await smart.register(*kind)
    code = await app.code(SCOPE)
    challenge = app.request(SCOPE)["code_challenge"]
    for verifier in (None, "", "x" * 60, challenge, "short", app.verifier + "é"):
        answer = await app.exchange(code, code_verifier=verifier)
        assert answer.status_code == 400, verifier
        assert answer.json()["error"] in ("invalid_request", "invalid_grant")
    assert (await app.exchange(code)).status_code == 200


async def test_t2_errors_are_those_of_oauth(smart):
    app = await smart.register()
    assert (await app.exchange("nothing")).json()["error"] == "invalid_grant"
    answer = await app.post("token", grant_type="password")
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")
    assert (await app.post("token")).json()["error"] == "invalid_request"
    answer = await app.post("token", grant_type="client_credentials", scope=SYSTEM)
    assert answer.json()["error"] == "unauthorized_client"
    answer = await smart.http.post(f"{AUTH}/token", data={"grant_type": "authorization_code"})
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


async def test_t2_each_client_authenticates_in_its_own_way_alone(smart):
    code = {"grant_type": "authorization_code", "code": "x"}
    secret = await smart.register("confidential", "basic")
    signed = await smart.register("confidential", "ES384")
    public = await smart.register()
    wrong = [
        ({"client_id": secret.id}, {}),
        ({"client_id": secret.id, "client_secret": secret.secret}, {}),
        ({}, {"authorization": basic(secret.id, "guess")}),
        ({}, {"authorization": basic(public.id, "")}),
        ({}, {"authorization": "Basic !!!"}),
        ({}, {"authorization": "Digest x"}),
        ({"client_id": signed.id}, {}),
        ({"client_id": public.id, "client_secret": "x"}, {}),
        ({"client_id": public.id}, {"authorization": basic(secret.id, secret.secret)}),
    ]
    for fields, headers in wrong:
        answer = await smart.http.post(f"{AUTH}/token", data={**code, **fields}, headers=headers)
        assert answer.status_code == 401, fields
        assert answer.json()["error"] == "invalid_client"
    both = {"client_assertion": signed.assertion(), "client_assertion_type": "x"}
    header = {"authorization": basic(secret.id, secret.secret)}
    answer = await smart.http.post(f"{AUTH}/token", data={**code, **both}, headers=header)
    assert answer.json()["error"] == "invalid_request"
    for app in (secret, signed, public):
        assert (await app.exchange("x")).json()["error"] == "invalid_grant"


async def test_t2_a_wrong_secret_and_an_unknown_client_look_the_same(smart):
    app = await smart.register("confidential", "basic")
    fields = {"grant_type": "authorization_code", "code": "x"}
    answers, times = [], []
    for id in (app.id, "nobody-here"):
        began = time.perf_counter()
        answers.append(
            await smart.http.post(
                f"{AUTH}/token", data=fields, headers={"authorization": basic(id, "guess")}
            )
        )
        times.append(time.perf_counter() - began)
    assert answers[0].content == answers[1].content
    assert answers[0].status_code == answers[1].status_code == 401
    assert min(times) > 0.01  # both were hashed
    assert "www-authenticate" in answers[0].headers


@pytest.mark.parametrize("method", ["RS384", "ES384"])
@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "other"},
        {"sub": "other"},
        {"sub": None},
        {"iss": ["x"]},
        {"aud": "https://other.example/token"},
        {"aud": BASE},
        {"aud": [f"{AUTH}/token", "https://other.example"]},
        {"aud": None},
        {"exp": None},
        {"exp": 1},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 4_000_000_000},
        {"exp": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"header": {"kid": "other"}},
        {"header": {"kid": "../../etc/passwd"}},
        {"header": {"typ": "at+jwt"}},
        {"header": {"jku": "https://evil.example/keys"}},
        {"header": {"crit": ["alg"]}},
    ],
)
async def test_t3_an_assertion_that_is_not_right_is_invalid_client(smart, method, changed):
    app = await smart.register("backend", method, SYSTEM)
    assertion = app.assertion(**changed)
    answer = await app.backend(SYSTEM, client_assertion=assertion)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == "invalid_client"
    assert (await app.backend(SYSTEM)).status_code == 200


async def test_t3_algorithms_that_are_not_asked_for_are_refused(smart):
    app = await smart.register("backend", "RS384", SYSTEM)
    now = int(time.time())
    claims = {"iss": app.id, "sub": app.id, "aud": f"{AUTH}/token", "exp": now + 60, "jti": "a"}
    public = RSA.as_pem(private=False)
    forged = [
        jwt.encode({"alg": "HS256", "kid": "rsa-1"}, claims, OctKey.import_key(b"x" * 64)),
        jwt.encode({"alg": "RS256", "kid": "rsa-1"}, claims, RSA, algorithms=["RS256"]),
        jwt.encode(
            {"alg": "RS384", "kid": "rsa-1"},
            claims,
            RSAKey.generate_key(2048),
            algorithms=["RS384"],
        ),
        jwt.encode({"alg": "ES384", "kid": "rsa-1"}, claims, EC, algorithms=["ES384"]),
        "eyJhbGciOiJub25lIiwia2lkIjoicnNhLTEifQ." + app.assertion().split(".")[1] + ".",
        app.assertion()[:-6] + "AAAAAA",
        "a.b.c",
        "x",
        "." * 5000,
    ]
    import hmac
    from base64 import urlsafe_b64encode

    head = urlsafe_b64encode(b'{"alg":"HS384","kid":"rsa-1"}').rstrip(b"=")
    signed = head + b"." + app.assertion().split(".")[1].encode()
    mac = urlsafe_b64encode(hmac.digest(public, signed, "sha384")).rstrip(b"=")
    forged.append((signed + b"." + mac).decode())
    for assertion in forged:
        answer = await app.backend(SYSTEM, client_assertion=assertion)
        assert answer.json()["error"] == "invalid_client", assertion[:60]


async def test_t3_an_unknown_header_is_no_reason_to_refuse(smart):
    app = await smart.register("backend", "ES384", SYSTEM)
    assertion = app.assertion(header={"kty": "EC"})
    assert (await app.backend(SYSTEM, client_assertion=assertion)).status_code == 200


async def test_t3_an_assertion_counts_once_even_in_parallel(smart_on_both):
    app = await smart_on_both.register("backend", "ES384", SYSTEM)
    assertion = app.assertion()
    answers = await asyncio.gather(
        *(app.backend(SYSTEM, client_assertion=assertion) for _ in range(20))
    )
    assert [a.status_code for a in answers].count(200) == 1
    other = await smart_on_both.register("backend", "ES384", SYSTEM)
    other_ = other.assertion(jti="same")
    mine = app.assertion(jti="same")
    assert (await app.backend(SYSTEM, client_assertion=mine)).status_code == 200
    assert (await other.backend(SYSTEM, client_assertion=other_)).status_code == 200


async def test_t3_kid_selects_exactly_one_fitting_key(smart):
    same = ECKey.generate_key("P-384", {"kid": "rsa-1"}).as_dict(private=False)
    rsa = RSA.as_dict(private=False)
    app = await smart.register("backend", "RS384", SYSTEM, jwks={"keys": [same, rsa]})
    assert (await app.backend(SYSTEM)).status_code == 200
    second = RSAKey.generate_key(2048, {"kid": "rsa-1"}).as_dict(private=False)
    app = await smart.register("backend", "RS384", SYSTEM, jwks={"keys": [rsa, second]})
    assert (await app.backend(SYSTEM)).json()["error"] == "invalid_client"


async def test_t3_keys_are_fetched_from_the_registered_url_alone(smart, monkeypatch):
    url = "https://keys.example/jwks.json"
    asked = []

    async def fetched(self, asked_url, fresh=False):
        asked.append(asked_url)
        return {"keys": [EC.as_dict(private=False)]}

    monkeypatch.setattr("fhirserver.auth.fetch.Fetcher.json", fetched)
    app = await smart.register("backend", "ES384", SYSTEM, jwks_url=url)
    assert (await app.backend(SYSTEM)).status_code == 200
    with_jku = app.assertion(header={"jku": url})
    assert (await app.backend(SYSTEM, client_assertion=with_jku)).status_code == 200
    evil = app.assertion(header={"jku": "https://keys.example.evil.example/jwks.json"})
    assert (await app.backend(SYSTEM, client_assertion=evil)).json()["error"] == "invalid_client"
    assert set(asked) == {url}


async def test_t4_refresh_rotates_and_repeats_the_context(smart):
    app = await smart.register()
    given = await app.tokens(SCOPE)
    answer = await app.refresh(given["refresh_token"])
    new = answer.json()
    assert new["refresh_token"] != given["refresh_token"]
    assert new["access_token"] != given["access_token"]
    assert (new["patient"], new["scope"]) == (given["patient"], given["scope"])
    assert has_no_store(answer)


async def test_t4_refresh_is_bound_to_its_client(smart):
    app, other = await smart.register(), await smart.register()
    given = await app.tokens(SCOPE)
    assert (await other.refresh(given["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await app.refresh("made-up")).json()["error"] == "invalid_grant"
    assert (await app.refresh(given["access_token"])).json()["error"] == "invalid_grant"
    assert (await app.refresh(given["refresh_token"])).status_code == 200


async def test_t4_a_public_client_need_not_name_itself_again(smart):
    app = await smart.register()
    named = [await smart.register("confidential", method) for method in ("basic", "ES384")]
    token = (await app.tokens(SCOPE))["refresh_token"]
    fields = {"grant_type": "refresh_token", "refresh_token": token}
    answer = await smart.http.post(f"{AUTH}/token", data=fields)
    assert answer.status_code == 200, answer.text
    assert answer.json()["patient"] == "camille-lefevre"
    for each in named:
        fields["refresh_token"] = (await each.tokens(SCOPE))["refresh_token"]
        answer = await smart.http.post(f"{AUTH}/token", data=fields)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert (await each.refresh(fields["refresh_token"])).status_code == 200
    answer = await smart.http.post(f"{AUTH}/token", data={**fields, "refresh_token": "none"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_t4_reuse_of_a_rotated_token_ends_the_family(smart_on_both):
    door = smart_on_both
    app = await door.register()
    first = await app.tokens(SCOPE)
    second = (await app.refresh(first["refresh_token"])).json()
    assert (await app.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await app.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    for token in (first["access_token"], second["access_token"]):
        assert (await door.fhir(token, "Patient/camille-lefevre")).status_code == 401


async def test_t4_of_twenty_parallel_refreshes_one_wins(smart_on_both):
    app = await smart_on_both.register()
    given = await app.tokens(SCOPE)
    answers = await asyncio.gather(*(app.refresh(given["refresh_token"]) for _ in range(20)))
    assert [a.status_code for a in answers].count(200) == 1


async def test_t4_scopes_of_a_refresh_are_a_subset_by_meaning(smart):
    app = await smart.register()
    given = await app.tokens("launch/patient offline_access patient/*.rs")
    answer = await app.refresh(given["refresh_token"], scope="patient/Patient.r")
    assert answer.json()["scope"] == "patient/Patient.r"
    token, refresh = answer.json()["access_token"], answer.json()["refresh_token"]
    assert (await smart.fhir(token, "Patient/camille-lefevre")).status_code == 200
    assert (await smart.fhir(token, "Patient")).status_code == 403
    for more in ("patient/*.cruds", "user/Patient.r", "patient/Patient.r openid", "nonsense"):
        answer = await app.refresh(refresh, scope=more)
        assert answer.json()["error"] == "invalid_scope", more
    again = (await app.refresh(refresh)).json()
    assert again["scope"] == given["scope"]


async def test_t4_online_access_dies_with_the_session(smart):
    app, browser = await smart.register(), smart.browser()
    scope = "launch/patient online_access patient/Patient.rs"
    given = await app.tokens(scope, browser=browser)
    offline = await app.tokens(SCOPE, browser=browser)
    new = (await app.refresh(given["refresh_token"])).json()
    page = Page(await browser.ask(app, scope))
    answer = await browser.go("POST", f"{AUTH}/sign-out", data=dict(page.fields("/sign-out")))
    assert answer.status_code == 200
    assert (await app.refresh(new["refresh_token"])).json()["error"] == "invalid_grant"
    read = await smart.fhir(new["access_token"], "Patient/camille-lefevre")
    assert read.status_code == 401
    assert (await app.refresh(offline["refresh_token"])).status_code == 200


async def test_t4_without_offline_or_online_access_there_is_no_refresh_token(smart):
    app = await smart.register()
    assert "refresh_token" not in await app.tokens("launch/patient patient/Patient.rs")


@pytest.mark.parametrize("method", ["RS384", "ES384"])
async def test_t5_a_backend_gets_a_short_token_and_nothing_more(smart, method):
    app = await smart.register("backend", method, "system/Patient.rs system/Observation.cruds")
    given = (await app.backend("system/Patient.rs")).json()
    assert given["expires_in"] <= 300
    assert given["scope"] == "system/Patient.rs"
    assert {"refresh_token", "id_token", "patient"}.isdisjoint(given)


async def test_t5_scopes_of_a_backend_are_cut_to_what_it_was_registered_with(smart):
    app = await smart.register("backend", "ES384", "system/Observation.rs system/Patient.rs")
    answer = await app.backend("system/*.read system/Condition.rs")
    scopes = "system/Observation.read system/Patient.read"
    assert answer.json()["scope"] == scopes
    for scope in ("system/Condition.rs", "patient/Patient.rs", "user/*.rs", "", "nonsense"):
        answer = await app.backend(scope)
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_scope"


async def test_t6_the_id_token_says_who_signed_in(smart):
    app = await smart.register()
    before = int(time.time())
    given = await app.tokens(SCOPE, nonce="n-0")
    jwks = (await smart.http.get(f"{AUTH}/jwks")).json()
    token = jwt.decode(given["id_token"], KeySet.import_key_set(jwks), algorithms=["RS256"])
    claims = token.claims
    assert token.header["alg"] == "RS256"
    assert token.header["kid"] == jwks["keys"][0]["kid"]
    assert claims["iss"] == AUTH
    assert claims["aud"] == app.id
    assert claims["nonce"] == "n-0"
    assert before <= claims["iat"] <= claims["exp"] <= before + 4000
    assert 0 < len(claims["sub"]) <= 255
    assert "camille" not in claims["sub"]
    assert claims["fhirUser"] == f"{BASE}/{CAMILLE}"
    path = claims["fhirUser"].removeprefix(f"{BASE}/")
    assert (await smart.fhir(given["access_token"], path)).status_code == 200
    again = await app.tokens(SCOPE)
    second = jwt.decode(again["id_token"], KeySet.import_key_set(jwks), algorithms=["RS256"])
    assert second.claims["sub"] == claims["sub"]
    other = await app.tokens(SCOPE, DOCTOR, answer={"patient": "camille-lefevre"})
    third = jwt.decode(other["id_token"], KeySet.import_key_set(jwks), algorithms=["RS256"])
    assert third.claims["sub"] != claims["sub"]
    assert "/PractitionerRole/" in third.claims["fhirUser"]


@pytest.mark.parametrize(("person", "others"), [(CAMILLE, LEA), (DOCTOR, "Practitioner/unknown")])
async def test_t6_who_signed_in_is_read_with_these_scopes_alone(smart, person, others):
    answer = {"patient": "camille-lefevre"} if person == DOCTOR else {}
    app = await smart.register()
    given = await app.tokens("openid fhirUser patient/Condition.rs", person, answer=answer)
    claims = (await app.post("introspect", token=given["access_token"])).json()
    type, id = claims["fhirUser"].removeprefix(f"{BASE}/").split("/")
    for path, status in (
        (f"{type}/{id}", 200),
        (f"{type}/{others.split('/')[1]}", 404),
        (type, 403),
        (f"{type}?_id={id}", 403),
        ("Observation", 403),
    ):
        assert (await smart.fhir(given["access_token"], path)).status_code == status, path
    changed = await smart.fhir(
        given["access_token"], f"{type}/{id}", "PUT", json={"resourceType": type, "id": id}
    )
    assert changed.status_code == 403
    for scopes in ("openid patient/Condition.rs", "fhirUser patient/Condition.rs"):
        token = (await app.tokens(scopes, person, answer=answer))["access_token"]
        assert (await smart.fhir(token, f"{type}/{id}")).status_code == 403


async def test_t6_without_openid_there_is_no_id_token(smart):
    app = await smart.register()
    assert "id_token" not in await app.tokens("launch/patient patient/Patient.rs")
    given = await app.tokens("openid patient/Patient.rs")
    assert (
        "fhirUser"
        not in jwt.decode(
            given["id_token"],
            KeySet.import_key_set((await smart.http.get(f"{AUTH}/jwks")).json()),
            algorithms=["RS256"],
        ).claims
    )


async def test_t6_after_a_rotation_old_id_tokens_are_still_verified(smart):
    from fhirserver.auth.keys import Keys
    from fhirserver.auth.server import microseconds

    app = await smart.register()
    given = await app.tokens(SCOPE)
    await Keys(smart.store, microseconds).rotate()
    keys = Keys(smart.store, microseconds)
    public = await keys.public()
    assert len(public["keys"]) == 2
    key_set = KeySet.import_key_set(public)
    jwt.decode(given["id_token"], key_set, algorithms=["RS256"])
    signed = jwt.decode(await keys.sign({"a": 1}), key_set, algorithms=["RS256"])
    assert signed.header["kid"] == public["keys"][0]["kid"]


async def test_t7_introspection_tells_what_the_token_is_good_for(smart):
    app = await smart.register("confidential", "basic")
    given = await app.tokens(SCOPE)
    found = (await app.post("introspect", token=given["access_token"])).json()
    assert found["active"] is True
    assert set(found["scope"].split()) == set(SCOPE.split())
    assert found["client_id"] == app.id
    assert abs(found["exp"] - time.time() - given["expires_in"]) < 10
    assert found["patient"] == "camille-lefevre"
    assert found["need_patient_banner"] is True
    assert found["iss"] == AUTH
    assert found["sub"]
    assert found["fhirUser"] == f"{BASE}/{CAMILLE}"


async def test_t7_an_app_is_not_told_who_signed_in_unless_it_may_know(smart):
    app = await smart.register("confidential", "basic")
    given = await app.tokens("launch/patient patient/Patient.rs", DOCTOR,
                             answer={"patient": "camille-lefevre"})  # fmt: skip
    found = (await app.post("introspect", token=given["access_token"])).json()
    assert found["active"]
    assert not {"fhirUser", "sub", "iss"} & set(found)
    asker = await smart.register("confidential", "basic", introspector=True)
    found = (await asker.post("introspect", token=given["access_token"])).json()
    assert found["fhirUser"].startswith(f"{BASE}/PractitionerRole/")


async def test_t7_of_any_other_token_only_that_it_is_not_active(smart, monkeypatch):
    app, other = await smart.register("confidential", "basic"), await smart.register()
    foreign = await other.tokens(SCOPE)
    mine = await app.tokens(SCOPE)
    await app.post("revoke", token=mine["access_token"])
    for token in ("unknown", foreign["access_token"], mine["access_token"], "\u00e9" * 9):
        answer = await app.post("introspect", token=token)
        assert answer.status_code == 200
        assert answer.json() == {"active": False}
    monkeypatch.setattr("fhirserver.auth.tokens.BACKEND", 0)
    backend = await smart.register("backend", "ES384", SYSTEM)
    token = (await backend.backend(SYSTEM)).json()["access_token"]
    assert (await backend.post("introspect", token=token)).json() == {"active": False}
    assert (await smart.fhir(token, "Patient")).status_code == 401


async def test_t7_an_introspector_asks_with_a_bearer_token_about_any_client(smart):
    app = await smart.register()
    given = await app.tokens(SCOPE)
    resource_server = await smart.register("backend", "ES384", SYSTEM, introspector=True)
    token = (await resource_server.backend(SYSTEM)).json()["access_token"]
    form = {"token": given["access_token"]}
    bearer = {"authorization": f"Bearer {token}"}
    found = (await smart.http.post(f"{AUTH}/introspect", data=form, headers=bearer)).json()
    assert found["active"]
    assert found["client_id"] == app.id
    plain = await smart.register("backend", "ES384", SYSTEM)
    token = (await plain.backend(SYSTEM)).json()["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    answer = await smart.http.post(f"{AUTH}/introspect", data=form, headers=bearer)
    assert answer.json() == {"active": False}
    answer = await smart.http.post(
        f"{AUTH}/introspect", data=form, headers={"authorization": "Bearer made-up"}
    )
    assert answer.status_code == 401
    assert (await smart.http.post(f"{AUTH}/introspect", data=form)).status_code == 401


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_t8_revocation_ends_both_tokens_at_once(smart_on_both, which):
    door = smart_on_both
    app = await door.register()
    given = await app.tokens(SCOPE)
    assert (await app.post("revoke", token=given[which])).status_code == 200
    read = await door.fhir(given["access_token"], "Patient/camille-lefevre")
    assert read.status_code == 401
    assert read.headers["www-authenticate"].startswith("Bearer")
    assert (await app.refresh(given["refresh_token"])).json()["error"] == "invalid_grant"


async def test_t8_unknown_and_foreign_tokens_are_passed_over(smart):
    app, other = await smart.register(), await smart.register()
    given = await app.tokens(SCOPE)
    assert (await app.post("revoke", token="unknown")).status_code == 200
    assert (await other.post("revoke", token=given["access_token"])).status_code == 200
    read = await smart.fhir(given["access_token"], "Patient/camille-lefevre")
    assert read.status_code == 200
    assert (await app.post("revoke")).json()["error"] == "invalid_request"
