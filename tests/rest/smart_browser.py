"""A person with a browser, and apps of every kind, against a server with `--auth smart`."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import time
import uuid
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from lxml import html

from fhirserver.app import build, context_of, open_engine
from fhirserver.auth.client import Client, Clients, hash_secret
from fhirserver.auth.server import microseconds
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.update import update
from fhirserver.model import shipped
from fhirserver.settings import Settings

ROOT = "http://testserver"
BASE = f"{ROOT}/fhir"
AUTH = f"{ROOT}/auth"
CALLBACK = "https://app.example/callback"
CAMILLE, LEA = "Patient/camille-lefevre", "Patient/lea-lefevre"
DOCTOR = "Practitioner/claire-fontaine"
SEEDED = ("Patient", "RelatedPerson", "Practitioner", "PractitionerRole", "Organization", "Consent")
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
EC = ECKey.generate_key("P-384", {"kid": "ec-1"})
SECRET_HASH: dict[str, str] = {}


def challenge_of(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def people():
    """The sample people and their choices."""
    for file in sorted(shipped.folder("examples").glob("*.json")):
        for entry in json.loads(file.read_bytes()).get("entry", []):
            if entry["resource"]["resourceType"] in SEEDED:
                yield entry["resource"]


class Door:
    """The server in this process, its store, and whoever talks to it."""

    database = ""

    def __init__(self, app, store, context) -> None:
        self.app = app
        self.store = store
        self.context = context
        self.clients = Clients(store, microseconds)
        self.transport = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=self.transport, base_url=ROOT)

    def browser(self, **headers) -> Browser:
        return Browser(self.transport, headers)

    async def put(self, *resources) -> None:
        for resource in resources:
            await update(self.context, resource["resourceType"], resource["id"], resource)

    async def register(self, kind="public", method="none", scopes="", **more) -> App:
        """An app of a new client id. `method`: none, basic, RS384 or ES384."""
        id = more.pop("id", f"app-{uuid.uuid4().hex[:8]}")
        secret = ""
        if method == "basic":
            secret = "s€cret:of+" + id
            more["secret_hash"] = hash_secret(secret)
        elif method in ("RS384", "ES384") and "jwks_url" not in more:
            key = RSA if method == "RS384" else EC
            more.setdefault("jwks", {"keys": [key.as_dict(private=False)]})
        if kind != "backend":
            more.setdefault("redirect_uris", (CALLBACK,))
        client = Client(id, f"App {id}", kind, scopes or ALL_SCOPES, **more)
        await self.clients.add(client)
        return App(self, client, method, secret)

    async def fhir(self, token, path, method="GET", **more) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
        return await self.http.request(method, f"{BASE}/{path}", headers=headers, **more)


ALL_SCOPES = (
    "openid fhirUser launch launch/patient launch/encounter offline_access online_access "
    "patient/*.cruds user/*.cruds"
)


@dataclass
class App:
    """A client and what it knows: its way to authenticate, the verifier of its last request."""

    door: Door
    client: Client
    method: str
    secret: str = ""
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(12) + "=&é")

    @property
    def id(self) -> str:
        return self.client.id

    def request(self, scope: str, **changed) -> dict[str, str]:
        """The parameters of an authorization request; None takes one away."""
        parameters = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": CALLBACK,
            "scope": scope,
            "state": self.state,
            "aud": BASE,
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            **changed,
        }
        return {name: value for name, value in parameters.items() if value is not None}

    def assertion(self, **changed) -> str:
        key = RSA if self.method == "RS384" else EC
        header = {"alg": self.method, "kid": key.kid, "typ": "JWT", **changed.pop("header", {})}
        now = int(time.time())
        claims = {
            "iss": self.id,
            "sub": self.id,
            "aud": f"{AUTH}/token",
            "exp": now + 240,
            "jti": secrets.token_hex(8),
            **changed,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[self.method], strict_check_header=False)
        return jws.serialize_compact(header, json.dumps(claims), key, registry=registry)

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """Form fields and headers by which the app shows who it is."""
        if self.method == "none":
            return {"client_id": self.id}, {}
        if self.method == "basic":
            return {}, {"authorization": basic(self.id, self.secret)}
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion(),
        }, {}

    async def post(self, endpoint: str, headers=None, **fields) -> httpx.Response:
        shown, extra = self.credentials()
        form = {name: value for name, value in {**shown, **fields}.items() if value is not None}
        return await self.door.http.post(
            f"{AUTH}/{endpoint}", data=form, headers={**extra, **(headers or {})}
        )

    async def exchange(self, code: str, **changed) -> httpx.Response:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
            **changed,
        }
        return await self.post("token", **fields)

    async def refresh(self, token: str, **fields) -> httpx.Response:
        return await self.post("token", grant_type="refresh_token", refresh_token=token, **fields)

    async def backend(self, scope: str, **fields) -> httpx.Response:
        return await self.post("token", grant_type="client_credentials", scope=scope, **fields)

    async def code(self, scope: str, person: str = CAMILLE, browser=None, **changed) -> str:
        """The code of an authorization in which the person allows everything."""
        answer, changed = dict(changed.pop("answer", {})), changed
        browser = browser or self.door.browser()
        back = await browser.authorize(self, scope, person, answer=answer, **changed)
        assert "code" in back, back
        return back["code"]

    async def tokens(self, scope: str, person: str = CAMILLE, **changed) -> dict:
        answer = await self.exchange(await self.code(scope, person, **changed))
        assert answer.status_code == 200, answer.text
        return answer.json()


def basic(id: str, secret: str) -> str:
    from urllib.parse import quote

    return "Basic " + base64.b64encode(f"{quote(id)}:{quote(secret, safe='')}".encode()).decode()


class Page:
    """What the browser shows."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.headers = response.headers
        self.root = html.fromstring(response.text or "<html></html>")

    @property
    def text(self) -> str:
        return " ".join(self.root.text_content().split())

    def form(self, action: str):
        (found,) = [f for f in self.root.forms if f.action.endswith(action)]
        return found

    def fields(self, action: str) -> list[tuple[str, str]]:
        return list(self.form(action).form_values())

    @property
    def scopes(self) -> list[str]:
        """The labels of what is asked, in order."""
        labels = self.root.xpath("//label[starts-with(@for, 's-')]")
        return [label.text_content() for label in labels]


class Browser:
    """Follows redirects within the server, keeps cookies, fills in forms."""

    def __init__(self, transport, headers: dict[str, str], root: str = ROOT) -> None:
        self.root = root
        self.auth = f"{root}/auth"
        self.http = httpx.AsyncClient(
            transport=transport, base_url=root, headers=headers, timeout=60
        )

    async def go(self, method: str, url: str, **sent) -> httpx.Response:
        response = await self.http.request(method, url, **sent)
        while response.is_redirect and response.headers["location"].startswith(f"{self.root}/"):
            response = await self.http.get(response.headers["location"])
        return response

    async def ask(self, app: App, scope: str, post=False, **changed) -> httpx.Response:
        """What an authorization request leads to."""
        parameters = app.request(scope, **changed)
        if post:
            return await self.go("POST", f"{self.auth}/authorize", data=parameters)
        return await self.go("GET", f"{self.auth}/authorize", params=parameters)

    async def sign_in(self, page: Page, person: str) -> Page:
        fields = {**dict(page.fields("/sign-in")), "person": person}
        return Page(await self.go("POST", f"{self.auth}/sign-in", data=fields))

    async def answer(
        self, page: Page, *, allow=True, drop=(), narrow=None, **fields
    ) -> httpx.Response:
        """Send the consent form. `drop`: places of scopes unticked; `narrow`: place to texts."""
        sent: dict[str, list[str]] = {}
        for name, value in page.fields("/consent"):
            if name == "scope" and int(value) in drop:
                continue
            sent.setdefault(name, []).append(value)
        for place, texts in (narrow or {}).items():
            sent[f"narrow.{place}"] = list(texts)
        sent["decision"] = ["allow" if allow else "deny"]
        sent.update({name: [value] for name, value in fields.items()})
        return await self.go("POST", f"{self.auth}/consent", data=sent)

    async def authorize(
        self, app: App, scope: str, person: str = CAMILLE, answer=None, **changed
    ) -> dict[str, str]:
        """The whole way; what comes back to the app."""
        response = await self.ask(app, scope, **changed)
        if not response.is_redirect:
            page = Page(response)
            assert page.status == 200, page.text
            if any(f.action.endswith("/sign-in") for f in page.root.forms):
                page = await self.sign_in(page, person)
            if page.response.is_redirect:
                response = page.response
            else:
                assert page.status == 200, page.text
                response = await self.answer(page, **(answer or {}))
        return back(response)


def back(response: httpx.Response) -> dict[str, str]:
    """The parameters with which the browser is sent to the app."""
    assert response.status_code in (302, 303), (response.status_code, response.text[:600])
    location = response.headers["location"]
    assert location.startswith(f"{CALLBACK}?"), location
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def open_door(database: str, **settings):
    """A server of its own on an empty database with the sample people in it."""
    store = open_engine(database)
    await store.open()
    context = context_of(store, Registry(), base_url=BASE)
    door = None
    chosen = {"auth": "smart", "base_url": BASE, "database": database, **settings}
    app = build(Settings(_env_file=None, **chosen))
    lifespan = app.lifespan()
    await lifespan.__aenter__()
    door = Door(app, store, context)
    door.database = database
    await door.put(*people())
    return door, lifespan


async def close_door(door: Door, lifespan) -> None:
    await door.http.aclose()
    await lifespan.__aexit__(None, None, None)
    await door.store.close()


def mongodb() -> str | None:
    return os.environ.get("FHIRSERVER_TEST_MONGODB")
