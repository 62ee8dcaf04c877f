"""The fetcher goes only where it was allowed to, however the URL or the name server lies."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import pytest

from fhirserver.auth import fetch
from fhirserver.auth.fetch import Fetcher, Refused

HOSTS = ("keys.example", "other.example:8443")


def resolving(*addresses):
    async def resolve(host, port):
        return list(addresses)

    return resolve


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example/jwks",
        "ftp://keys.example/jwks",
        "file:///etc/passwd",
        "https://evil.example/jwks",
        "https://keys.example.evil.example/jwks",
        "https://keys.example@evil.example/jwks",
        "https://user:pw@keys.example/jwks",
        "https://evil.example/?keys.example",
        "https://127.0.0.1/jwks",
        "https://[::1]/jwks",
        "https://other.example/jwks",
        "https://keys.example:99999/jwks",
        "https:///jwks",
        "keys.example",
        "",
    ],
)
async def test_only_https_and_hosts_on_the_list(url):
    with pytest.raises(Refused):
        await Fetcher(HOSTS, resolve=resolving("93.184.216.34")).address(url)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "::1",
     "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "100.64.0.1", "224.0.0.1",
     "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "2002:a00:1::1", "::7f00:1",
     "fec0::1", "ff02::1", "240.0.0.1", "2001:0:1::1", "64:ff9b:1::7f00:1", "::ffff:0:7f00:1"],
)  # fmt: skip
async def test_a_name_that_leads_inside_is_refused(address):
    with pytest.raises(Refused):
        await Fetcher(HOSTS, resolve=resolving("93.184.216.34", address)).address(
            "https://keys.example/jwks"
        )


async def test_a_public_address_is_connected_to_as_it_was_checked():
    fetcher = Fetcher(HOSTS, resolve=resolving("93.184.216.34"))
    assert await fetcher.address("https://KEYS.example/jwks") == (
        "keys.example",
        443,
        "93.184.216.34",
    )
    assert (await fetcher.address("https://other.example:8443/"))[1] == 8443


@pytest.mark.parametrize(
    "address", ["2a00:1450:4007:80e::200e", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]
)
async def test_public_addresses_of_ipv6_are_reached(address):
    fetcher = Fetcher(HOSTS, resolve=resolving(address))
    assert (await fetcher.address("https://keys.example/jwks"))[2] == address


async def test_an_unknown_name_is_refused():
    async def resolve(host, port):
        raise OSError

    with pytest.raises(Refused):
        await Fetcher(HOSTS, resolve=resolve).address("https://keys.example/")


@pytest.fixture
def certificate(tmp_path):
    """A certificate of keys.example."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keys.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("keys.example")]), False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


class Served:
    """A TLS server that sends one answer again and again, and counts."""

    def __init__(self, certificate: Path) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.trust = ssl.create_default_context(cafile=str(certificate))
        self.answer = b""
        self.asked: list[bytes] = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def _serve(self, reader, writer):
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def says(self, body: bytes, status="200 OK", **headers):
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def fetcher(self, **more):
        return Fetcher(
            (f"keys.example:{self.port}",),
            resolve=resolving("127.0.0.1"),
            verify=self.trust,
            allow_private=True,
            **more,
        )

    @property
    def url(self):
        return f"https://keys.example:{self.port}/jwks.json?x=1"


async def test_a_document_is_kept_no_longer_than_it_may(certificate):
    now = [0.0]
    async with Served(certificate) as served:
        served.says(json.dumps({"keys": []}).encode(), cache_control="max-age=60")
        fetcher = served.fetcher(monotonic=lambda: now[0])
        for _ in range(3):
            assert await fetcher.json(served.url) == {"keys": []}
        assert len(served.asked) == 1
        assert b"GET /jwks.json?x=1 HTTP/1.1" in served.asked[0]
        assert f"host: keys.example:{served.port}".encode() in served.asked[0].lower()
        assert b"authorization" not in served.asked[0].lower()
        await fetcher.json(served.url, fresh=True)
        assert len(served.asked) == 1  # it was fetched just now
        now[0] = 30
        await fetcher.json(served.url, fresh=True)
        assert len(served.asked) == 2
        now[0] = 91
        await fetcher.json(served.url)
        assert len(served.asked) == 3
        served.says(b"{}", cache_control="no-store")
        now[0] = 200
        await fetcher.json(served.url)
        await fetcher.json(served.url)
        assert len(served.asked) == 5


async def test_redirects_errors_size_and_nonsense_are_refused(certificate, monkeypatch):
    monkeypatch.setattr(fetch, "BYTES", 1000)
    async with Served(certificate) as served:
        fetcher = served.fetcher()
        for answer in (
            (b"", "302 Found", {"location": "http://169.254.169.254/"}),
            (b"{}", "500 Oops", {}),
            (b"[" + b"1," * 2000 + b"1]", "200 OK", {}),
            (b"<html>", "200 OK", {}),
            (b"[" * 900, "200 OK", {}),
        ):
            served.says(answer[0], answer[1], **answer[2])
            with pytest.raises(Refused):
                await fetcher.json(served.url)


async def test_a_certificate_of_another_name_is_refused(certificate):
    async with Served(certificate) as served:
        served.says(b"{}")
        fetcher = Fetcher(
            (f"evil.example:{served.port}",),
            resolve=resolving("127.0.0.1"),
            verify=served.trust,
            allow_private=True,
        )
        with pytest.raises(Refused):
            await fetcher.json(f"https://evil.example:{served.port}/")
