"""Client libraries that others wrote complete a launch and a search against a running server.

`fhirclient` of PyPI and `fhirclient` of npm: both do PKCE with S256, the one of npm also
authenticates by a signed assertion. The consent screen is filled in as the person's browser would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import ECKey
from over_http import ROOT, database_in, start, stop
from smart_browser import Browser, Page

APP = Path(__file__).parent / "smart_app"
SCOPES = "openid fhirUser offline_access patient/Patient.rs patient/Observation.rs"
CITIZEN, CITIZEN_ID = "Patient/marcel-dubois", "marcel-dubois"


def command(database: str, *arguments: str, **environment: str) -> str:
    """What `fhirserver …` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "fhirserver.cli", *arguments, "--database", database],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def running(request, tmp_path_factory):
    """A server process with the sample people, and its database."""
    folder = tmp_path_factory.mktemp(f"clients-{request.param}")
    if request.param == "sqlite":
        database = f"sqlite:///{folder}/store.db"
    elif url := os.environ.get("FHIRSERVER_TEST_MONGODB"):
        # A busy wire server may take long; each of these commands has a process of its own.
        longer = "&timeoutMS=60000" if "?" in url else "?timeoutMS=60000"
        database = database_in(url + longer, f"clients_{uuid.uuid4().hex[:12]}")
    else:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    command(database, "load", str(ROOT / "examples"))
    with socket.socket() as probe:  # tokens are for one address, so it is chosen before
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    server = start(folder, database, request.param, FHIRSERVER_AUTH="smart", FHIRSERVER_PORT=port)
    yield server.base_url, database
    stop(server)
    assert "Traceback" not in server.log.read_text(errors="replace")


def register(database: str, redirect_uri: str, type: str, *more: str) -> tuple[str, str]:
    """A new client's id, and its secret if it is given one."""
    id = f"app-{uuid.uuid4().hex[:8]}"
    secret = command(
        database, "client", "add", "--id", id, "--name", "An app", "--type", type,
        "--redirect-uri", redirect_uri, "--scope", f"launch launch/patient {SCOPES}", *more,
    )  # fmt: skip
    return id, secret


async def allow(base_url: str, url: str, *, person: str = CITIZEN) -> str:
    """Where the person's browser is sent after it opened `url`, signed in and allowed all."""
    browser = Browser(None, {}, base_url.removesuffix("/fhir"))
    async with browser.http:
        page = Page(await browser.go("GET", url))
        page = await browser.sign_in(page, person)
        answer = await browser.answer(page)
    assert answer.status_code == 303, Page(answer).text
    return answer.headers["location"]


@pytest.mark.parametrize("type", ["public", "confidential"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning:fhirclient.*")
async def test_the_fhirclient_of_pypi_is_launched_and_searches(running, type):
    client_module = pytest.importorskip("fhirclient.client", reason="fhirclient is not installed")
    from fhirclient.models.observation import Observation

    base_url, database = running
    redirect_uri = "https://app.example/callback"
    id, secret = register(database, redirect_uri, type)
    assert bool(secret) == (type == "confidential")
    settings = {"app_id": id, "app_secret": secret or None, "api_base": base_url,
                "redirect_uri": redirect_uri, "scope": SCOPES}  # fmt: skip
    app = client_module.FHIRClient(settings=settings)
    assert not await asyncio.to_thread(app.prepare)
    assert "code_challenge_method=S256" in app.authorize_url
    answer = await allow(base_url, app.authorize_url)

    def rest() -> None:
        app.handle_callback(answer)
        assert app.ready
        assert app.patient_id == CITIZEN_ID
        assert app.patient.id == CITIZEN_ID
        assert app.patient.name[0].family
        search = Observation.where({"_count": "100"})
        found = search.perform_resources(app.server)
        assert len(found) > 5
        assert {each.subject.reference for each in found} == {CITIZEN}
        assert app.reauthorize()
        assert app.patient_id == CITIZEN_ID
        assert [each.id for each in search.perform_resources(app.server)] == [f.id for f in found]

    await asyncio.to_thread(rest)


@pytest.fixture(scope="session")
def npm_app():
    """The folder of the app with the package it needs, installed from the configured registry."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = ROOT / ".cache" / "smart_app"
    folder.mkdir(parents=True, exist_ok=True)
    for file in APP.iterdir():
        shutil.copy(file, folder)
    wanted = json.loads((APP / "package.json").read_text())["dependencies"]["fhirclient"]
    there = folder / "node_modules" / "fhirclient" / "package.json"
    if not there.exists() or json.loads(there.read_text())["version"] != wanted:
        quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        done = subprocess.run(
            ["npm", "install", "--omit=optional", *quiet],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode:
            pytest.skip(f"npm cannot install fhirclient: {done.stderr.strip()[:300]}")
    return folder


@contextlib.asynccontextmanager
async def node(folder: Path, options: dict):
    """The app's process; its address."""
    process = await asyncio.create_subprocess_exec(
        "node", "app.js", cwd=folder, env={**os.environ, "APP": json.dumps(options)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("launch", ["standalone", "ehr"])
@pytest.mark.parametrize("type", ["public", "symmetric", "asymmetric"])
async def test_the_fhirclient_of_npm_is_launched_and_searches(
    running, npm_app, tmp_path, type, launch
):
    base_url, database = running
    options: dict = {"pkceMode": "required"}
    options["scope"] = f"{'launch' if launch == 'ehr' else 'launch/patient'} {SCOPES}"
    more: tuple[str, ...] = ()
    if type == "asymmetric":
        key = ECKey.generate_key("P-384", {"kid": "npm-1", "alg": "ES384"})
        jwks = tmp_path / "jwks.json"
        jwks.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
        more = ("--jwks", str(jwks))
        options["clientPrivateJwk"] = key.as_dict(private=True)
        # The refresh of fhirclient sends no assertion, so the app does without.
        options["scope"] = options["scope"].replace("offline_access ", "")
    kind = "public" if type == "public" else "confidential"
    # The app's port is not known yet, and nobody but this test follows the redirect.
    redirect_uri = f"https://app-{uuid.uuid4().hex[:8]}.example/callback"
    options["redirectUri"] = redirect_uri
    options["clientId"], secret = register(database, redirect_uri, kind, *more)
    if secret:
        options["clientSecret"] = secret
    if launch == "standalone":
        options["iss"] = base_url
    async with node(npm_app, options) as address, httpx.AsyncClient(timeout=60) as http:
        query = {}
        if launch == "ehr":
            value = await launched(base_url, database, options["clientId"])
            query = {"iss": base_url, "launch": value}
        answer = await http.get(f"{address}/launch", params=query)
        assert answer.status_code == 302, answer.text
        back = await allow(base_url, answer.headers["location"])
        assert back.startswith(f"{redirect_uri}?")
        answer = await http.get(f"{address}/callback?{back.partition('?')[2]}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["patient"]["id"] == CITIZEN_ID
    assert found["again"] == (None if type == "asymmetric" else CITIZEN_ID)
    assert found["user"] == CITIZEN
    assert len(found["observations"]) > 5
    assert {each["subject"] for each in found["observations"]} == {CITIZEN}
    assert found["context"]["patient"] == CITIZEN_ID
    if launch == "ehr":
        assert found["context"]["intent"] == "show-measures"


async def launched(base_url: str, database: str, app: str) -> str:
    """A launch value of a portal where the citizen is signed in."""
    from smart_browser import challenge_of

    uri = "https://portal.example/callback"
    portal, _ = register(database, uri, "public", "--launcher")
    request = {
        "response_type": "code", "client_id": portal, "redirect_uri": uri, "state": "s",
        "scope": "patient/Patient.rs", "aud": base_url,
        "code_challenge": challenge_of("v" * 43), "code_challenge_method": "S256",
    }  # fmt: skip
    auth = base_url.removesuffix("fhir") + "auth"
    back = await allow(base_url, str(httpx.URL(f"{auth}/authorize", params=request)))
    exchange = {"grant_type": "authorization_code", "code": httpx.URL(back).params["code"],
                "redirect_uri": uri, "client_id": portal, "code_verifier": "v" * 43}  # fmt: skip
    async with httpx.AsyncClient(timeout=60) as http:
        given = (await http.post(f"{auth}/token", data=exchange)).json()
        answer = await http.post(
            f"{auth}/launch",
            json={"client_id": app, "patient": CITIZEN_ID, "intent": "show-measures"},
            headers={"authorization": f"Bearer {given['access_token']}"},
        )
    assert answer.status_code == 201, answer.text
    assert answer.json()["iss"] == base_url
    return answer.json()["launch"]
