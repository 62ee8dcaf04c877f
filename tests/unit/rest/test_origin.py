"""The base URL a client sees, and whom to believe about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.errors import Invalid
from fhirserver.rest.origin import Origin

PROXY, STRANGER = ("127.0.0.1", 5000), ("203.0.113.9", 5000)
FORWARDED = {
    b"host": b"internal:8080",
    b"x-forwarded-proto": b"https",
    b"x-forwarded-host": b"sante.example.fr",
}


def base(headers, *, client=PROXY, base_url=None, trusted=("127.0.0.1",)):
    scope = {"scheme": "http", "client": client, "server": ("127.0.0.1", 8080)}
    return Origin(base_url, trusted).base_url(scope, headers)


def test_setting_wins():
    assert base(FORWARDED, base_url="https://a.fr/x/fhir/") == "https://a.fr/x/fhir"


def test_host_header_counts():
    assert base({b"host": b"localhost:8080"}) == "http://localhost:8080/fhir"
    assert base({b"host": b"[::1]:8080"}) == "http://[::1]:8080/fhir"


def test_without_host_the_socket_counts():
    assert base({}) == "http://127.0.0.1:8080/fhir"


def test_trusted_proxy_is_believed():
    assert base(FORWARDED) == "https://sante.example.fr/fhir"
    with_prefix = {**FORWARDED, b"x-forwarded-prefix": b"/sante/"}
    assert base(with_prefix) == "https://sante.example.fr/sante/fhir"


def test_first_of_several_forwarded_hosts_counts():
    several = {**FORWARDED, b"x-forwarded-host": b"a.fr, b.internal"}
    assert base(several) == "https://a.fr/fhir"


def test_stranger_is_not_believed():
    assert base(FORWARDED, client=STRANGER) == "http://internal:8080/fhir"
    prefixed = {b"host": b"internal", b"x-forwarded-prefix": b"/evil"}
    assert base(prefixed, client=STRANGER) == "http://internal/fhir"


def test_same_headers_from_stranger_after_proxy_are_not_believed():
    origin = Origin(None, ("127.0.0.1",))
    scope = {"scheme": "http", "client": PROXY, "server": None}
    assert origin.base_url(scope, FORWARDED).startswith("https://sante")
    assert origin.base_url({**scope, "client": STRANGER}, FORWARDED).startswith("http://internal")


@pytest.mark.parametrize(
    "headers",
    [
        {b"host": b"evil.fr/path"},
        {b"host": b'a"b'},
        {b"host": b"a b"},
        {b"host": b""},
        {b"host": b"user@host"},
        {**FORWARDED, b"x-forwarded-proto": b"javascript"},
        {**FORWARDED, b"x-forwarded-host": b"a.fr?x"},
        {**FORWARDED, b"x-forwarded-prefix": b"//evil.fr"},
    ],
)
def test_what_is_no_host_is_refused(headers):
    with pytest.raises(Invalid):
        base(headers)


@given(st.binary(max_size=40))
def test_any_host_gives_a_clean_url_or_is_refused(host):
    try:
        url = base({b"host": host})
    except Invalid:
        return
    assert url.isascii()
    assert url.count("/") == 3
    assert not set(url) & set("\"'<>?#@\\ ")
