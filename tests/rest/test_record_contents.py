"""What a document holds: infected, too large, of another patient, a CDA with its own metadata."""

from __future__ import annotations

import json
import sys

import record_samples as samples
from over_http import outcome_of

from fhirserver.model import xml

SCAN = "import sys; sys.exit(1 if b'virus' in sys.stdin.buffer.read() else 0)"
VIRUS = b"%PDF-1.4 a virus for tests"


async def test_infected_documents_are_refused_by_every_way(in_process, tmp_path):
    file = tmp_path / "scan.py"
    file.write_text(SCAN)
    fhir = await in_process(antivirus=f"{sys.executable} {file}")
    made = await fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    patient = f"Patient/{made.json()['id']}"
    clean = await fhir.post("/DocumentReference", json=samples.simplified(patient))
    assert clean.status_code == 201
    assert (await fhir.post("/", json=samples.whole(patient))).status_code == 200
    infected = [
        await fhir.post("/DocumentReference", json=samples.simplified(patient, body=VIRUS)),
        await fhir.post("/", json=samples.whole(patient, body=VIRUS)),
        await fhir.post("/Binary", content=VIRUS, headers={"content-type": "application/pdf"}),
    ]
    for answer in infected:
        (issue,) = outcome_of(answer, 422)["issue"]
        assert issue["code"] == "security"
    found = (await fhir.get("/DocumentReference", params={"patient": patient})).json()
    assert len(found["entry"]) == 2


async def test_nothing_is_taken_when_the_antivirus_is_away(in_process):
    fhir = await in_process(antivirus="tcp://127.0.0.1:1")
    made = await fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    document = samples.simplified(f"Patient/{made.json()['id']}")
    outcome_of(await fhir.post("/DocumentReference", json=document), 503)


async def test_a_document_over_the_limit_is_refused(in_process):
    fhir = await in_process(max_document_bytes=2048)
    made = await fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    patient = f"Patient/{made.json()['id']}"
    large = samples.PDF + b" " * 2048
    document = samples.simplified(patient, body=large)
    outcome_of(await fhir.post("/DocumentReference", json=document), 413)
    outcome_of(await fhir.post("/", json=samples.whole(patient, body=large)), 413)


async def test_a_cda_of_another_patient_is_refused(in_process):
    fhir = await in_process()
    system = samples.TEST_INS
    person = {
        "resourceType": "Patient",
        "active": True,
        "identifier": [{"system": system, "value": "279035121518989"}],
    }
    made = await fhir.post("/Patient", json=person)
    assert made.status_code == 201, made.text
    patient = f"Patient/{made.json()['id']}"
    for value, root, status in (
        ("279035121518989", "1.2.250.1.213.1.4.10", 201),
        ("260058815400233", "1.2.250.1.213.1.4.10", 422),
        ("279035121518989", "1.2.250.1.213.1.4.8", 422),
        ("another", "1.2.3.4", 201),  # no INS: nothing to compare
    ):
        body = (
            '<ClinicalDocument xmlns="urn:hl7-org:v3"><recordTarget><patientRole>'
            f'<id root="{root}" extension="{value}"/></patientRole></recordTarget>'
            "</ClinicalDocument>"
        ).encode()
        document = samples.simplified(patient, body=body, content_type="text/xml")
        answer = await fhir.post("/DocumentReference", json=document)
        assert answer.status_code == status, (value, root, answer.text)
        made, binary = samples.carried(patient, body=body, content_type="text/xml")
        answer = await fhir.post("/", json=samples.submission(patient, made, binaries=[binary]))
        assert answer.status_code == (200 if status == 201 else status)


async def test_a_cda_alone_brings_its_metadata(in_process):
    fhir = await in_process()
    made = await fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    patient = f"Patient/{made.json()['id']}"
    body = (
        b'<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.250.1.5"/>'
        b'<code code="11490-0" codeSystem="2.16.840.1.113883.6.1"/><title>Lettre</title>'
        b'<effectiveTime value="20260113100000+0100"/>'
        b'<confidentialityCode code="R" codeSystem="2.16.840.1.113883.5.25"/>'
        b'<languageCode code="fr-FR"/><author><assignedAuthor>'
        b'<id root="1.2.250.1.71.4.2.1" extension="801234500179"/>'
        b"<assignedPerson><name><family>TOUBIB</family></name></assignedPerson>"
        b"</assignedAuthor></author></ClinicalDocument>"
    )
    profile = (
        "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-simplified-publish"
    )
    document = {
        "resourceType": "DocumentReference",
        "meta": {"profile": [profile]},
        "status": "current",
        "subject": {"reference": patient},
        "content": [
            {"attachment": {"contentType": "text/xml", "data": samples.text64(body)}},
        ],
    }
    answer = await fhir.post("/DocumentReference", json=document)
    assert answer.status_code == 201, answer.text
    found = await fhir.get(
        "/DocumentReference",
        params={
            "patient": patient,
            "type": "11490-0",
            "category": "10",
            "security-label": "R",
            "author.family": "toubib",
            "creation": "2026-01-13",
            "identifier": "urn:ietf:rfc:3986|urn:oid:1.2.250.1.5",
        },
    )
    assert len(found.json()["entry"]) == 1


async def test_a_fhir_document_of_another_patient_is_refused(in_process):
    fhir = await in_process()

    def person(value):
        identifier = {"system": samples.TEST_INS, "value": value}
        return {"resourceType": "Patient", "active": True, "identifier": [identifier]}

    made = await fhir.post("/Patient", json=person("279035121518989"))
    patient = f"Patient/{made.json()['id']}"
    full_url = "urn:uuid:0f5c7a3e-0000-4000-8000-000000000001"
    for value, subject, status in (
        ("279035121518989", full_url, 201),
        ("260058815400233", full_url, 422),
        ("260058815400233", "#p", 422),
        ("260058815400233", "https://elsewhere.example/Patient/1", 201),
    ):
        composition = {
            "resourceType": "Composition",
            "contained": [person(value) | {"id": "p"}],
            "status": "final",
            "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
            "subject": {"reference": subject},
            "date": "2026-11-20",
            "author": [{"display": "x"}],
            "title": "Compte rendu",
        }
        bundle = {
            "resourceType": "Bundle",
            "type": "document",
            "entry": [
                {"resource": composition},
                {"fullUrl": full_url, "resource": person(value)},
            ],
        }
        for kind, body in (
            ("application/fhir+json", json.dumps(bundle).encode()),
            ("application/fhir+xml", xml.encode(bundle)),
        ):
            document = samples.simplified(patient, body=body, content_type=kind)
            answer = await fhir.post("/DocumentReference", json=document)
            assert answer.status_code == status, (value, subject, kind, answer.text)
