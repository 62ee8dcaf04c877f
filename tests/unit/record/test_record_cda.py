"""Headers of CDA documents: read, compared, refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fhirserver.errors import Unprocessable
from fhirserver.record import cda, metadata, xml_document

DOCUMENTS = Path(__file__).parents[4] / "shared" / "data" / "documents"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LOINC = "2.16.840.1.113883.6.1"
STRUCTURED = (
    "<component><structuredBody><component><section/></component></structuredBody></component>"
)
ANS = "https://mos.esante.gouv.fr/NOS/"


def document(
    body=STRUCTURED, templates=("1.2.250.1.213.1.1.1.39",), confidentiality="N", code="57833-6"
):
    stated = "".join(f'<templateId root="{root}"/>' for root in templates)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>{stated}
  <id root="1.2.250.1.213.1.1.9.1"/>
  <code code="{code}" codeSystem="{LOINC}" displayName="Prescription"/>
  <title>Ordonnance   de sortie</title>
  <effectiveTime value="20230113100000+0100"/>
  <confidentialityCode code="{confidentiality}" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="fr-FR"/>
  <recordTarget><patientRole>
    <id extension="279035121518989" root="1.2.250.1.213.1.4.8"/>
    <id extension="1234567890121" root="1.2.3.4.567.8.9.10"/>
  </patientRole></recordTarget>
  <author><time value="20230113"/><assignedAuthor>
    <id root="1.2.250.1.71.4.2.1" extension="801234500179"/>
    <assignedPerson><name><given>Charles</given><family>TOUBIB</family></name></assignedPerson>
  </assignedAuthor></author>
  <documentationOf><serviceEvent>
    <effectiveTime><low value="202301130900+0100"/><high value="20230114"/></effectiveTime>
    <performer typeCode="PRF"><assignedEntity><representedOrganization>
      <standardIndustryClassCode code="ETABLISSEMENT" codeSystem="1.2.250.1.213.1.1.4.9"/>
    </representedOrganization></assignedEntity></performer>
  </serviceEvent></documentationOf>
  <componentOf><encompassingEncounter><location><healthCareFacility>
    <code code="SA01" codeSystem="1.2.250.1.71.4.2.4"/>
  </healthCareFacility></location></encompassingEncounter></componentOf>
  {body}
</ClinicalDocument>""".encode()


def wrapping(content, media_type):
    text = base64.b64encode(content).decode()
    return (
        f'<component><nonXMLBody><text mediaType="{media_type}" representation="B64">{text}'
        "</text></nonXMLBody></component>"
    )


def bare(**more):
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/1"},
        "content": [{"attachment": {"contentType": "text/xml", "url": "Binary/1"}}],
    } | more


def test_a_header_is_read():
    header = cda.read(document())
    assert header.unique_id == "urn:oid:1.2.250.1.213.1.1.9.1"
    assert (header.type.system, header.type.code) == ("http://loinc.org", "57833-6")
    assert header.title == "Ordonnance de sortie"
    assert header.created == "2023-01-13T10:00:00+01:00"
    assert header.language == "fr-FR"
    assert ("urn:oid:1.2.250.1.213.1.4.8", "279035121518989") in header.patient
    (author,) = header.authors
    assert (author.family, author.given) == ("TOUBIB", ("Charles",))
    assert header.level == 3


def test_what_the_metadata_leave_out_is_taken_from_the_header():
    found = metadata.from_header(bare(), cda.read(document()), 0)
    found = metadata.completed(found, NOW)
    assert found["type"]["coding"][0]["code"] == "57833-6"
    assert found["category"][0]["coding"][0]["code"] == "42"
    assert found["masterIdentifier"]["value"] == "urn:oid:1.2.250.1.213.1.1.9.1"
    (label,) = found["securityLabel"]
    assert label["coding"][0]["code"] == "N"
    (practitioner,) = found["contained"]
    assert found["author"] == [{"reference": f"#{practitioner['id']}"}]
    assert practitioner["name"] == [{"family": "TOUBIB", "given": ["Charles"]}]
    assert practitioner["identifier"][0]["value"] == "801234500179"
    content = found["content"][0]
    assert content["format"]["code"] == "urn:ihe:pharm:pre:2010"
    assert content["attachment"]["title"] == "Ordonnance de sortie"
    assert content["attachment"]["language"] == "fr-FR"
    assert content["attachment"]["creation"] == "2023-01-13T10:00:00+01:00"
    context = found["context"]
    assert context["period"] == {"start": "2023-01-13T09:00:00+01:00", "end": "2023-01-14"}
    assert context["facilityType"]["coding"][0]["code"] == "SA01"
    assert context["practiceSetting"]["coding"][0]["system"].startswith(ANS)


def test_what_the_metadata_say_is_kept():
    said = bare(
        type={"coding": [{"system": "http://loinc.org", "code": "57833-6"}]},
        author=[{"reference": "Practitioner/1"}],
        masterIdentifier={"value": "urn:oid:1.2"},
        securityLabel=[{"coding": [{"code": "R"}]}],
        context={"period": {"start": "2020"}},
    )
    said["content"][0]["attachment"]["title"] = "Mine"
    found = metadata.from_header(said, cda.read(document()), 0)
    for name in ("type", "author", "masterIdentifier", "securityLabel"):
        assert found[name] == said[name]
    assert found["context"]["period"] == {"start": "2020"}
    assert found["content"][0]["attachment"]["title"] == "Mine"
    assert "contained" not in found


@pytest.mark.parametrize(
    ("said", "header"),
    [
        ({"type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]}}, {}),
        ({"securityLabel": [{"coding": [{"code": "N"}]}]}, {"confidentiality": "V"}),
        ({"meta": {"security": [{"code": "N"}]}}, {"confidentiality": "R"}),
    ],
)
def test_metadata_that_contradict_the_header_are_refused(said, header):
    with pytest.raises(Unprocessable):
        metadata.from_header(bare(**said), cda.read(document(**header)), 0)


@pytest.mark.parametrize(
    ("content", "media_type", "format"),
    [
        (b"%PDF-1.4 x", "application/pdf", "urn:ihe:iti:xds-sd:pdf:2008"),
        (b"bonjour", "text/plain", "urn:ihe:iti:xds-sd:text:2008"),
        (b"\xff\xd8\xff\xe0", "image/jpeg", "urn:ihe:iti-fr:xds-sd:jpeg:2010"),
        (b"{\\rtf1}", "text/rtf", "urn:ihe:iti-fr:xds-sd:rtf:2010"),
        (b"II*\0", "image/tiff", "urn:ihe:iti-fr:xds-sd:tiff:2010"),
    ],
)
def test_level_1_has_the_format_of_what_it_wraps(content, media_type, format):
    header = cda.read(document(wrapping(content, media_type), ["1.3.6.1.4.1.19376.1.2.20"]))
    assert (header.level, header.body_type) == (1, media_type)
    found = metadata.from_header(bare(), header, 0)
    assert found["content"][0]["format"]["code"] == format


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(b"MZ\x90\0", "application/pdf"), (b"%PDF-1", "image/png"), (b"x", "application/x-sh")],
)
def test_level_1_wraps_what_it_says(content, media_type):
    with pytest.raises(Unprocessable):
        cda.read(document(wrapping(content, media_type)))


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<ClinicalDocument xmlns="urn:hl7-org:v3"><title>&x;</title></ClinicalDocument>"""
LAUGHS = (
    b"<!DOCTYPE a [<!ENTITY a '1'><!ENTITY b '&a;&a;'>]><ClinicalDocument>&b;</ClinicalDocument>"
)


@pytest.mark.parametrize(
    "body",
    [
        ENTITIES,
        LAUGHS,
        ENTITIES.decode().encode("utf-16"),
        ENTITIES.decode().encode("utf-16-le"),
        b'<?xml version="1.0" encoding="UTF-7"?><a/>',
        b'<?xml version="1.0" encoding="utf-16"?><a/>',
        b"<a>" * 150 + b"</a>" * 150,
        b"<a>" * 5000 + b"</a>" * 5000,
        b"<a>&undefined;</a>",
        b"<a",
        b"",
        b"\0\0\0\0",
        b"<a>" + b"<b/>" * (xml_document.MAX_ELEMENTS + 1) + b"</a>",
    ],
    ids=range(13),
)
def test_xml_that_means_harm_is_not_read(body):
    with pytest.raises(Unprocessable):
        cda.read(body)


def test_xml_that_is_no_cda_has_no_header():
    assert cda.read(b"<ClinicalDocument/>") is None
    assert cda.read(b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>') == cda.Header()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2023", "2023"),
        ("202301", "2023-01"),
        ("20230113", "2023-01-13"),
        ("202301131000", "2023-01-13"),  # no zone: no time
        ("20230113100000.123+0100", "2023-01-13T10:00:00+01:00"),
        ("2023011310-0330", "2023-01-13T10:00:00-03:30"),
        ("13/01/2023", None),
        ("", None),
    ],
)
def test_times(text, time):
    stated = f'<effectiveTime value="{text}"/>'
    body = f'<ClinicalDocument xmlns="urn:hl7-org:v3">{stated}</ClinicalDocument>'
    assert cda.read(body.encode()).created == time


def test_documents_of_elsewhere_are_read():
    if not DOCUMENTS.is_dir():
        pytest.skip(f"there is no reference data at {DOCUMENTS}")
    structured = cda.read((DOCUMENTS / "ccda_structured.xml").read_bytes())
    wrapped = cda.read((DOCUMENTS / "ccda_unstructured.xml").read_bytes())
    assert (structured.level, wrapped.level) == (3, 1)
    assert wrapped.body_type == "application/pdf"
    assert structured.title
    assert structured.authors
