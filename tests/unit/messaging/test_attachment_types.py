"""Which bytes may be attached under which type and name."""

from __future__ import annotations

import base64
import hashlib

import pytest

from fhirserver.errors import Unprocessable
from fhirserver.messaging.attachments import Attached, check_one, rules

PDF = b"%PDF-1.7\n..."
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
JPEG = b"\xff\xd8\xff\xe0" + b"0" * 20
TIFF = b"II*\x00" + b"0" * 20
RTF = b"{\\rtf1\\ansi Bonjour}"


@pytest.mark.parametrize(
    ("content_type", "title", "data"),
    [
        ("application/pdf", "lettre.pdf", PDF),
        ("application/pdf", "", PDF),
        ("application/pdf", "v1.2 du 3.11", PDF),
        ("application/pdf", "Courrier 12/03 du Dr. Fontaine", PDF),
        ("Image/PNG", "photo.PNG", PNG),
        ("image/jpeg", "a.jpg", JPEG),
        ("image/jpeg", "a.jpeg", JPEG),
        ("image/tiff", "a.tif", TIFF),
        ("image/tiff", "a.tiff", b"MM\x00*" + b"0" * 9),
        ("application/rtf", "a.rtf", RTF),
        ("text/rtf", "a.rtf", RTF),
        ("text/plain", "a.txt", "déjà vu\n".encode()),
        ("text/plain; charset=latin-1", "a.txt", "déjà vu\r\n".encode("latin-1")),
        ("text/plain", "a.txt", b""),
    ],
)
def test_what_may_be_attached(content_type, title, data):
    digest = base64.b64encode(hashlib.sha1(data).digest()).decode()
    check_one(Attached("x", content_type, title, data, len(data), digest))


@pytest.mark.parametrize(
    ("content_type", "title", "data", "place"),
    [
        ("application/zip", "a.zip", b"PK\x03\x04", "x.contentType"),
        ("", "a.pdf", PDF, "x.contentType"),
        ("text/html", "a.txt", b"<script>", "x.contentType"),
        ("application/pdf", "a.pdf", PNG, "x.contentType"),
        ("application/pdf", "a.pdf", b"", "x.contentType"),
        ("application/pdf", "a.pdf", b" %PDF-1.7", "x.contentType"),
        ("image/jpeg", "a.jpg", PNG, "x.contentType"),
        ("text/plain", "a.txt", b"MZ\x90\x00\x03", "x.contentType"),
        ("text/plain", "a.txt", b"\xff\xfea\x00", "x.contentType"),
        ("application/pdf", "a.exe", PDF, "x.title"),
        ("application/pdf", "a.pdf.lnk ", PDF, "x.title"),
        ("application/pdf", "a\r\nBcc: b@example.org.pdf", PDF, "x.title"),
        ("application/pdf", "a\u202efdp.exe.pdf", PDF, "x.title"),
        ("image/png", "a.pdf", PNG, "x.title"),
        ("application/pdf", "a.pdf", PDF + b"0" * 5_000_000, "x"),
    ],
)
def test_what_may_not(content_type, title, data, place):
    with pytest.raises(Unprocessable) as refused:
        check_one(Attached("x", content_type, title, data))
    assert refused.value.issues[0].expression == (place,)


@pytest.mark.parametrize(
    ("size", "digest", "place"), [(3, "", "x.size"), (None, "AAAA", "x.hash"), (0, "", "x.size")]
)
def test_size_and_hash_are_those_of_the_bytes(size, digest, place):
    with pytest.raises(Unprocessable) as refused:
        check_one(Attached("x", "application/pdf", "", PDF, size, digest))
    assert refused.value.issues[0].expression == (place,)


def test_the_rules_have_their_source():
    assert rules().source
    assert rules().date <= "2026-12-31"
    assert rules().bytes_each <= rules().bytes_together
