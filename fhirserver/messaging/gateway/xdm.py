"""IHE_XDM.zip, the archive in which documents travel by mail (IHE ITI TF-2, 3.32), taken apart.

Whatever the archive says of itself, no more is unpacked than the limits allow, nothing is written
to a disk, and XML is read without entities, DTDs or network.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from typing import TYPE_CHECKING

from lxml import etree

from fhirserver.messaging.attachments import Attached, matches, rules

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES = 200
BYTES = 30_000_000
_CHUNK = 64 * 1024
_CDA = "{urn:hl7-org:v3}ClinicalDocument"
_V3 = {"v3": "urn:hl7-org:v3"}
#: What an archive has beside documents.
_BESIDE = frozenset({"metadata.xml", "readme.txt", "index.htm", "index.html", "readme.htm"})
XML = "text/xml"


class Unsafe(ValueError):
    """The archive, or a document in it, is not taken in; the text says why."""


def documents(archive: bytes) -> list[Attached]:
    """The documents in an archive: CDA, and files of the types that may be attached."""
    found = []
    for name, data in _files(archive):
        base = name.rpartition("/")[2]
        if base.lower() in _BESIDE:
            continue
        attached = document(base, data)
        if attached is not None:
            found.append(attached)
    return found


def document(name: str, data: bytes) -> Attached | None:
    """A file by its bytes; None when it is no document (a style sheet, a page)."""
    ending = name.rpartition(".")[2].lower()
    if ending == "xml":
        root = _xml(data)
        return Attached(name, XML, name, data) if root.tag == _CDA else None
    for content_type, known in rules().types.items():
        if ending in known.names:
            if not matches(known, data):
                raise Unsafe(f"{name[:80]} is not {content_type}")
            return Attached(name, content_type, name, data)
    return None


def patients(cda: bytes) -> set[str]:
    """The identifiers of the patient a CDA document is about, `root|extension`."""
    ids = _xml(cda).iterfind("v3:recordTarget/v3:patientRole/v3:id", _V3)
    return {f"{each.get('root', '')}|{each.get('extension', '')}" for each in ids}


def _xml(data: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        dtd_validation=False,
    )
    try:
        tree = etree.fromstring(data, parser).getroottree()
    except etree.XMLSyntaxError as error:
        raise Unsafe("a document is not well-formed XML") from error
    if tree.docinfo.internalDTD is not None:
        raise Unsafe("a document has a DOCTYPE")
    return tree.getroot()


def _files(archive: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        opened = zipfile.ZipFile(io.BytesIO(archive))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise Unsafe("the archive cannot be read") from error
    with opened:
        entries = opened.infolist()
        if len(entries) > ENTRIES:
            raise Unsafe(f"the archive has more than {ENTRIES} entries")
        left = BYTES
        for entry in entries:
            _check_name(entry)
            if entry.is_dir():
                continue
            data = _unpacked(opened, entry, left)
            left -= len(data)
            yield entry.filename, data


def _check_name(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name or "\0" in name:
        raise Unsafe("the archive has an entry outside of itself")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise Unsafe("the archive has a link")
    if entry.flag_bits & 0x1:
        raise Unsafe("the archive is encrypted")


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, left: int) -> bytes:
    """The bytes of an entry, counted as they come."""
    found = bytearray()
    try:
        with archive.open(entry) as stream:
            while chunk := stream.read(_CHUNK):
                found += chunk
                if len(found) > left:
                    raise Unsafe(f"the archive unpacks to more than {BYTES} bytes")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Unsafe("the archive cannot be read") from error
    return bytes(found)
