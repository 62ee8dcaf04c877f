"""The server as its clients see it: SMART tokens over HTTP, then the FHIR API.

Backend services show a signed assertion; people sign in on the server's pages, as a browser would
let them, and the app gets a code (https://hl7.org/fhir/smart-app-launch/).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
from joserfc import jws
from joserfc.jwk import ECKey
from lxml import html
from prepare import CALLBACK
from telling import Wrong

JSON = "application/fhir+json"


class Client:
    """Somebody with an access token."""

    def __init__(self, base: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=base + "/",
            timeout=300,
            headers={"authorization": f"Bearer {token}", "content-type": JSON},
        )

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """The answer; a server that is busy (503) is asked again, as its answer says."""
        for pause in (1, 2, 4, 8, 16, 0):
            answer = self._http.request(method, path, json=body)
            if answer.status_code != 503 or not pause:
                break
            time.sleep(pause)
        return answer

    def get(self, path: str) -> Any:
        return self._good("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self._good("POST", path, body)

    def put(self, resource: dict[str, Any]) -> Any:
        return self._good("PUT", f"{resource['resourceType']}/{resource['id']}", resource)

    def file(self, path: str) -> bytes:
        answer = self.ask("GET", path)
        if answer.status_code != 200:
            raise Wrong(f"GET {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.content

    def status(self, method: str, path: str, body: Any = None) -> int:
        return self.ask(method, path, body).status_code

    def found(self, path: str) -> list[dict[str, Any]]:
        """The matches of a search."""
        entries = self.get(path).get("entry", [])
        return [e["resource"] for e in entries if e.get("search", {}).get("mode") != "outcome"]

    def count(self, path: str) -> int:
        mark = "&" if "?" in path else "?"
        return int(self.get(f"{path}{mark}_summary=count")["total"])

    def _good(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.ask(method, path, body)
        if answer.status_code not in (200, 201):
            raise Wrong(f"{method} {path} answered {answer.status_code}: {answer.text[:400]}")
        return answer.json()


class Server:
    """`patience`: how many seconds to wait for what the server does by itself."""

    def __init__(self, base: str, key: dict[str, Any], patience: float) -> None:
        self.base = base
        self.patience = patience
        self._key = ECKey.import_key(key)
        found = httpx.get(f"{base}/.well-known/smart-configuration", timeout=60).json()
        self._authorize = found["authorization_endpoint"]
        self._token = found["token_endpoint"]

    def until(self, what: Any, every: float = 0.5) -> Any:
        """What `what()` gives once it gives something; None when that takes too long. It is asked
        less and less often: a server does some things when it has time."""
        end = time.monotonic() + self.patience
        while True:
            found = what()
            if found or time.monotonic() > end:
                return found
            time.sleep(every)
            every = min(every * 1.5, 15)

    def service(self, id: str) -> Client:
        """A backend service (https://hl7.org/fhir/smart-app-launch/backend-services.html)."""
        now = int(time.time())
        claims = {"iss": id, "sub": id, "aud": self._token, "exp": now + 240,
                  "jti": secrets.token_hex(16)}  # fmt: skip
        header = {"alg": "ES384", "kid": self._key.kid, "typ": "JWT"}
        registry = jws.JWSRegistry(algorithms=["ES384"])
        assertion = jws.serialize_compact(header, json.dumps(claims), self._key, registry=registry)
        return self._given(
            {
                "grant_type": "client_credentials",
                "scope": "system/*.cruds",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": assertion,
            }
        )

    def person(
        self, who: str, scope: str, *, app: str = "story-space", acting_for: str = "", **more: str
    ) -> Client:
        """A person of the sample people, who signs in and allows what the app asks for.
        `acting_for`: a name on the page where a parent says for whom."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        asked = {
            "response_type": "code", "client_id": app, "redirect_uri": CALLBACK, "scope": scope,
            "state": secrets.token_urlsafe(12), "aud": self.base,
            "code_challenge": challenge.decode().rstrip("="), "code_challenge_method": "S256",
        }  # fmt: skip
        mode = more.pop("access_mode", "")
        if mode:
            asked["access_mode"] = mode
        with httpx.Client(timeout=120) as browser:
            page = self._follow(browser, browser.get(self._authorize, params=asked))
            if page.is_redirect:
                raise Wrong(f"signing in was refused: {page.headers['location']}")
            page = self._send(browser, page, "/sign-in", {"person": who})
            if not page.is_redirect:
                page = self._send(browser, page, "/consent", self._answers(page, acting_for, more))
            location = page.headers.get("location", "")
        back = parse_qs(urlsplit(location).query)
        if "code" not in back:
            raise Wrong(f"{who} could not sign in: {location or page.text[:300]}")
        return self._given(
            {"grant_type": "authorization_code", "code": back["code"][0], "client_id": app,
             "redirect_uri": CALLBACK, "code_verifier": verifier}
        )  # fmt: skip

    def _answers(
        self, page: httpx.Response, acting_for: str, more: dict[str, str]
    ) -> dict[str, Any]:
        answers: dict[str, Any] = {"decision": "allow", **more}
        if acting_for:
            labels = html.fromstring(page.text).xpath("//label[starts-with(@for, 'c-')]")
            places = [n for n, each in enumerate(labels) if acting_for in each.text_content()]
            if not places:
                raise Wrong(f"the page does not offer to act for {acting_for}")
            answers["capacity"] = str(places[0])
        return answers

    def _send(
        self, browser: httpx.Client, page: httpx.Response, action: str, answers: dict[str, Any]
    ) -> httpx.Response:
        """Fill in the form of the page and send it."""
        root = html.fromstring(page.text)
        forms = [form for form in root.forms if (form.action or "").endswith(action)]
        if not forms:
            raise Wrong(f"the page has no form {action}: {root.text_content()[:300]}")
        fields: dict[str, Any] = {}
        for name, value in forms[0].form_values():
            fields.setdefault(name, []).append(value)
        address = urljoin(str(page.url), forms[0].action)
        return self._follow(browser, browser.post(address, data={**fields, **answers}))

    def _follow(self, browser: httpx.Client, page: httpx.Response) -> httpx.Response:
        """Follow redirects that stay on the server."""
        while page.is_redirect and not page.headers["location"].startswith(CALLBACK):
            page = browser.get(urljoin(str(page.url), page.headers["location"]))
        return page

    def _given(self, form: dict[str, str]) -> Client:
        answer = httpx.post(self._token, data=form, timeout=120)
        if answer.status_code != 200:
            raise Wrong(f"no token was given: {answer.status_code} {answer.text[:300]}")
        return Client(self.base, answer.json()["access_token"])
