"""What a browser on another origin is told."""

from fhirserver.rest.cors import CrossOrigin

ORIGIN = {b"origin": b"https://app.example.fr"}
PREFLIGHT = {**ORIGIN, b"access-control-request-method": b"PUT"}


def test_request_of_the_same_origin_gets_no_cors_headers():
    assert CrossOrigin(("*",)).headers({}) == ()


def test_every_origin_is_let_in_by_a_star():
    headers = dict(CrossOrigin(("*",)).headers(ORIGIN))
    assert headers[b"access-control-allow-origin"] == b"*"
    for name in (b"ETag", b"Location", b"Last-Modified", b"X-Request-Id", b"Content-Location"):
        assert name in headers[b"access-control-expose-headers"]


def test_only_listed_origins_are_let_in():
    cross = CrossOrigin(("https://app.example.fr/",))
    headers = dict(cross.headers(ORIGIN))
    assert headers[b"access-control-allow-origin"] == b"https://app.example.fr"
    assert headers[b"vary"] == b"Origin"
    assert cross.headers({b"origin": b"https://evil.example"}) == ()
    assert CrossOrigin(()).headers(ORIGIN) == ()


def test_preflight_names_methods_and_headers():
    headers = dict(CrossOrigin(("*",)).preflight(PREFLIGHT))
    assert b"PATCH" in headers[b"access-control-allow-methods"]
    assert b"If-None-Exist" in headers[b"access-control-allow-headers"]


def test_plain_options_is_no_preflight():
    assert CrossOrigin(("*",)).preflight(ORIGIN) == ()


def test_credentials_are_never_allowed():
    for headers in (CrossOrigin(("*",)).headers(ORIGIN), CrossOrigin(("*",)).preflight(PREFLIGHT)):
        assert b"access-control-allow-credentials" not in dict(headers)
