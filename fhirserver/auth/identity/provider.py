"""External OpenID providers, FranceConnect and Pro Santé Connect among them.

https://openid.net/specs/openid-connect-core-1_0.html. This server is their client: authorization
code with PKCE, state and nonce; the id_token's signature, issuer, audience, nonce, time and level
of assurance (`acr`) are checked, then its claims lead to the person's resources: one identifier,
the traits of FranceConnect, or what Pro Santé Connect says. Providers are described in a JSON
file (docs/auth.md).
"""

from __future__ import annotations

import os
import time
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import httpx
import msgspec
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhirserver.access.caller import Role
from fhirserver.auth.identity import franceconnect, pro_sante_connect
from fhirserver.auth.identity.person import Person
from fhirserver.auth.identity.vouched import Unreadable, Vouched, by_identifier
from fhirserver.model.outside import reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fhirserver.auth.identity.person import Capacity, Directory

ALGORITHMS = ["RS256", "ES256", "PS256", "RS384", "ES384"]
_REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
_SECONDS = 10.0
_KEPT = 3600.0
_SKEW = 60
_READERS: dict[str, Callable[[dict[str, Any], str, str], Vouched]] = {
    "identifier": by_identifier,
    "franceconnect": franceconnect.read,
    "pro_sante_connect": pro_sante_connect.read,
}
_ROLES = {"citizen": (Role.CITIZEN, Role.PROXY), "professional": (Role.PROFESSIONAL,)}


class SignInFailed(Exception):
    """The provider did not vouch for anybody this server knows. `reason` is for the log."""


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`acr_accepted`: levels with which one may sign in (empty: any). `acr_exceptional`: levels
    with which a professional may break the glass. `claim` holds the identifier, of `system`.
    `claims`: whose claims they are, when they say more than that."""

    id: str
    name: str
    kind: Literal["citizen", "professional"]
    issuer: str
    client_id: str
    claim: str = ""
    system: str = ""
    claims: Literal["identifier", "franceconnect", "pro_sante_connect"] = "identifier"
    client_secret: str = ""
    scope: str = "openid"
    acr_values: str = ""
    acr_accepted: tuple[str, ...] = ()
    acr_exceptional: tuple[str, ...] = ()


def read_providers(file: Path) -> tuple[Provider, ...]:
    """Those of a JSON file: a list of objects, each perhaps with a `preset` whose values it takes
    where it has none, and with `client_secret_env`, the environment variable of its secret.
    Raises ValueError."""
    text = resources.files("fhirserver.auth.identity").joinpath("presets.json").read_bytes()
    presets = msgspec.json.decode(text)
    try:
        listed = msgspec.json.decode(file.read_bytes(), type=list[dict[str, Any]])
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"{file}: {error}") from None
    found = []
    for item in listed:
        preset = presets.get(item.pop("preset", ""), {})
        variable = item.pop("client_secret_env", "")
        secret = {"client_secret": os.environ.get(variable, "")} if variable else {}
        try:
            provider = msgspec.convert({**preset, **secret, **item}, type=Provider)
        except msgspec.ValidationError as error:
            raise ValueError(f"{file}: {error}") from None
        _check(provider, file)
        found.append(provider)
    return tuple(found)


def _check(provider: Provider, file: Path) -> None:
    if not provider.id.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{file}: the id of a provider is made of letters, digits, - and _")
    if provider.claims != "franceconnect" and not (provider.claim and provider.system):
        raise ValueError(f"{file}: claim and system of {provider.id} are missing")
    parts = urlsplit(provider.issuer)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ValueError(f"{file}: the issuer {provider.issuer} is not https")


async def _known(subject: str, vouched: Vouched, directory: Directory) -> Person | None:
    """The person of the directory by the first identifier that leads to one, or by the traits."""
    identifiers = vouched.identifiers
    if vouched.traits is not None:
        found = await directory.by_traits(vouched.traits)
        identifiers = (found,) if found else ()
    for system, value in identifiers:
        person = await directory.person(subject, vouched.name, system, value)
        if person is not None:
            return person
    return None


def _of_profession(capacities: list[Capacity], professions: frozenset[str]) -> Iterator[Capacity]:
    """Those of a profession that is vouched for. One that the directory knows nothing of is taken
    from the provider, if that names one alone."""
    for capacity in capacities:
        if capacity.profession in professions:
            yield capacity
        elif not capacity.profession and len(professions) == 1:
            yield msgspec.structs.replace(capacity, profession=next(iter(professions)))


class OpenID:
    """Talks to one provider."""

    def __init__(self, provider: Provider, redirect_uri: str) -> None:
        self.provider = provider
        self._redirect_uri = redirect_uri
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes to sign in. Raises SignInFailed."""
        metadata = await self._discover()
        parameters = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self.provider.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
            "prompt": "login",
            "acr_values": self.provider.acr_values,
        }
        endpoint: str = metadata["authorization_endpoint"]
        given = [(name, value) for name, value in parameters.items() if value]
        return str(add_params_to_uri(endpoint, given))

    async def sign_in(self, code: str, nonce: str, verifier: str, directory: Directory) -> Person:
        """The person the provider vouches for. Raises SignInFailed."""
        metadata = await self._discover()
        try:
            reach(metadata["token_endpoint"])
            reach(metadata.get("userinfo_endpoint") or metadata["token_endpoint"])
            async with httpx.AsyncClient(trust_env=False, timeout=_SECONDS) as http:
                answer = await http.post(
                    metadata["token_endpoint"], data=self._exchange(code, verifier)
                )
                answer.raise_for_status()
                token = answer.json()
                claims = await self._claims(str(token.get("id_token", "")), nonce, metadata)
                if self._lacks(claims) and metadata.get("userinfo_endpoint"):
                    answer = await http.get(
                        metadata["userinfo_endpoint"],
                        headers={"authorization": f"Bearer {token['access_token']}"},
                    )
                    info = await self._userinfo(answer, metadata)
                    if info.get("sub") != claims["sub"]:
                        raise SignInFailed("userinfo is of somebody else")
                    claims = {**info, **claims}
        except (httpx.HTTPError, ValueError, KeyError, AttributeError) as error:
            raise SignInFailed(f"the provider failed: {type(error).__name__}") from None
        return await self._person(claims, directory)

    async def _person(self, claims: dict[str, Any], directory: Directory) -> Person:
        provider = self.provider
        try:
            vouched = _READERS[provider.claims](claims, provider.claim, provider.system)
        except Unreadable as error:
            raise SignInFailed(str(error)) from None
        person = await _known(f"{provider.id}|{claims['sub']}", vouched, directory)
        if person is None:
            raise SignInFailed("nobody here has this identifier or these traits")
        roles = _ROLES[provider.kind]
        capacities = [c for c in person.capacities if c.role in roles]
        if vouched.professions:
            capacities = list(_of_profession(capacities, vouched.professions))
        if not capacities:
            raise SignInFailed("the provider does not vouch for what this person is here")
        return msgspec.structs.replace(
            person,
            capacities=tuple(capacities),
            acr=str(claims.get("acr", "")),
            regulates=vouched.regulates,
            reason=vouched.reason,
        )

    def _lacks(self, claims: dict[str, Any]) -> bool:
        """Whether the id_token leaves out what userinfo is asked for."""
        return self.provider.claims != "identifier" or self.provider.claim not in claims

    async def _claims(self, id_token: str, nonce: str, metadata: dict[str, Any]) -> dict[str, Any]:
        claims = await self._verified(id_token, metadata)
        provider, now = self.provider, time.time()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != provider.issuer or provider.client_id not in audiences:
            raise SignInFailed("iss or aud of the id_token")
        if len(audiences) > 1 and claims.get("azp") != provider.client_id:
            raise SignInFailed("azp of the id_token")
        expires = claims.get("exp")
        if not isinstance(expires, int | float) or expires < now - _SKEW:
            raise SignInFailed("the id_token has expired")
        if claims.get("nonce") != nonce:
            raise SignInFailed("nonce of the id_token")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise SignInFailed("the id_token has no sub")
        if provider.acr_accepted and claims.get("acr") not in provider.acr_accepted:
            raise SignInFailed("the level of assurance (acr) is too low")
        return claims

    async def _userinfo(self, answer: httpx.Response, metadata: dict[str, Any]) -> dict[str, Any]:
        answer.raise_for_status()
        if "jwt" in answer.headers.get("content-type", ""):
            return await self._verified(answer.text.strip(), metadata)
        found: dict[str, Any] = answer.json()
        return found

    async def _verified(self, token: str, metadata: dict[str, Any]) -> dict[str, Any]:
        """The claims of a JWT that the provider has signed."""
        for fresh in (False, True):
            keys = await self._key_set(metadata["jwks_uri"], fresh)
            try:
                return dict(
                    jwt.decode(token, keys, algorithms=ALGORITHMS, registry=_REGISTRY).claims
                )
            except (JoseError, ValueError, TypeError):
                continue
        raise SignInFailed("the signature of the provider's token")

    async def _key_set(self, url: str, fresh: bool) -> KeySet:
        now = time.monotonic()
        if self._keys is None or fresh or self._keys[0] < now:
            self._keys = (now + _KEPT, KeySet.import_key_set(await self._get(url)))
        return self._keys[1]

    async def _discover(self) -> dict[str, Any]:
        now = time.monotonic()
        if self._metadata is None or self._metadata[0] < now:
            issuer = self.provider.issuer
            found = await self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != issuer:
                raise SignInFailed("the provider's configuration names another issuer")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not isinstance(found.get(name), str):
                    raise SignInFailed(f"the provider's configuration has no {name}")
            self._metadata = (now + _KEPT, found)
        return self._metadata[1]

    async def _get(self, url: str) -> Any:
        try:
            reach(url)
            async with httpx.AsyncClient(trust_env=False, timeout=_SECONDS) as http:
                answer = await http.get(url)
                answer.raise_for_status()
                return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise SignInFailed(f"the provider failed: {type(error).__name__}") from None

    def _exchange(self, code: str, verifier: str) -> dict[str, str]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self.provider.client_id,
            "code_verifier": verifier,
        }
        if self.provider.client_secret:
            form["client_secret"] = self.provider.client_secret
        return form
