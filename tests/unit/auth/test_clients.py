"""What may be registered, how secrets are kept."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey

from fhirserver.auth.assertion import check_keys
from fhirserver.auth.client import Client, check, hash_secret, verify_secret
from fhirserver.errors import Invalid

EC = ECKey.generate_key("P-384", {"kid": "a"}).as_dict(private=False)
GOOD = {
    "id": "a",
    "name": "A",
    "kind": "public",
    "scopes": "patient/*.rs",
    "redirect_uris": ("https://a.example/cb",),
}


def client(**changed):
    return Client(**{**GOOD, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"redirect_uris": ("http://localhost:3000/cb", "http://127.0.0.1/", "fr.example.app:/cb")},
        {"redirect_uris": ("https://a.example/cb?x=1",)},
        {"kind": "confidential", "secret_hash": "x"},
        {"kind": "confidential", "jwks": {"keys": [EC]}},
        {"kind": "confidential", "jwks_url": "https://a.example/jwks"},
        {
            "kind": "backend",
            "scopes": "system/*.rs",
            "redirect_uris": (),
            "jwks": {"keys": [EC]},
        },
        {"origins": ("https://a.example", "http://localhost:3000")},
    ],
)
def test_what_is_safe_is_registered(changed):
    check(client(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"id": ""},
        {"id": "a b"},
        {"id": "a/b"},
        {"id": "é"},
        {"id": "a" * 129},
        {"name": " "},
        {"scopes": ""},
        {"scopes": "patient/Unicorn.rs"},
        {"scopes": "system/*.rs"},
        {"redirect_uris": ()},
        {"redirect_uris": ("http://a.example/cb",)},
        {"redirect_uris": ("https://a.example/cb#x",)},
        {"redirect_uris": ("https://a.example/*",)},
        {"redirect_uris": ("https://a@b.example/",)},
        {"redirect_uris": ("javascript:alert(1)",)},
        {"redirect_uris": ("data:text/html,x",)},
        {"redirect_uris": ("/cb",)},
        {"redirect_uris": ("https:///cb",)},
        {"secret_hash": "x"},
        {"jwks": {"keys": [EC]}},
        {"kind": "confidential"},
        {"kind": "backend"},
        {"kind": "backend", "scopes": "system/*.rs", "redirect_uris": ()},
        {"kind": "backend", "scopes": "system/*.rs openid", "redirect_uris": (),
         "jwks": {"keys": [EC]}},
        {"kind": "confidential", "jwks_url": "http://a.example/jwks"},
        {"origins": ("https://a.example/",)},
        {"origins": ("*",)},
        {"origins": ("null",)},
    ],
)  # fmt: skip
def test_what_is_unsafe_or_useless_is_not(changed):
    with pytest.raises(Invalid):
        check(client(**changed))


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": "x"},
        {"keys": [{}]},
        {"keys": [{**EC, "kid": None}]},
        {"keys": [{**EC, "d": "AA"}]},
        {"keys": [{"kty": "oct", "k": "AAAA", "kid": "a"}]},
        {"keys": [{**EC, "crv": "P-256"}]},
        {"keys": [{**EC, "x": "AA"}]},
        {"keys": [{**EC, "use": "enc"}]},
        {"keys": [{**EC, "alg": "ES256"}]},
        {"keys": [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}]},
        {"keys": [{"kty": "RSA", "kid": "a", "n": "w" * 171, "e": "AQAB"}]},  # 1024 bits
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_keys_that_prove_nothing_are_refused(jwks):
    with pytest.raises(Invalid):
        check_keys(jwks)


def test_secrets_are_hashed_with_a_salt():
    one, other = hash_secret("s€cret"), hash_secret("s€cret")
    assert one != other
    assert one.startswith("$argon2id$")
    assert verify_secret("s€cret", one)
    assert not verify_secret("s€cret ", one)
    assert not verify_secret("", one)
    assert not verify_secret("s€cret", "")
