"""IHE_XDM.zip taken apart, and what is not let in."""

from __future__ import annotations

import io
import stat
import warnings
import zipfile

import pytest

from fhirserver.messaging.gateway.xdm import BYTES, ENTRIES, Unsafe, documents, patients

PDF = b"%PDF-1.7\n"
CDA = b"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><recordTarget><patientRole>
<id root="1.2.250.1.213.1.4.10" extension="288043155511272"/>
</patientRole></recordTarget></ClinicalDocument>"""


def archive(files, **options):
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        warnings.simplefilter("ignore")
        for name, data in files:
            opened.writestr(name, data)
    return made.getvalue()


def test_documents_are_found_beside_what_describes_them():
    found = documents(
        archive(
            [
                ("README.TXT", "lisez-moi"),
                ("INDEX.HTM", "<html/>"),
                ("IHE_XDM/SUBSET01/METADATA.XML", "<x/>"),
                ("IHE_XDM/SUBSET01/DOC0001.XML", CDA),
                ("IHE_XDM/SUBSET01/DOC0002.PDF", PDF),
                ("IHE_XDM/SUBSET01/STYLE.XSL", "<x/>"),
            ]
        )
    )
    assert [(d.title, d.content_type) for d in found] == [
        ("DOC0001.XML", "text/xml"),
        ("DOC0002.PDF", "application/pdf"),
    ]
    assert found[0].data == CDA
    assert patients(CDA) == {"1.2.250.1.213.1.4.10|288043155511272"}


def encrypted():
    made = bytearray(archive([("a.pdf", PDF)]))
    made[6] |= 1  # local header
    made[made.index(b"PK\x01\x02") + 8] |= 1  # central directory
    return bytes(made)


def linked():
    entry = zipfile.ZipInfo("a.pdf")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return archive([(entry, "/etc/passwd")])


def lying():
    """The directory says that an entry is small."""
    made = bytearray(archive([("a.txt", b"a" * (BYTES + 10))]))
    place = made.index(b"PK\x01\x02") + 24
    made[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(made)


BILLION = b"""<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<ClinicalDocument xmlns="urn:hl7-org:v3"><title>&b;</title></ClinicalDocument>"""
OUTSIDE = b"""<!DOCTYPE x SYSTEM "file:///etc/passwd"><ClinicalDocument xmlns="urn:hl7-org:v3"/>"""


UNSAFE = {
    "empty": b"",
    "head alone": b"PK\x03\x04",
    "no archive": b"%PDF-",
    "cut": archive([("a.pdf", PDF)])[:-30],
    "above": archive([("../a.pdf", PDF)]),
    "above after a folder": archive([("x/../../a.pdf", PDF)]),
    "absolute": archive([("/etc/a.pdf", PDF)]),
    "backslash": archive([("..\\a.pdf", PDF)]),
    "drive": archive([("C:\\a.pdf", PDF)]),
    "too many": archive([(f"{n}.txt", b"") for n in range(ENTRIES + 1)]),
    "too large": archive([("a.txt", b"a" * (BYTES + 1))]),
    "too large together": archive([(f"{n}.txt", b"a" * (BYTES // 3 + 1)) for n in range(3)]),
    "says another size": lying(),
    "link": linked(),
    "encrypted": encrypted(),
    "no PDF": archive([("a.pdf", b"no")]),
    "no XML": archive([("a.xml", b"<a>")]),
    "entity bomb": archive([("a.xml", BILLION)]),
    "entity from outside": archive([("a.xml", OUTSIDE)]),
}


@pytest.mark.parametrize("content", UNSAFE.values(), ids=UNSAFE)
def test_what_is_unsafe_is_not_let_in(content):
    with pytest.raises(Unsafe):
        documents(content)
