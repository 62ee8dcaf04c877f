"""Documents are of the type they say."""

from __future__ import annotations

import pytest

from fhirserver.errors import TooLarge, Unprocessable
from fhirserver.record.content import check, examined, hash_of
from fhirserver.record.content_type import accepted, matches

PDF = b"%PDF-1.7\n..."
OF_TYPE = {
    "application/pdf": PDF,
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "image/png": b"\x89PNG\r\n\x1a\n\0",
    "image/tiff": b"MM\0*\0",
    "application/rtf": b"{\\rtf1\\ansi}",
    "text/plain": "Compte rendu d'été\r\n\tœuvre".encode(),
    "text/xml": b"<a/>",
    "application/fhir+json": b'{"resourceType":"Bundle"}',
    "application/fhir+xml": b'<Bundle xmlns="http://hl7.org/fhir"/>',
    "application/dicom": b"\0" * 128 + b"DICM",
    "application/zip": b"PK\x03\x04...",
}


@pytest.mark.parametrize("said", OF_TYPE)
def test_each_type_takes_its_own_bytes_and_no_others(said):
    for other, body in OF_TYPE.items():
        # Text and markup are text; a resource in XML is XML.
        both_text = said == "text/plain" and other in (
            "text/xml",
            "application/fhir+json",
            "application/fhir+xml",
        )
        both_xml = (said, other) == ("text/xml", "application/fhir+xml")
        assert matches(said, body) is (said == other or both_text or both_xml), (said, other)


@pytest.mark.parametrize(
    "body",
    [
        b"\0",
        b"a\0b",
        b"MZ\x90\0\x03",
        b"\x7fELF\x02",
        b"%PDF-1.4",
        b"{\\rtf",
        b"\x1b" * 3 + b"\x01",
    ],
)
def test_binaries_are_no_text(body):
    assert not matches("text/plain", body)


def test_text_of_older_systems_is_text():
    assert matches("text/plain; charset=iso-8859-15", "Présenté à 10 €".encode("iso-8859-15"))
    assert matches("text/plain; charset=utf-16", "été".encode("utf-16"))


@pytest.mark.parametrize(
    "said", ["text/html", "image/svg+xml", "application/x-msdownload", "application/javascript", ""]
)
def test_other_types_are_not_taken(said):
    assert not accepted(said)


async def test_the_limit_is_the_last_that_is_taken():
    document = await examined(PDF, "application/pdf", len(PDF), "x")
    assert (document.size, document.hash) == (len(PDF), hash_of(PDF))
    with pytest.raises(TooLarge):
        await examined(PDF, "application/pdf", len(PDF) - 1, "x")


async def test_a_large_document_is_looked_at_like_a_small_one():
    large = PDF + b" " * 1_000_000
    assert (await examined(large, "application/pdf", 2_000_000, "x")).size == len(large)
    with pytest.raises(Unprocessable):
        await examined(large, "image/png", 2_000_000, "x")


async def test_size_and_hash_are_the_documents():
    document = await examined(PDF, "application/pdf", 1000, "x")
    whole = {"contentType": "application/pdf", "size": len(PDF), "hash": hash_of(PDF)}
    assert check({"contentType": "application/pdf"}, document, "x") == whole
    assert check(whole, document, "x") == whole
    for wrong in ({"size": 0}, {"hash": ""}, {"hash": document.hash.lower()}):
        with pytest.raises(Unprocessable):
            check(whole | wrong, document, "x")


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ("application/fhir+json", b'{"a":1}'),
        ("application/fhir+json", b'{"resourceType":"Nothing"}'),
        ("application/fhir+json", b"[]"),
        ("application/fhir+json", b'{"resourceType":["Bundle"]}'),
        ("application/fhir+xml", b"<Bundle/>"),
        ("application/fhir+xml", b'<Nothing xmlns="http://hl7.org/fhir"/>'),
    ],
)
def test_what_is_no_resource_is_no_fhir_document(said, body):
    assert not matches(said, body)


@pytest.mark.parametrize("body", [b"no xml", b"<!DOCTYPE a><a/>", b"\xff\xfe<a/>"])
async def test_a_refusal_of_xml_tells_the_place(body):
    with pytest.raises(Unprocessable) as raised:
        await examined(body, "text/xml", 1000, "DocumentReference.content[1].attachment")
    (issue,) = raised.value.issues
    assert issue.expression == ("DocumentReference.content[1].attachment",)
