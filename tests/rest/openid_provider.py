"""A stand-in for FranceConnect or Pro Santé Connect: a small OpenID provider on loopback."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

KEY = RSAKey.generate_key(2048, {"kid": "idp-1", "use": "sig", "alg": "RS256"})


class Provider:
    """`claims` go into the id_token, `userinfo` to the userinfo endpoint; `changed` spoils the
    id_token. `requests`: what was asked of the token endpoint."""

    def __init__(self) -> None:
        self.claims: dict = {}
        self.userinfo: dict | None = None
        self.changed: dict = {}
        self.key = KEY
        self.signed_userinfo = False
        self.requests: list[dict] = []
        self.asked: dict = {}

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.issuer = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_):
        self.server.close()

    def sign_in(self, url: str) -> str:
        """The person signs in at the authorization URL; the query that goes back."""
        self.asked = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
        return f"code=good&state={self.asked['state']}"

    def id_token(self) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": "us",
            "sub": "person-1",
            "exp": now + 60,
            "iat": now,
            "nonce": self.asked["nonce"],
            "acr": "eidas2",
            **self.claims,
            **self.changed,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "idp-1"}, claims, self.key)

    async def _serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = 0
        for line in head.lower().split("\r\n"):
            if line.startswith("content-length:"):
                length = int(line.partition(":")[2])
        body = await reader.readexactly(length)
        path = head.split(" ")[1]
        status, kind, answer = self._answer(path, body)
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n"
            f"content-length: {len(answer)}\r\n\r\n".encode()
            + answer
        )
        await writer.drain()
        writer.close()

    def _answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        if path == "/.well-known/openid-configuration":
            found = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
            }
            return 200, "application/json", json.dumps(found).encode()
        if path == "/jwks":
            keys = {"keys": [KEY.as_dict(private=False)]}
            return 200, "application/json", json.dumps(keys).encode()
        if path == "/userinfo":
            info = {"sub": "person-1", **(self.userinfo or {})}
            if self.signed_userinfo:
                token = jwt.encode({"alg": "RS256", "kid": "idp-1"}, info, KEY)
                return 200, "application/jwt", token.encode()
            return 200, "application/json", json.dumps(info).encode()
        if path == "/token":
            form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
            self.requests.append(form)
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if form["code"] != "good" or challenge != self.asked["code_challenge"]:
                return 400, "application/json", b'{"error": "invalid_grant"}'
            token = {"access_token": "at", "token_type": "Bearer", "id_token": self.id_token()}
            return 200, "application/json", json.dumps(token).encode()
        return 404, "text/plain", b""
