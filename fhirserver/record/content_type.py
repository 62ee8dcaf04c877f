"""Whether a document is of the type it says, judged by its bytes.

The types accepted are those of the DMP: PDF, JPEG, PNG, TIFF, RTF, plain text, CDA (XML); with
FHIR documents, DICOM key object selections and IHE XDM archives. What a browser or a viewer would
take for something else than it says is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhirserver.errors import FHIRError
from fhirserver.model import json
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.record import xml_document

if TYPE_CHECKING:
    from collections.abc import Callable

_FHIR = "{http://hl7.org/fhir}"
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda body: body.startswith(signatures)


def _is_text(body: bytes) -> bool:
    """Text in UTF-8 or an 8-bit character set: no control characters, no other format's start."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            body.decode("utf-16")
        except UnicodeDecodeError:
            return False
        return True
    return _CONTROL.search(body) is None and not any(
        found(body) for found in (_is_pdf, _is_rtf, _is_png, _is_jpeg)
    )


def _is_fhir_json(body: bytes) -> bool:
    try:
        return str(json.decode(body).get("resourceType")) in RESOURCE_TYPES
    except FHIRError:
        return False


def _is_fhir_xml(body: bytes) -> bool:
    try:
        tag = str(xml_document.parse(body).tag)
    except FHIRError:
        return False
    return tag.startswith(_FHIR) and tag.removeprefix(_FHIR) in RESOURCE_TYPES


def _is_xml(body: bytes) -> bool:
    try:
        xml_document.parse(body)
    except FHIRError:
        return False
    return True


def _is_dicom(body: bytes) -> bool:
    return body[128:132] == b"DICM"


_is_pdf = _starts(b"%PDF-")
_is_rtf = _starts(b"{\\rtf")
_is_png = _starts(b"\x89PNG\r\n\x1a\n")
_is_jpeg = _starts(b"\xff\xd8\xff")

XML = frozenset({"text/xml", "application/xml", "text/x-hl7-text+xml", "application/hl7-cda+xml"})
FHIR_DOCUMENT = frozenset({"application/fhir+json", "application/fhir+xml"})

#: Media type -> whether bytes are of it. What is not here is refused.
_TESTS: dict[str, Callable[[bytes], bool]] = {
    "application/pdf": _is_pdf,
    "image/jpeg": _is_jpeg,
    "image/png": _is_png,
    "image/tiff": _starts(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "application/rtf": _is_rtf,
    "text/rtf": _is_rtf,
    "text/plain": _is_text,
    "application/fhir+json": _is_fhir_json,
    "application/fhir+xml": _is_fhir_xml,
    "application/dicom": _is_dicom,
    "application/zip": _starts(b"PK\x03\x04"),
    **dict.fromkeys(XML, _is_xml),
}


def media_type(content_type: str) -> str:
    """Without parameters: `text/plain; charset=utf-8` is `text/plain`."""
    return content_type.partition(";")[0].strip().lower()


def accepted(content_type: str) -> bool:
    return media_type(content_type) in _TESTS


def matches(content_type: str, body: bytes) -> bool:
    """Whether the bytes are of an accepted type's form."""
    return _TESTS[media_type(content_type)](body)
