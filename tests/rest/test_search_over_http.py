"""search over HTTP: GET and POST, links, paging, strictness, compartments.

https://hl7.org/fhir/R4/http.html#search; the meaning of each parameter type is tested with the
engines.
"""

from urllib.parse import parse_qsl, urlsplit

import pytest
from over_http import FHIR_JSON, outcome_of

FORM = {"content-type": "application/x-www-form-urlencoded"}


def link(bundle, relation):
    return next((e["url"] for e in bundle["link"] if e["relation"] == relation), None)


def ids(bundle, mode="match"):
    entries = bundle.get("entry", [])
    return [e["resource"]["id"] for e in entries if e["search"]["mode"] == mode]


@pytest.fixture
def patients(fhir, tag):
    """Five Patients that one identifier system keeps apart."""
    made = []
    for number in range(5):
        body = {
            "resourceType": "Patient",
            "identifier": [{"system": f"urn:{tag}", "value": str(number)}],
            "name": [{"family": f"Durand {number}", "given": ["Zoé|x"]}],
            "gender": "female" if number % 2 else "male",
        }
        made.append(fhir.post("/Patient", json=body, headers=FHIR_JSON).json())
    return made


def test_search_gives_a_searchset(fhir, server, patients, tag):
    bundle = fhir.get("/Patient", params={"identifier": f"urn:{tag}|"}).json()
    assert bundle["type"] == "searchset"
    assert ids(bundle) == [p["id"] for p in patients]
    for entry in bundle["entry"]:
        assert entry["fullUrl"] == f"{server.base_url}/Patient/{entry['resource']['id']}"
        assert entry["search"] == {"mode": "match"}


def test_repeated_parameter_means_and(fhir, patients, tag):
    query = f"identifier=urn:{tag}%7C&gender=male&gender=female"
    assert ids(fhir.get(f"/Patient?{query}").json()) == []
    assert ids(fhir.post("/Patient/_search", content=query, headers=FORM).json()) == []
    either = f"identifier=urn:{tag}%7C&gender=male,female"
    assert len(ids(fhir.get(f"/Patient?{either}").json())) == 5


def test_post_search_is_the_same_search(fhir, patients, tag):
    body = f"identifier=urn%3A{tag}%7C&gender=male"
    posted = fhir.post("/Patient/_search?_count=2", content=body, headers=FORM).json()
    assert len(ids(posted)) == 2
    got = fhir.get(link(posted, "self")).json()
    assert ids(got) == ids(posted)
    assert len(ids(fhir.get(link(posted, "next")).json())) == 1


def test_post_search_without_body_takes_the_query(fhir, patients, tag):
    response = fhir.post(f"/Patient/_search?identifier=urn:{tag}%7C0")
    assert ids(response.json()) == [patients[0]["id"]]


@pytest.mark.parametrize("type", ["application/json", "application/fhir+json", "text/plain"])
def test_post_search_of_another_content_type_is_unsupported(fhir, type):
    response = fhir.post("/Patient/_search", content=b"name=x", headers={"content-type": type})
    outcome_of(response, 415)


def test_system_search_and_its_post_form(fhir, patients, tag):
    query = {"_type": "Patient,Observation", "_id": patients[0]["id"]}
    assert ids(fhir.get("", params=query).json()) == [patients[0]["id"]]
    assert ids(fhir.post("/_search", data=query).json()) == [patients[0]["id"]]


def test_self_link_is_encoded_and_holds_what_was_applied(fhir, patients, tag):
    params = {"identifier": f"urn:{tag}|1", "name": "Dur", "unheardof": "1", "_format": "json"}
    url = link(fhir.get("/Patient", params=params).json(), "self")
    assert "|" not in url
    assert "%7C" in url
    kept = dict(parse_qsl(urlsplit(url).query))
    assert kept["identifier"] == f"urn:{tag}|1"
    assert "unheardof" not in kept


def test_unknown_parameter_is_told_or_refused(fhir):
    bundle = fhir.get("/Patient?unheardof=1&_count=1").json()
    outcome = bundle["entry"][-1]
    assert outcome["search"]["mode"] == "outcome"
    assert outcome["resource"]["resourceType"] == "OperationOutcome"
    assert outcome["resource"]["issue"][0]["severity"] == "warning"
    assert "unheardof" in outcome["resource"]["issue"][0]["diagnostics"]
    strict = {"prefer": "handling=strict"}
    outcome_of(fhir.get("/Patient?unheardof=1", headers=strict), 400)
    outcome_of(fhir.get("/Patient?NAME=x", headers=strict), 400)


def test_unknown_modifier_is_always_refused(fhir):
    outcome_of(fhir.get("/Patient?name:exakt=x", headers={"prefer": "handling=lenient"}), 400)


def test_next_links_meet_each_match_once_while_others_write(fhir, patients, tag):
    params = {"identifier": f"urn:{tag}|", "_count": 2, "_sort": "gender", "_total": "accurate"}
    bundle, seen = fhir.get("/Patient", params=params).json(), []
    assert bundle["total"] == 5
    while True:
        seen += ids(bundle)
        late = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": tag}]}
        fhir.post("/Patient", json=late, headers=FHIR_JSON)
        if link(bundle, "next") is None:
            break
        bundle = fhir.get(link(bundle, "next")).json()
        assert bundle["total"] == 5
    assert sorted(seen) == sorted(p["id"] for p in patients)


def test_includes_are_marked_and_kept_on_the_next_page(fhir, patients, tag):
    for patient in patients[:3]:
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "identifier": [{"system": f"urn:{tag}", "value": patient["id"]}],
            "code": {"text": "x"},
            "subject": {"reference": f"Patient/{patient['id']}"},
        }
        created = fhir.post("/Observation", json=observation, headers=FHIR_JSON)
        assert created.status_code == 201
    params = {"identifier": f"urn:{tag}|", "_include": "Observation:subject", "_count": 2}
    first = fhir.get("/Observation", params={**params, "_total": "accurate"}).json()
    assert first["total"] == 3
    assert ids(first, "include") == [patients[0]["id"], patients[1]["id"]]
    second = fhir.get(link(first, "next")).json()
    assert ids(second, "include") == [patients[2]["id"]]


def test_absolute_reference_to_this_server_is_local(fhir, server, patients, tag):
    local = f"Patient/{patients[0]['id']}"
    absolute = f"{server.base_url}/{local}"
    codes = []
    for number, reference in enumerate((local, absolute)):
        codes.append(f"{tag}-{number}")
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"code": codes[-1]}]},
            "subject": {"reference": reference},
        }
        stored = fhir.post("/Observation", json=observation, headers=FHIR_JSON).json()
        assert stored["subject"]["reference"] == reference
    for query in (
        f"subject={local}",
        f"subject={absolute}",
        "subject:Patient.active:missing=true",
    ):
        found = fhir.get(f"/Observation?code={','.join(codes)}&{query}").json()
        assert len(found["entry"]) == 2, query
    inside = fhir.get(f"/{local}/Observation?code={','.join(codes)}").json()
    assert len(inside["entry"]) == 2


def test_compartment_search(fhir, patients, tag):
    patient = patients[0]["id"]
    for status in ("final", "amended"):
        observation = {
            "resourceType": "Observation",
            "status": status,
            "code": {"text": "x"},
            "subject": {"reference": f"Patient/{patient}"},
        }
        fhir.post("/Observation", json=observation, headers=FHIR_JSON)
    path = f"/Patient/{patient}/Observation"
    assert len(ids(fhir.get(path).json())) == 2
    narrowed = fhir.get(path, params={"status": "final"}).json()
    assert len(ids(narrowed)) == 1
    assert link(narrowed, "self").endswith(f"{path}?status=final")
    posted = fhir.post(f"{path}/_search", data={"status": "final"}).json()
    assert ids(posted) == ids(narrowed)
    everything = fhir.get(f"/Patient/{patient}/*").json()
    types = {e["resource"]["resourceType"] for e in everything["entry"]}
    assert "Observation" in types
    assert ids(fhir.get(f"/Patient/{patients[1]['id']}/Observation").json()) == []


def test_count_zero_is_the_total_alone(fhir, patients, tag):
    for extra in ("_count=0", "_summary=count"):
        bundle = fhir.get(f"/Patient?identifier=urn:{tag}%7C&{extra}").json()
        assert bundle["total"] == 5
        assert "entry" not in bundle


def test_everything_pages_over_the_whole_compartment(fhir, patients):
    patient = patients[0]["id"]
    expected = {patient}
    for _ in range(5):
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": f"Patient/{patient}"},
        }
        expected.add(fhir.post("/Observation", json=observation, headers=FHIR_JSON).json()["id"])
    url, seen = f"/Patient/{patient}/$everything?_count=2", []
    while url:
        bundle = fhir.get(url).json()
        seen += [e["resource"]["id"] for e in bundle.get("entry", [])]
        url = link(bundle, "next")
    assert sorted(seen) == sorted(expected)
