"""Client authentication by a signed assertion (private_key_jwt).

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html. RS384 and ES384;
`kid` selects exactly one of the registered keys; `jku`, if sent, is the registered URL; an
assertion lives five minutes at most and counts once.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhirserver.auth.fetch import Refused
from fhirserver.errors import Invalid
from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.auth.client import Client
    from fhirserver.auth.fetch import Fetcher
    from fhirserver.storage.interface import Store

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Algorithm -> key type and curve.
ALGORITHMS = {"RS384": ("RSA", None), "ES384": ("EC", "P-384")}
LONGEST = 300  # seconds
SKEW = 30  # seconds by which clocks may differ
KIND = "jti"
_MOST_BYTES = 8192
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

# Clients send headers of their own (`kty`); what this server does not know it does not read.
_REGISTRY = jws.JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)


class Unproven(Exception):
    """The assertion does not show who the client is; `reason` is for the log, not the client."""


def check_keys(jwks: dict[str, Any]) -> None:
    """Raises Invalid unless these are public keys that an assertion can be verified with."""
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not keys:
        raise Invalid('A JWKS is a JSON object with a list "keys"')
    usable = 0
    for key in keys:
        if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
            raise Invalid("Each key of a JWKS needs a kid")
        if not _PRIVATE.isdisjoint(key):
            raise Invalid("The JWKS holds a private or symmetric key; register public keys only")
        for algorithm in ALGORITHMS:
            if _fits(key, algorithm):
                _import(key, algorithm)
                usable += 1
    if not usable:
        raise Invalid("The JWKS holds no RSA key (RS384) and no P-384 key (ES384)")


def client_of(assertion: str) -> str:
    """The client an assertion speaks of, before anything is verified; "" if none."""
    try:
        claims = _peek(assertion)[1]
    except Unproven:
        return ""
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else ""


async def verify(
    assertion: str,
    client: Client,
    *,
    audience: str,
    store: Store,
    fetcher: Fetcher,
    clock: Callable[[], int],
) -> None:
    """Raises Unproven."""
    header, _ = _peek(assertion)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unproven("alg")
    if header.get("typ", "JWT") not in ("JWT", "jwt"):
        raise Unproven("typ")
    if "jku" in header and (not client.jwks_url or header["jku"] != client.jwks_url):
        raise Unproven("jku")
    if "crit" in header:
        raise Unproven("crit")
    key = await _key(client, header.get("kid"), algorithm, fetcher)
    try:
        token = jwt.decode(assertion, key, algorithms=[algorithm], registry=_REGISTRY)
    except (JoseError, ValueError, TypeError) as error:
        raise Unproven(f"signature: {type(error).__name__}") from None
    await _check_claims(token.claims, client, audience, store, clock)


async def _check_claims(
    claims: dict[str, Any], client: Client, audience: str, store: Store, clock: Callable[[], int]
) -> None:
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise Unproven("iss or sub")
    stated = claims.get("aud")
    if stated != audience and stated != [audience]:
        raise Unproven("aud")
    now = clock() // 1_000_000
    expires: Any = claims.get("exp")
    if not _is_time(expires) or expires <= now - SKEW or expires > now + LONGEST + SKEW:
        raise Unproven("exp")
    for name in ("nbf", "iat"):
        if name in claims and (not _is_time(claims[name]) or claims[name] > now + SKEW):
            raise Unproven(name)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 1024:
        raise Unproven("jti")
    key = hashlib.sha256(f"{client.id}\0{jti}".encode()).hexdigest()
    until = (int(expires) + SKEW + 1) * 1_000_000
    if not await store.add_grant(Grant(KIND, key, b"", until)):
        raise Unproven("jti seen before")


async def _key(client: Client, kid: Any, algorithm: str, fetcher: Fetcher) -> RSAKey | ECKey:
    if not isinstance(kid, str) or not kid:
        raise Unproven("kid")
    if client.jwks is not None:
        found = _fitting(client.jwks, kid, algorithm)
    else:
        found = []
    if not found and client.jwks_url:
        try:
            found = _fitting(await fetcher.json(client.jwks_url), kid, algorithm)
            if not found:
                found = _fitting(await fetcher.json(client.jwks_url, fresh=True), kid, algorithm)
        except Refused as refused:
            raise Unproven(f"keys: {refused}") from None
    if len(found) != 1:
        raise Unproven(f"kid selects {len(found)} keys")
    try:
        return _import(found[0], algorithm)
    except Invalid:
        raise Unproven("key") from None


def _fitting(jwks: Any, kid: str, algorithm: str) -> list[dict[str, Any]]:
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list):
        return []
    return [
        key
        for key in keys
        if isinstance(key, dict) and key.get("kid") == kid and _fits(key, algorithm)
    ]


def _fits(key: dict[str, Any], algorithm: str) -> bool:
    kty, curve = ALGORITHMS[algorithm]
    return (
        key.get("kty") == kty
        and (curve is None or key.get("crv") == curve)
        and key.get("alg", algorithm) == algorithm
        and key.get("use", "sig") == "sig"
        and "verify" in key.get("key_ops", ["verify"])
    )


def _import(key: dict[str, Any], algorithm: str) -> RSAKey | ECKey:
    kind = RSAKey if ALGORITHMS[algorithm][0] == "RSA" else ECKey
    names = ("kty", "n", "e", "crv", "x", "y")
    try:
        imported = kind.import_key({name: key[name] for name in names if name in key})
        if isinstance(imported, RSAKey) and imported.raw_value.key_size < 2048:
            raise Invalid("An RSA key has at least 2048 bits")
        return imported
    except (JoseError, ValueError, TypeError, KeyError):
        raise Invalid("A key of the JWKS is not a valid public key") from None


def _peek(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a compact JWT, unverified."""
    if len(assertion) > _MOST_BYTES or assertion.count(".") != 2 or not assertion.isascii():
        raise Unproven("not a compact JWT")
    try:
        found = jws.extract_compact(assertion.encode(), registry=_REGISTRY)
        header = found.headers()
        claims = msgspec.json.decode(found.payload)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise Unproven("not a compact JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise Unproven("not a compact JWT")
    return header, claims


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
