"""SMART checklist, discovery: D1 to D5."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from over_http import ROOT as ROOT_FOLDER
from smart_browser import AUTH, BASE

WELL_KNOWN = f"{BASE}/.well-known/smart-configuration"
FORGED = {
    "host": "evil.example",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "https",
    "forwarded": "host=evil.example",
}


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/fhir+xml", "text/turtle"])
async def test_d1_configuration_is_json_without_a_token_whatever_is_accepted(smart, accept):
    answer = await smart.http.get(WELL_KNOWN, headers={"accept": accept, **FORGED})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert "evil" not in answer.text
    for name, value in answer.json().items():
        if name.endswith(("_endpoint", "_uri")) or name == "issuer":
            assert value.startswith(AUTH)


async def test_statement_says_that_nobody_chooses_an_id(smart):
    statement = (await smart.http.get(f"{BASE}/metadata?_elements=rest")).json()
    assert not any(each["updateCreate"] for each in statement["rest"][0]["resource"])


async def test_d2_what_the_capabilities_need_is_there(smart):
    found = (await smart.http.get(WELL_KNOWN)).json()
    assert found["token_endpoint"] == f"{AUTH}/token"
    assert {"authorization_code", "client_credentials"} <= set(found["grant_types_supported"])
    assert all(isinstance(each, str) for each in found["capabilities"])
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_endpoint"] == f"{AUTH}/authorize"
    assert found["issuer"] == AUTH
    assert found["jwks_uri"] == f"{AUTH}/jwks"
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    algorithms = found["token_endpoint_auth_signing_alg_values_supported"]
    assert {"RS384", "ES384"} == set(algorithms)


async def test_d3_every_scope_that_is_supported_can_be_had(smart):
    found = (await smart.http.get(WELL_KNOWN)).json()
    scopes = [s for s in found["scopes_supported"] if not s.startswith("system/")]
    app = await smart.register(scopes=" ".join(scopes), launcher=True)
    browser = smart.browser()
    given = await app.tokens("launch/patient patient/*.rs", browser=browser)
    launch = await smart.http.post(
        "/auth/launch",
        json={"client_id": app.id, "encounter": "e"},
        headers={"authorization": f"Bearer {given['access_token']}"},
    )
    asked = [s for s in scopes if s != "online_access"]
    given = await app.tokens(" ".join(asked), browser=browser, launch=launch.json()["launch"])
    assert set(given["scope"].split()) == set(asked)
    system = [s for s in found["scopes_supported"] if s.startswith("system/")]
    backend = await smart.register("backend", "RS384", " ".join(system))
    answer = await backend.backend(" ".join(system))
    assert set(answer.json()["scope"].split()) == set(system)
    assert found["revocation_endpoint"] == f"{AUTH}/revoke"
    assert found["introspection_endpoint"] == f"{AUTH}/introspect"


async def test_d4_capabilities_are_those_of_this_version(smart):
    found = set((await smart.http.get(WELL_KNOWN)).json()["capabilities"])
    assert {"launch-ehr", "context-ehr-patient", "permission-patient", "client-public"} <= found
    assert {"launch-standalone", "permission-v1", "permission-v2", "authorize-post"} <= found
    assert not {"smart-app-state", "permission-patient-v3"} & found


async def test_d4_each_capability_has_tests_in_the_documentation(smart):
    found = (await smart.http.get(WELL_KNOWN)).json()["capabilities"]
    page = (ROOT_FOLDER / "docs" / "auth.md").read_text()
    table = page.partition("## SMART capabilities")[2]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    described = [name for row in rows for name in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(described) == sorted(found)
    written = "".join(f.read_text() for f in Path(__file__).parent.glob("test_auth_*.py"))
    for capabilities, tests in rows:
        named = re.findall(r"`(test_\w+)`", tests)
        assert named, capabilities
        for test in named:
            assert f"def {test}(" in written, test


async def test_the_brand_says_where_this_is(smart):
    found = (await smart.http.get(WELL_KNOWN)).json()
    answer = await smart.http.get(found["user_access_brand_bundle"], headers=FORGED)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["etag"].startswith('W/"')
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    assert bundle["timestamp"].endswith("+00:00")
    by_type = {e["resource"]["resourceType"]: e for e in bundle["entry"]}
    assert len(by_type) == len(bundle["entry"]) == 2
    brand, endpoint = by_type["Organization"]["resource"], by_type["Endpoint"]["resource"]
    assert found["user_access_brand_identifier"] in brand["identifier"]
    assert brand["endpoint"][0]["reference"] == by_type["Endpoint"]["fullUrl"]
    assert endpoint["address"] == BASE
    token = await (await smart.register()).tokens("launch/patient patient/Patient.rs")
    sent = {"headers": {"content-type": "application/fhir+json"}, "content": answer.content}
    checked = await smart.fhir(token["access_token"], "Bundle/$validate", "POST", **sent)
    assert not [i for i in checked.json()["issue"] if i["severity"] in ("fatal", "error")]
    for tag in (answer.headers["etag"], f'"x", {answer.headers["etag"]}', "*"):
        again = await smart.http.get("/auth/brands", headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
    again = await smart.http.get("/auth/brands", headers={"if-none-match": '"x"'})
    assert again.json() == bundle


@pytest.mark.parametrize("path", ["/.well-known/smart-configuration", "/metadata"])
async def test_d5_any_origin_reads_what_is_public(smart, path):
    origin = {"origin": "https://anywhere.example"}
    answer = await smart.http.get(f"{BASE}{path}", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    preflight = {**origin, "access-control-request-method": "GET"}
    answer = await smart.http.options(f"{BASE}{path}", headers=preflight)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_d5_token_endpoint_and_api_are_for_origins_of_clients(smart):
    known = {"origin": "https://app.example", "access-control-request-method": "POST",
             "access-control-request-headers": "authorization"}  # fmt: skip
    app = await smart.register(origins=("https://app.example",))
    import asyncio

    await asyncio.sleep(1.2)  # origins are looked at once a second
    for url in (f"{AUTH}/token", f"{BASE}/Patient"):
        answer = await smart.http.options(url, headers=known)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        other = {**known, "origin": "https://app.example.evil.example"}
        answer = await smart.http.options(url, headers=other)
        assert "access-control-allow-origin" not in answer.headers
    answer = await app.exchange("x", headers={"origin": "https://app.example"})
    assert answer.status_code == 400
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    answer = await app.exchange("x", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_openid_configuration_and_keys(smart):
    found = (await smart.http.get(f"{AUTH}/.well-known/openid-configuration")).json()
    assert found["issuer"] == AUTH
    assert found["response_types_supported"] == ["code"]
    assert found["subject_types_supported"] == ["public"]
    assert "RS256" in found["id_token_signing_alg_values_supported"]
    (key,) = (await smart.http.get(found["jwks_uri"])).json()["keys"]
    assert set(key) == {"kty", "kid", "use", "alg", "n", "e"}
    assert key["kty"] == "RSA"


async def test_capability_statement_says_smart(smart):
    statement = (await smart.http.get(f"{BASE}/metadata")).json()
    security = statement["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    uris = {e["url"]: e["valueUri"] for e in security["extension"][0]["extension"]}
    assert uris["token"] == f"{AUTH}/token"
    assert uris["authorize"] == f"{AUTH}/authorize"
