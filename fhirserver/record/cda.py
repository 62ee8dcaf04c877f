"""Reads the header of a CDA R2 document (volet structuration minimale of the CI-SIS).

Level 1 wraps a file (`nonXMLBody`), level 3 has coded sections; the header is the same. What the
header says and the metadata do not is taken from it (`metadata.py`); its patient must be the one
the document is filed for.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from fhirserver.errors import Unprocessable
from fhirserver.record import content_type, xml_document
from fhirserver.record.names import SYSTEM_OF_OID

_NAMESPACE = "{urn:hl7-org:v3}"
_ROOT = f"{_NAMESPACE}ClinicalDocument"
_TIME = re.compile(
    r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)?(\d\d)?(?:\.\d+)?([+-]\d{4})?)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Concept:
    """A code of the header; `system` is a URL where the OID is known, else `urn:oid:`."""

    system: str
    code: str
    display: str = ""

    def coding(self) -> dict[str, str]:
        found = {"system": self.system, "code": self.code}
        return {**found, "display": self.display} if self.display else found


@dataclass(frozen=True, slots=True)
class Person:
    """An author: identifiers as (system, value), names."""

    identifiers: tuple[tuple[str, str], ...] = ()
    family: str = ""
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says; None and empty where it is silent. Times are FHIR dateTimes."""

    unique_id: str = ""
    templates: tuple[str, ...] = ()
    type: Concept | None = None
    title: str = ""
    created: str | None = None
    confidentiality: Concept | None = None
    language: str = ""
    patient: tuple[tuple[str, str], ...] = ()
    authors: tuple[Person, ...] = ()
    start: str | None = None
    end: str | None = None
    facility: Concept | None = None
    practice: Concept | None = None
    body_type: str = ""  # media type of what a level 1 document wraps
    level: int = 0  # 1 or 3; 0 without a body


def read(body: bytes) -> Header | None:
    """The header, None when the XML is no CDA. Raises Unprocessable."""
    root = xml_document.parse(body)
    if root.tag != _ROOT:
        return None
    wrapped = _at(root, "component", "nonXMLBody", "text")
    if wrapped is None:  # so spelt by some senders
        wrapped = _at(root, "component", "nonXmlBody", "text")
    body_type = "" if wrapped is None else wrapped.get("mediaType", "text/plain")
    if wrapped is not None:
        _check_wrapped(wrapped, body_type)
    structured = _at(root, "component", "structuredBody") is not None
    level = 1 if wrapped is not None else 3 if structured else 0
    event = _at(root, "documentationOf", "serviceEvent")
    facility = ("componentOf", "encompassingEncounter", "location", "healthCareFacility", "code")
    organization = ("performer", "assignedEntity", "representedOrganization")
    practice = (*organization, "standardIndustryClassCode")
    return Header(
        unique_id=_uri(_at(root, "id")),
        templates=tuple(t.get("root", "") for t in _all(root, "templateId")),
        type=_concept(_at(root, "code")),
        title=_text(_at(root, "title")),
        created=_time(_at(root, "effectiveTime")),
        confidentiality=_concept(_at(root, "confidentialityCode")),
        language=_value(_at(root, "languageCode"), "code"),
        patient=_identifiers(_at(root, "recordTarget", "patientRole")),
        authors=tuple(_person(author) for author in _all(root, "author")),
        start=_time(_at(event, "effectiveTime", "low")) or _time(_at(event, "effectiveTime")),
        end=_time(_at(event, "effectiveTime", "high")),
        facility=_concept(_at(root, *facility)),
        practice=_concept(_at(event, *practice)),
        body_type=body_type,
        level=level,
    )


def _check_wrapped(wrapped: Any, body_type: str) -> None:
    """The file inside a level 1 document is of the type it says, too."""
    if not content_type.accepted(body_type):
        raise Unprocessable(f"The CDA wraps a document of type {body_type[:80]}, not taken here.")
    text = "".join(wrapped.itertext())
    content = text.encode()
    if wrapped.get("representation") == "B64":
        try:
            content = b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise Unprocessable("What the CDA wraps is not base64.") from None
    if not content_type.matches(body_type, content):
        raise Unprocessable(f"What the CDA wraps is not {body_type[:80]}.")


def _at(element: Any, *path: str) -> Any:
    for name in path:
        if element is None:
            return None
        element = element.find(_NAMESPACE + name)
    return element


def _all(element: Any, name: str) -> list[Any]:
    return [] if element is None else element.findall(_NAMESPACE + name)


def _value(element: Any, attribute: str) -> str:
    return "" if element is None else str(element.get(attribute, "")).strip()


def _text(element: Any) -> str:
    return "" if element is None else " ".join("".join(element.itertext()).split())


def _concept(element: Any) -> Concept | None:
    code, oid = _value(element, "code"), _value(element, "codeSystem")
    if not code or not oid:
        return None
    system = SYSTEM_OF_OID.get(oid, f"urn:oid:{oid}")
    return Concept(system, code, _value(element, "displayName"))


def _uri(element: Any) -> str:
    """An identifier of CDA as the uri that IHE makes of it: only roots that stand alone."""
    root = _value(element, "root")
    return f"urn:oid:{root}" if root and not _value(element, "extension") else ""


def _identifiers(element: Any) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"urn:oid:{id.get('root')}", str(id.get("extension")).strip())
        for id in _all(element, "id")
        if id.get("root") and id.get("extension")
    )


def _person(author: Any) -> Person:
    assigned = _at(author, "assignedAuthor")
    name = _at(assigned, "assignedPerson", "name")
    given = tuple(filter(None, (_text(each) for each in _all(name, "given"))))
    return Person(_identifiers(assigned), _text(_at(name, "family")), given)


def _time(element: Any) -> str | None:
    """`20230113100000+0100` as a FHIR dateTime; None when it is not a time."""
    found = _TIME.fullmatch(_value(element, "value"))
    if found is None:
        return None
    year, month, day, hour, minute, second, zone = found.groups()
    date = "-".join(part for part in (year, month, day) if part)
    # FHIR has no time without a zone.
    if day is None or hour is None or zone is None:
        return date
    return f"{date}T{hour}:{minute or '00'}:{second or '00'}{zone[:3]}:{zone[3:]}"
