"""What a search means, case by case: a few resources, a request, the ids it finds.

https://hl7.org/fhir/R4/search.html; the cases are those other servers got wrong.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from over_http import FHIR_JSON

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
GENDER = "http://hl7.org/fhir/administrative-gender"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
STATUS = "http://hl7.org/fhir/observation-status"


def _coding(code):
    return {"coding": [{"system": LOINC, "code": code}]}


def _observation(id, **more):
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": "x"},
        **more,
    }


RESOURCES = (
    {
        "resourceType": "Patient",
        "id": "p1",
        "gender": "male",
        "birthDate": "1980-05",
        "name": [{"family": "Évreux", "given": ["Steve"]}],
        "identifier": [
            {"system": "s", "value": "v", "type": {"coding": [{"system": V2, "code": "MR"}]}},
            {"value": "w|x,y$z\\q"},
        ],
    },
    {
        "resourceType": "Patient",
        "id": "p2",
        "name": [{"family": "Evert"}],
        "generalPractitioner": [{"reference": "Practitioner/d1"}],
        "managingOrganization": {"reference": "Organization/o1"},
        "link": [{"other": {"reference": "Patient/p1"}, "type": "seealso"}],
    },
    {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Doc"}]},
    {
        "resourceType": "Organization",
        "id": "o1",
        "name": "Org One",
        "partOf": {"reference": "Organization/o2"},
    },
    {
        "resourceType": "Organization",
        "id": "o2",
        "name": "Org Two",
        "partOf": {"reference": "Organization/o1"},
    },
    _observation(
        "a",
        subject={"reference": "Patient/p1"},
        effectiveDateTime="2020-01-01T10:00:00Z",
        valueQuantity={"value": 100, "unit": "mg", "system": UCUM, "code": "mg"},
    ),
    _observation(
        "b",
        status="amended",
        subject={"reference": "Patient/p2"},
        effectiveDateTime="2020",
        valueQuantity={"value": 60.2, "unit": "mg"},
    ),
    _observation(
        "c",
        subject={"reference": "Patient/p2/_history/1"},
        effectiveDateTime="2020-05-05T23:30:00-05:00",
        valueQuantity={"value": 99.5},
    ),
    _observation(
        "d",
        component=[
            {"code": _coding("8480-6"), "valueQuantity": {"value": 140}},
            {"code": _coding("8462-4"), "valueQuantity": {"value": 160}},
        ],
    ),
    {
        "resourceType": "List",
        "id": "l1",
        "status": "current",
        "mode": "working",
        "entry": [{"item": {"reference": "Patient/p1"}}],
    },
    {"resourceType": "Location", "id": "loc", "position": {"latitude": 43.6, "longitude": 1.44}},
    {
        "resourceType": "ValueSet",
        "id": "vs",
        "status": "active",
        "url": "http://acme.org/fhir/ValueSet/123/_history/5",
    },
)

#: request -> ids found, matches before what is included; or the status that refuses it.
FINDS = (
    ("Patient?gender:not=male", "p2"),
    ("Patient?gender:not=female", "p1 p2"),
    ("Patient?identifier=s|", "p1"),
    ("Patient?identifier=|v", ""),
    ("Patient?identifier=v", "p1"),
    ("Patient?identifier=s|v", "p1"),
    ("Patient?identifier=w%5C|x%5C,y%5C$z%5C%5Cq", "p1"),
    ("Patient?identifier=w%5C", ""),
    ("Patient?name=%5C", ""),
    (f"Patient?identifier:of-type={V2}|MR|v", "p1"),
    ("Patient?identifier:of-type=MR|v", 400),
    ("Patient?name=eve", "p2"),
    ("Patient?name=EVR", "p1"),
    ("Patient?family:exact=Evreux", ""),
    ("Patient?family:exact=Évreux", "p1"),
    ("Patient?name:contains=eve", "p1 p2"),
    ("Patient?name=a,,eve", "p2"),
    ("Observation?date=gt2020-01-01", "b c"),
    ("Observation?date=ge2020-01-01", "a b c"),
    ("Observation?date=2020-01-01", "a"),
    ("Observation?date=sa2020-01-01", "c"),
    ("Observation?date=gt2020-06-01", "b"),
    ("Observation?date=sa2020-06-01", ""),
    ("Observation?date=2020-06", ""),
    ("Observation?date=2020-05-06T04:30Z", "c"),
    ("Observation?date=2020-05-06T06:30:00+02:00", "c"),
    ("Observation?date=2024-02-30", 400),
    ("Observation?value-quantity=100", "a c"),
    ("Observation?value-quantity=100.00", "a"),
    ("Observation?value-quantity=1e2", "a c"),
    ("Observation?value-quantity=gt60&value-quantity=lt61", "b"),
    ("Observation?value-quantity=60.2||mg", "b"),
    (f"Observation?value-quantity=100|{UCUM}|mg", "a"),
    ("Observation?value-quantity=100|mg", 400),
    ("Observation?component-code-value-quantity=8480-6$gt150", ""),
    ("Observation?component-code-value-quantity=8480-6$gt150,8462-4$gt150", "d"),
    ("Observation?component-code-value-quantity=8480-6", 400),
    ("Observation?component-code-value-quantity:missing=true", 400),
    ("Observation?subject:Patient.birthdate=gt1979-01-01", "a"),
    ("Observation?subject.name=eve&_sort=-date", "b c"),
    ("Observation?subject=Patient/p2", "b c"),
    ("Observation?subject=Patient/p2/_history/1", "c"),
    ("Observation?subject:Practitioner=p2", 400),
    ("Observation?patient:missing=true", "d"),
    ("Patient?_has:Observation:subject:_id=a", "p1"),
    (
        "Patient?_has:Observation:subject:date=2020&_has:Observation:subject:value-quantity=99.5",
        "p2",
    ),
    ("Practitioner?_has:Patient:general-practitioner:_has:Observation:subject:_id=b,c", "d1"),
    ("Patient?organization.partof.name=Org Two", "p2"),
    ("Observation?_include=Observation:subject&_id=c", "c p2"),
    ("Observation?_include=Observation:nope", 400),
    (
        "Observation?_include:iterate=Organization:partof&_include:iterate=Patient:organization"
        "&_include=Observation:subject&_id=b",
        "b p2 o1 o2",
    ),
    ("Patient?_revinclude=*&_id=p1", "p1 l1 a p2"),
    ("Patient?_include=Patient:*&_summary=text", 400),
    ("Patient?_sort=nope", 400),
    ("Patient?_count=-1", 400),
    ("Patient?_count=abc", 400),
    ("Patient?_count=1.5", 400),
    ("Patient?_count=100000000", "p1 p2"),
    ("Patient?_list=l1", "p1"),
    ("Patient?_list=$current-problems", 400),
    # and, or: from left to right.
    ('Patient?_filter=name co "eve" or gender eq male and birthdate gt 2000', ""),
    ('Patient?_filter=name co "eve" or (gender eq male and birthdate gt 2000)', "p1 p2"),
    ("Patient?_filter=not(gender eq male)", "p2"),
    ("Patient?_filter=nope eq 1", 400),
    ('Observation?_filter=subject.name sw "eve"', "b c"),
    ("Patient?_content=evert", "p2"),
    ("Location?near=43.6|1.44|1|km", "loc"),
    ("Location?near=48|2|10|km", ""),
    ("Location?near=43.6", 400),
    ("ValueSet?url:below=http://acme.org/fhir/", "vs"),
    ("ValueSet?url:below=http://acme.org/fh", ""),
    ("ValueSet?url:above=http://acme.org/fhir/ValueSet/123/_history/5/6", "vs"),
    (f"Patient?gender:in={GENDERS}", "p1"),
    (f"Patient?gender:in={GENDERS}|4.0.1", "p1"),
    (f"Patient?gender:not-in={GENDERS}", "p2"),
    (f"Patient?gender:in={GENDERS}|5.0.0", 400),
    ("Patient?gender:in=http://example.org/unknown", 400),
    ("Observation?code:in=http://hl7.org/fhir/ValueSet/observation-codes", 400),
    ("Task?intent:in=http://hl7.org/fhir/ValueSet/request-intent", 400),
    (f"Patient?gender:below={GENDER}|male", "p1"),
    (f"Patient?gender:below={GENDER}|nope", 400),
    (f"Observation?status:below={STATUS}|amended", "b"),
    (f"Observation?status:above={STATUS}|corrected", "b"),
    ("Observation?code:below=http://snomed.info/sct|404684003", 400),
    ("?_type=Patient,Practitioner&name=eve,doc", "p2 d1"),
    ("?_type=Nope", 400),
    ("Patient?_type=Observation", 400),
    ("Patient?Name=x", 400),
    ("Patient?name:nope=1", 400),
    ("Patient?birthdate:exact=1980", 400),
    ("Patient?_sort:desc=name", 400),
    ("Patient?_query=x", 400),
)


@pytest.fixture
async def fhir(in_process):
    client = await in_process()
    for resource in RESOURCES:
        path = f"/{resource['resourceType']}/{resource['id']}"
        answer = await client.put(path, json=resource, headers=FHIR_JSON)
        assert answer.is_success, answer.text
    return client


def _found(bundle):
    entries = bundle.get("entry", ())
    return [e["resource"]["id"] for e in entries if e["search"]["mode"] != "outcome"]


async def test_each_search_finds_what_it_says(fhir):
    wrong = []
    for request, expected in FINDS:
        url = request if request.startswith("?") else f"/{request}"
        answer = await fhir.get(url, headers={"prefer": "handling=strict"})
        found = answer.status_code
        if found == 200:
            found = " ".join(_found(answer.json()))
            if "_sort" not in request and "nclude" not in request:
                found = " ".join(sorted(found.split()))
                expected = " ".join(sorted(str(expected).split()))
        if found != expected:
            wrong.append((request, found, expected))
    assert wrong == []


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("_sort=nope", "nope"),
        ("_sort=family,nope", "nope"),
        ("unheardof=1", "unheardof"),
        ("_count=", "value"),
        ("_has:Observation:subject:nope=1", "nope"),
    ],
)
async def test_lenient_handling_tells_what_was_ignored_and_why(fhir, request_, said):
    bundle = (await fhir.get(f"/Patient?{request_}")).json()
    assert _found(bundle) == ["p1", "p2"]
    (issue,) = bundle["entry"][-1]["resource"]["issue"]
    assert (issue["severity"], issue["code"]) == ("warning", "not-supported")
    assert said in issue["diagnostics"]
    assert "?" not in bundle["link"][0]["url"]


@pytest.mark.parametrize("refused", ["_filter=nope eq 1", "name:nope=1", "_count=-1", "_total=x"])
async def test_lenient_handling_never_drops_what_would_change_the_meaning(fhir, refused):
    assert (await fhir.get(f"/Patient?{refused}")).status_code == 400


async def test_pages_of_an_approximate_date_go_on(fhir):
    bundle = (await fhir.get("/Observation?date=ap2020-03&_count=1")).json()
    seen = _found(bundle)
    while following := [e["url"] for e in bundle["link"] if e["relation"] == "next"]:
        query = parse_qsl(urlsplit(following[0]).query)
        answer = await fhir.get("/Observation", params=query)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        seen += _found(bundle)
    assert seen == ["a", "b", "c"]
