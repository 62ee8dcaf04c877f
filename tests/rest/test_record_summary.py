"""$summary over HTTP: the International Patient Summary of a record."""

from __future__ import annotations

import json

import pytest
from lxml import html
from over_http import FHIR_JSON, outcome_of

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
ABSENT = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
REQUIRED = {
    "48765-2": "no-allergy-info",
    "10160-0": "no-medication-info",
    "11450-4": "no-problem-info",
}


def post(fhir, resource):
    response = fhir.post(f"/{resource['resourceType']}", json=resource, headers=FHIR_JSON)
    assert response.status_code == 201, response.text
    return response.json()


def person(fhir, tag, **more):
    name = [{"family": "DURAND", "given": ["Élise"]}]
    identifier = [{"system": "urn:test:summary", "value": tag}]
    return post(
        fhir,
        {"resourceType": "Patient", "identifier": identifier, "name": name, "gender": "female",
         "birthDate": "1961-05-09", **more},
    )  # fmt: skip


def subject(patient):
    return {"reference": f"Patient/{patient['id']}"}


def coded(system, code, text=None):
    return {"coding": [{"system": system, "code": code}], **({"text": text} if text else {})}


def allergy(patient, text, clinical="active", verification="confirmed", **more):
    return {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": coded(f"{TERMINOLOGY}/allergyintolerance-clinical", clinical),
        "verificationStatus": coded(f"{TERMINOLOGY}/allergyintolerance-verification", verification),
        "code": {"text": text},
        "patient": subject(patient),
        **more,
    }


def condition(patient, text, clinical="active", verification="confirmed", **more):
    return {
        "resourceType": "Condition",
        "clinicalStatus": coded(f"{TERMINOLOGY}/condition-clinical", clinical),
        "verificationStatus": coded(f"{TERMINOLOGY}/condition-ver-status", verification),
        "code": {"text": text},
        "subject": subject(patient),
        **more,
    }


def prescription(patient, text, status="active", intent="order", **more):
    return {
        "resourceType": "MedicationRequest",
        "status": status,
        "intent": intent,
        "medicationCodeableConcept": {"text": text},
        "subject": subject(patient),
        **more,
    }


def measure(patient, code, value, unit, day, category="vital-signs", status="final"):
    return {
        "resourceType": "Observation",
        "status": status,
        "category": [coded(f"{TERMINOLOGY}/observation-category", category)],
        "code": coded(LOINC, code, f"mesure {code}"),
        "subject": subject(patient),
        "effectiveDateTime": day,
        "valueQuantity": {
            "value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit
        },
    }  # fmt: skip


class Document:
    """A document Bundle: its parts by what they are called."""

    def __init__(self, bundle):
        assert bundle["resourceType"] == "Bundle"
        assert bundle["type"] == "document"
        self.bundle = bundle
        self.by_url = {e["fullUrl"]: e["resource"] for e in bundle["entry"]}
        assert len(self.by_url) == len(bundle["entry"])
        self.composition = bundle["entry"][0]["resource"]
        assert self.composition["resourceType"] == "Composition"
        self.sections = {s["code"]["coding"][0]["code"]: s for s in self.composition["section"]}

    def entries(self, code):
        return [self.by_url[e["reference"]] for e in self.sections[code]["entry"]]

    def texts(self, code):
        return [
            (r.get("code") or r.get("medicationCodeableConcept") or r.get("vaccineCode"))["text"]
            for r in self.entries(code)
        ]

    def types(self):
        return sorted(e["resource"]["resourceType"] for e in self.bundle["entry"])


def summary(fhir, patient):
    response = fhir.get(f"/Patient/{patient['id']}/$summary")
    assert response.status_code == 200, response.text
    return Document(response.json())


def test_summary_is_a_valid_document_about_the_patient(fhir, tag):
    patient = person(fhir, tag)
    post(fhir, allergy(patient, "Arachide"))
    post(fhir, measure(patient, "29463-7", 71.5, "kg", "2026-03-01"))
    found = summary(fhir, patient)
    composition = found.composition
    assert composition["type"]["coding"][0] == {
        "system": LOINC, "code": "60591-5", "display": "Patient summary Document"
    }  # fmt: skip
    assert found.by_url[composition["subject"]["reference"]] == patient
    assert found.by_url[composition["author"][0]["reference"]]["resourceType"] == "Device"
    assert "attester" not in composition
    assert composition["date"] == found.bundle["timestamp"]
    assert found.bundle["identifier"]["value"].startswith("urn:uuid:")
    checked = fhir.post("/Bundle/$validate", json=found.bundle, headers=FHIR_JSON).json()
    assert not [i for i in checked["issue"] if i["severity"] in ("error", "fatal")], checked
    for section in composition["section"]:
        assert section["text"]["div"].startswith('<div xmlns="http://www.w3.org/1999/xhtml"')


def test_required_sections_of_an_empty_record_say_that_nothing_is_known(fhir, tag):
    found = summary(fhir, person(fhir, tag))
    assert set(found.sections) == set(REQUIRED)
    for code, absent in REQUIRED.items():
        (entry,) = found.entries(code)
        concept = entry.get("code") or entry["medicationCodeableConcept"]
        coding = concept["coding"][0]
        assert (coding["system"], coding["code"]) == (ABSENT, absent)
        assert "emptyReason" not in found.sections[code]


def test_none_known_is_told_only_as_long_as_nothing_is(fhir, tag):
    patient = person(fhir, tag)
    none = coded(SNOMED, "716186003", "Aucune allergie connue")
    post(fhir, allergy(patient, "", code=none))
    assert summary(fhir, patient).texts("48765-2") == ["Aucune allergie connue"]
    post(fhir, allergy(patient, "Latex"))
    assert summary(fhir, patient).texts("48765-2") == ["Latex"]


def test_each_section_has_what_its_statuses_admit(fhir, tag):
    patient = person(fhir, tag)
    post(fhir, allergy(patient, "Latex"))
    post(fhir, allergy(patient, "Réfutée", verification="refuted"))
    post(fhir, allergy(patient, "Guérie", clinical="resolved"))
    mistaken = allergy(patient, "Erreur", verification="entered-in-error")
    del mistaken["clinicalStatus"]
    post(fhir, mistaken)
    post(fhir, condition(patient, "Diabète"))
    post(fhir, condition(patient, "Angine", clinical="resolved", abatementDateTime="2020-02-01"))
    post(fhir, condition(patient, "Écartée", verification="refuted"))
    post(fhir, prescription(patient, "Metformine"))
    post(fhir, prescription(patient, "Arrêtée", status="stopped"))
    post(fhir, prescription(patient, "Proposée", intent="proposal"))
    post(fhir, prescription(patient, "À ne pas donner", doNotPerform=True))
    ended = {
        "resourceType": "MedicationStatement",
        "status": "active",
        "medicationCodeableConcept": {"text": "Finie"},
        "subject": subject(patient),
        "effectivePeriod": {"end": "2020-01-01"},
    }
    post(fhir, ended)
    vaccine = {
        "resourceType": "Immunization",
        "status": "completed",
        "vaccineCode": {"text": "Revaxis"},
        "patient": subject(patient),
        "occurrenceDateTime": "2021-05-09",
    }
    post(fhir, vaccine)
    post(fhir, vaccine | {"status": "not-done", "vaccineCode": {"text": "Pas fait"}})
    found = summary(fhir, patient)
    assert found.texts("48765-2") == ["Latex"]
    assert found.texts("11450-4") == ["Diabète"]
    assert found.texts("11348-0") == ["Angine"]
    assert found.texts("10160-0") == ["Metformine"]
    assert found.texts("11369-6") == ["Revaxis"]


def test_newest_value_of_each_measure_is_shown(fhir, tag):
    patient = person(fhir, tag)
    for value, day in ((70, "2024-01-01"), (72, "2026-01-01"), (71, "2025-01-01")):
        post(fhir, measure(patient, "29463-7", value, "kg", day))
    post(fhir, measure(patient, "8302-2", 168, "cm", "2020-06-01"))
    post(fhir, measure(patient, "8867-4", 60, "/min", "2026-06-01", status="entered-in-error"))
    values = [(o["valueQuantity"]["value"]) for o in summary(fhir, patient).entries("8716-3")]
    assert values == [72, 168]


def test_what_entries_refer_to_comes_along_once(fhir, tag):
    patient = person(fhir, tag)
    organization = post(fhir, {"resourceType": "Organization", "name": f"Cabinet {tag}"})
    doctor = post(fhir, {"resourceType": "Practitioner", "name": [{"family": "ROUX"}]})
    role = post(
        fhir,
        {"resourceType": "PractitionerRole",
         "practitioner": {"reference": f"Practitioner/{doctor['id']}"},
         "organization": {"reference": f"Organization/{organization['id']}"}},
    )  # fmt: skip
    drug = post(fhir, {"resourceType": "Medication", "code": {"text": "Doliprane 1 g"}})
    for _ in range(2):
        asked = prescription(patient, "", requester={"reference": f"PractitionerRole/{role['id']}"})
        del asked["medicationCodeableConcept"]
        post(fhir, asked | {"medicationReference": {"reference": f"Medication/{drug['id']}"}})
    found = summary(fhir, patient)
    assert found.types().count("MedicationRequest") == 2
    for type in ("Organization", "Practitioner", "PractitionerRole", "Medication"):
        assert found.types().count(type) == 1
    assert "Doliprane 1 g" in found.sections["10160-0"]["text"]["div"]


def test_record_of_somebody_else_has_no_part_in_it(fhir, tag):
    patient, other = person(fhir, tag), person(fhir, tag + "b")
    post(fhir, allergy(other, "Latex"))
    # Who has seen it is not whose it is.
    seen = condition(other, "Diabète", asserter=subject(patient))
    post(fhir, seen)
    found = summary(fhir, patient)
    assert found.texts("11450-4") == ["Aucune information sur les problèmes de santé"]
    assert other["id"] not in json.dumps(found.bundle)


def test_text_from_the_record_is_escaped(fhir, tag):
    patient = person(fhir, tag, contact=[{"name": {"text": "<b>Zoé</b>"}}])
    post(fhir, condition(patient, '<script>alert(1)</script> & "fin"'))
    found = summary(fhir, patient)
    div = found.sections["11450-4"]["text"]["div"]
    assert "<script" not in div
    assert "&lt;script&gt;" in div
    assert "&lt;b&gt;Zoé&lt;/b&gt;" in found.composition["text"]["div"]


def test_summary_is_the_same_again_but_for_identity_and_time(fhir, tag):
    patient = person(fhir, tag)
    for text in ("Latex", "Kiwi", "Arachide"):
        post(fhir, allergy(patient, text))
    first, second = summary(fhir, patient), summary(fhir, patient)
    assert first.bundle["identifier"] != second.bundle["identifier"]
    assert list(first.by_url)[1:] == list(second.by_url)[1:]
    assert first.composition["section"] == second.composition["section"]


def test_summary_as_xml(fhir, tag):
    patient = person(fhir, tag)
    response = fhir.get(
        f"/Patient/{patient['id']}/$summary", headers={"accept": "application/fhir+xml"}
    )
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/fhir+xml")
    assert '<code value="60591-5"/>' in response.text


def test_summary_by_identifier(fhir, tag):
    patient = person(fhir, tag)
    asked = {"identifier": f"urn:test:summary|{tag}"}
    found = Document(fhir.get("/Patient/$summary", params=asked).json())
    assert found.composition["subject"]["reference"].endswith(f"Patient/{patient['id']}")
    outcome_of(fhir.get("/Patient/$summary", params={"identifier": f"urn:x|{tag}"}), 404)
    outcome_of(fhir.get("/Patient/$summary"), 400)
    post(fhir, {"resourceType": "Patient", "identifier": patient["identifier"]})
    outcome_of(fhir.get("/Patient/$summary", params=asked), 422)


@pytest.mark.parametrize(
    "profile", ["Composition-uv-ips", "Composition-uv-ips|2.0.0", "Bundle-uv-ips"]
)
def test_summary_by_the_profiles_of_ips(fhir, tag, profile):
    patient = person(fhir, tag)
    url = f"http://hl7.org/fhir/uv/ips/StructureDefinition/{profile}"
    answer = fhir.get(f"/Patient/{patient['id']}/$summary", params={"profile": url})
    assert answer.status_code == 200, answer.text


def test_bad_calls_of_summary_are_refused(fhir, tag):
    patient = person(fhir, tag)
    url = f"/Patient/{patient['id']}/$summary"
    outcome_of(fhir.get(url, params={"profile": "http://example.org/other"}), 400)
    outcome_of(fhir.get(url, params={"date": "2026"}), 400)
    outcome_of(fhir.get(f"/Patient/no-{tag[:20]}/$summary"), 404)
    outcome_of(fhir.get(f"/Observation/{tag[:20]}/$summary"), 404)


def test_summary_as_a_page(fhir, tag):
    patient = person(fhir, tag)
    post(fhir, allergy(patient, "Latex & <b>kiwi</b>"))
    response = fhir.get(
        f"/Patient/{patient['id']}/$summary",
        headers={"accept": "text/html", "accept-language": "fr"},
    )
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    tree = html.fromstring(response.content)
    assert tree.xpath("//h1/text()") == ["Synthèse médicale internationale du patient"]
    (cell,) = tree.xpath('//section[h2="Allergies et intolérances"]//tbody//td[1]')
    assert cell.text_content() == "Latex & <b>kiwi</b>"
    heads = tree.xpath('//section[h2="Allergies et intolérances"]//th')
    assert heads
    assert not tree.xpath("//script")


def test_pregnancies_habits_and_directives_have_their_sections(fhir, tag):
    patient = person(fhir, tag)
    pregnant = measure(patient, "82810-3", 1, "1", "2026-05-01", category="exam")
    post(fhir, pregnant)
    post(fhir, measure(patient, "72166-2", 0, "1", "2026-05-01", category="social-history"))
    category = [coded(f"{TERMINOLOGY}/consentcategorycodes", "acd")]
    directive = {
        "resourceType": "Consent",
        "status": "active",
        "scope": coded(f"{TERMINOLOGY}/consentscope", "adr"),
        "category": category,
        "patient": subject(patient),
        "dateTime": "2026-01-01",
        "policyRule": {"text": "directives anticipées"},
    }
    made = post(fhir, directive)
    post(fhir, directive | {"status": "inactive"})
    found = summary(fhir, patient)
    assert found.texts("10162-6") == ["mesure 82810-3"]
    assert found.texts("29762-2") == ["mesure 72166-2"]
    assert found.entries("42348-3") == [made]
