"""The medical profile and its summary when callers are known."""

from __future__ import annotations

import asyncio
import os
import uuid

import pytest
from access_door import MASK, binary, consent, document, patient
from over_http import database_in, outcome_of
from token_door import BASE, close_door, open_door

LOINC = "http://loinc.org"
ROLE_CLASS = "https://mos.esante.gouv.fr/NOS/TRE_R260-HL7RoleClass/FHIR/TRE-R260-HL7RoleClass"
WEIGHT = "https://interop.esante.gouv.fr/ig/fhir/mesures/StructureDefinition/mesures-fr-observation-body-weight"


@pytest.fixture(params=["sqlite", "mongodb"])
async def door(request, tmp_path):
    if request.param == "sqlite":
        database = f"sqlite:///{tmp_path}/profile.db"
    elif url := os.environ.get("FHIRSERVER_TEST_MONGODB"):
        database = database_in(url, f"profile_{uuid.uuid4().hex[:12]}")
    else:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    made, lifespan = await open_door(database)
    await made.put(
        patient("a", birthDate="1961-05-09"),
        patient("b"),
        patient("kid", birthDate="2020-01-01"),
        {"resourceType": "Practitioner", "id": "x"},
        {"resourceType": "Practitioner", "id": "y"},
        consent("c", "a", actor="Practitioner/x"),
        allergy("latex", "a"),
        allergy("masked", "a", meta={"security": [{"system": MASK, "code": "MASQUE_PS"}]}),
        allergy("of-b", "b"),
    )
    await made.give("A", "citizen", fhir_user="Patient/a", patient="a")
    await made.give("kid", "citizen", fhir_user="Patient/kid", patient="kid")
    await made.give(
        "measures", "citizen", "patient/Observation.rs patient/Patient.rs",
        fhir_user="Patient/a", patient="a",
    )  # fmt: skip
    for name in ("x", "y"):
        who = {"fhir_user": f"Practitioner/{name}", "profession": "10"}
        await made.give(name, "professional", **who)
    await made.give("h", "system", "system/*.cruds", organization="Organization/h")
    yield made
    await close_door(made, lifespan)


ACTIVE = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"


def allergy(id, whose, **more):
    return {
        "resourceType": "AllergyIntolerance",
        "id": id,
        "clinicalStatus": {"coding": [{"system": ACTIVE, "code": "active"}]},
        "code": {"text": id},
        "patient": {"reference": f"Patient/{whose}"},
        **more,
    }


def weight(value=71, unit="kg", whose="a", **more):
    quantity = {"value": value, "unit": unit, "code": unit, "system": "http://unitsofmeasure.org"}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "29463-7"}]},
        "subject": {"reference": f"Patient/{whose}"},
        "effectiveDateTime": "2026-01-02",
        "valueQuantity": quantity,
        **more,
    }


async def allergies(door, name):
    answer = await door.get(name, "Patient/a/$summary")
    assert answer.status_code == 200, answer.text
    return [
        e["resource"]["code"]["text"]
        for e in answer.json()["entry"]
        if e["resource"]["resourceType"] == "AllergyIntolerance"
    ]


async def test_summary_holds_what_its_reader_may_see(door):
    assert sorted(await allergies(door, "A")) == ["latex", "masked"]
    assert await allergies(door, "x") == ["latex"]
    assert await allergies(door, "measures") == ["Aucune information sur les allergies"]
    for name in ("y", "h"):
        outcome_of(await door.get(name, "Patient/a/$summary"), 404)
    outcome_of(await door.get("A", "Patient/b/$summary"), 404)


async def test_section_out_of_reach_says_so(door):
    composition = (await door.get("measures", "Patient/a/$summary")).json()["entry"][0]["resource"]
    (section,) = [s for s in composition["section"] if s["title"].startswith("Allergies")]
    assert "hors de portée" in section["text"]["div"]


async def test_summary_is_audited_as_a_read_of_all_of_it(door):
    await door.get("x", "Patient/a/$summary")
    (event,) = [e for e in await door.events() if e["subtype"][0]["code"] == "operation"]
    named = str(event["entity"])
    assert "Patient/a" in named
    assert "AllergyIntolerance/latex" in named
    assert "masked" not in named


async def test_docref_finds_what_its_reader_may_see(door):
    await door.put(
        document("d", "a"), document("hidden", "a", type="34112-3", labels=("MASQUE_PS",))
    )
    url = "DocumentReference/$docref?patient=a"
    assert len((await door.get("A", url)).json()["entry"]) == 3
    found = (await door.get("x", url)).json()["entry"]
    assert [e["resource"].get("id") for e in found] == [None, "d"]
    assert (await door.get("y", url)).json()["total"] == 0
    assert (await door.get("A", "DocumentReference/$docref?patient=b")).json()["total"] == 0
    outcome_of(await door.get("measures", url), 403)


async def test_document_leaves_out_and_reports_what_is_hidden(door):
    composition = {
        "resourceType": "Composition",
        "id": "doc",
        "status": "final",
        "type": {"coding": [{"system": LOINC, "code": "11488-4"}]},
        "subject": {"reference": "Patient/a"},
        "date": "2026-11-24",
        "author": [{"reference": "Practitioner/x"}],
        "title": "Compte rendu",
        "section": [
            {"entry": [{"reference": f"AllergyIntolerance/{id}"} for id in ("latex", "masked")]}
        ],
    }
    await door.put(composition)
    entries = (await door.get("x", "Composition/doc/$document")).json()["entry"]
    assert [e["fullUrl"] for e in entries[1:]] == [
        f"{BASE}/{name}" for name in ("AllergyIntolerance/latex", "Patient/a", "Practitioner/x")
    ]
    assert [e["valueUri"] for e in entries[0]["extension"]] == ["AllergyIntolerance/masked"]
    mine = (await door.get("A", "Composition/doc/$document")).json()["entry"]
    assert "extension" not in mine[0]
    outcome_of(await door.get("y", "Composition/doc/$document"), 404)
    # Stored, what one made is hidden from the other with what it holds.
    kept = {}
    for name in ("x", "A"):
        answer = await door.ask(name, "POST", "Composition/doc/$document?persist=true")
        assert answer.status_code == 200, answer.text
        kept[name] = f"Bundle/{answer.json()['id']}"
    assert await door.ids("x", "Bundle") == [kept["x"]]
    assert await door.ids("A", "Bundle") == sorted(kept.values())


async def test_everything_brings_the_contents_its_reader_may_see(door):
    await door.put(
        document("d", "a"),
        document("hidden", "a", labels=("MASQUE_PS",)),
        binary("d-b"),
        binary("hidden-b"),
    )
    url = "Patient/a/$everything?_type=Binary"
    assert await door.ids("A", url) == ["Binary/d-b", "Binary/hidden-b"]
    assert await door.ids("x", url) == ["Binary/d-b"]
    assert await door.ids("measures", url) == []


# --- what citizens write --------------------------------------------------------------------


async def test_citizens_measures_have_the_unit_of_the_measure(door):
    assert (await door.ask("A", "POST", "Observation", weight())).status_code == 201
    for bad in (weight(156, "[lb_av]"), weight(7100), weight(effectiveDateTime="2090-01-01")):
        outcome = outcome_of(await door.ask("A", "POST", "Observation", bad), 422)
        assert outcome["issue"][0]["expression"][0].startswith("Observation.")
    pounds = weight(156, "[lb_av]")
    answer = await door.ask("x", "POST", "Observation", pounds)
    assert answer.status_code == 201, answer.text
    profiled = pounds | {"meta": {"profile": [WEIGHT]}}
    outcome_of(await door.ask("x", "POST", "Observation", profiled), 422)


async def test_what_others_wrote_is_not_judged_when_it_is_labelled(door):
    stored = weight(156, "[lb_av]") | {"id": "pounds", "performer": [{"reference": "Patient/a"}]}
    await door.put(stored)
    labelled = stored | {"meta": {"security": [{"system": MASK, "code": "MASQUE_PS"}]}}
    answer = await door.ask("A", "PUT", "Observation/pounds", labelled)
    assert answer.status_code == 200, answer.text
    changed = labelled | {"effectiveDateTime": "2026-01-03"}
    outcome_of(await door.ask("A", "PUT", "Observation/pounds", changed), 422)


async def test_citizens_entries_say_what_they_are_and_can_be_true(door):
    whose = {"subject": {"reference": "Patient/a"}}
    good = {"resourceType": "Condition", "code": {"text": "Asthme"}, **whose}
    assert (await door.ask("A", "POST", "Condition", good)).status_code == 201
    for bad in ({}, {"code": {"text": "x"}, "onsetDateTime": "1950-01-01"}):
        entry = {"resourceType": "Condition", **whose, **bad}
        outcome_of(await door.ask("A", "POST", "Condition", entry), 422)
        assert (await door.ask("x", "POST", "Condition", entry)).status_code == 201


def trusted(whose="a", code="QUAL", **more):
    return {
        "resourceType": "RelatedPerson",
        "active": True,
        "patient": {"reference": f"Patient/{whose}"},
        "relationship": [{"coding": [{"system": ROLE_CLASS, "code": code}]}],
        "name": [{"text": "Paul"}],
        "telecom": [{"system": "phone", "value": "0102030405"}],
        **more,
    }


async def test_a_person_has_one_trusted_person(door):
    answers = await asyncio.gather(
        *(door.ask("A", "POST", "RelatedPerson", trusted()) for _ in range(4))
    )
    assert sorted(a.status_code for a in answers) == [201, 422, 422, 422]
    (first,) = [a.json() for a in answers if a.status_code == 201]
    outcome_of(await door.ask("A", "POST", "RelatedPerson", trusted(code="NOK")), 422)
    again = first | {"name": [{"text": "Paul D."}]}
    answer = await door.ask("A", "PUT", f"RelatedPerson/{first['id']}", again)
    assert answer.status_code == 200, answer.text
    ended = again | {"active": False}
    assert (await door.ask("A", "PUT", f"RelatedPerson/{first['id']}", ended)).status_code == 200
    answer = await door.ask("A", "POST", "RelatedPerson", trusted(code="NOK"))
    assert answer.status_code == 201, answer.text


async def test_a_trusted_person_has_a_name_and_can_be_reached(door):
    for missing in ("name", "telecom"):
        bad = {name: value for name, value in trusted().items() if name != missing}
        outcome = outcome_of(await door.ask("A", "POST", "RelatedPerson", bad), 422)
        assert outcome["issue"][0]["expression"] == [f"RelatedPerson.{missing}"]


async def test_minors_designate_nobody_and_write_no_directives(door):
    outcome_of(await door.ask("kid", "POST", "RelatedPerson", trusted("kid")), 422)
    system = "https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
    directive = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": system, "code": "EXPPAT_3"}]},
        "subject": {"reference": "Patient/kid"},
        "date": "2026-11-24T10:00:00Z",
        "author": [{"reference": "Patient/kid"}],
        "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}],
    }
    outcome = outcome_of(await door.ask("kid", "POST", "DocumentReference", directive), 422)
    assert "of age" in str(outcome)
