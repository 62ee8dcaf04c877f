"""Real patients in, over HTTP: Synthea's transactions load whole, and searches find what the files
hold."""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections import Counter, defaultdict
from datetime import datetime
from decimal import Decimal

import httpx
import pytest

SYNTHEA = "synthea-r4/bundles.jsonl.gz"
PATIENTS = 12
PATIENTS_ON_MONGODB = 2


class Files:
    """The resources as the files hold them, by type, and what a count over them gives."""

    def __init__(self, bundles):
        self.bundles = bundles
        self.by_type = defaultdict(list)
        self.owner = {}
        for bundle in bundles:
            for entry in bundle["entry"]:
                resource = entry["resource"]
                self.by_type[resource["resourceType"]].append((entry["fullUrl"], resource))

    def count(self, type_, test):
        return sum(1 for _, resource in self.by_type[type_] if test(resource))


def codes(concept):
    return {(c.get("system"), c.get("code")) for c in concept.get("coding", ())}


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@pytest.fixture(scope="module")
def loaded(request, fresh_server, shared_data):
    """A server of its own holding some of the patients, and the files they came from."""
    running = fresh_server
    number = PATIENTS if running.engine == "sqlite" else PATIENTS_ON_MONGODB
    if os.environ.get("FHIRSERVER_TEST_ALL_PATIENTS") and running.engine == "sqlite":
        number = 100
    with gzip.open(shared_data / SYNTHEA) as lines:
        raw = list(itertools.islice(lines, 100))
    if running.engine == "mongodb":  # the shortest: the wire server of the tests is slow
        raw.sort(key=len)
    raw = raw[:number]
    bundles = [json.loads(line, parse_float=Decimal) for line in raw]
    with httpx.Client(base_url=running.base_url, timeout=120) as client:
        if running.engine == "mongodb" and not _transactions(client):
            bundles, raw = _as_puts(bundles)
        for line in raw:
            answer = client.post(
                "", content=line, headers={"content-type": "application/fhir+json"}
            )
            assert answer.status_code == 200, answer.text[:2000]
            entries = answer.json()["entry"]
            assert {e["response"]["status"][:3] for e in entries} <= {"200", "201"}
        yield client, Files(bundles)


def _transactions(client):
    statement = client.get("/metadata").json()
    return any(i["code"] == "transaction" for i in statement["rest"][0]["interaction"])


def _as_puts(bundles):
    """The same as batches of PUT with the files' own ids: for an engine without transactions."""
    changed = []
    for bundle in bundles:
        text = json.dumps(bundle, default=lambda d: float(d))
        for entry in bundle["entry"]:
            resource = entry["resource"]
            text = text.replace(
                f'"reference": "{entry["fullUrl"]}"',
                f'"reference": "{resource["resourceType"]}/{resource["id"]}"',
            )
        bundle = json.loads(text, parse_float=Decimal)
        bundle["type"] = "batch"
        for entry in bundle["entry"]:
            resource = entry["resource"]
            entry["request"] = {
                "method": "PUT",
                "url": f"{resource['resourceType']}/{resource['id']}",
            }
            del entry["fullUrl"]
            entry["fullUrl"] = f"urn:uuid:{resource['id']}"
        changed.append(bundle)
    return changed, [json.dumps(b, default=lambda d: float(d)).encode() for b in changed]


def total(client, path):
    answer = client.get(path, params=None)
    assert answer.status_code == 200, answer.text[:1000]
    return answer.json()["total"]


def walk(client, path):
    """Every entry of every page."""
    url, entries = path, []
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text[:1000]
        page = answer.json()
        entries += page.get("entry", [])
        url = next((k["url"] for k in page.get("link", []) if k["relation"] == "next"), None)
    return entries


def test_every_entry_of_every_patient_is_stored(loaded):
    client, files = loaded
    for type_, resources in files.by_type.items():
        assert total(client, f"/{type_}?_summary=count") == len(resources), type_


SEARCHES = [
    ("Patient?gender=female", "Patient", lambda r: r.get("gender") == "female"),
    ("Patient?birthdate=ge1980", "Patient", lambda r: r["birthDate"] >= "1980"),
    ("Patient?birthdate=lt1950-06", "Patient", lambda r: r["birthDate"] < "1950-06"),
    (
        "Patient?deceased=true",
        "Patient",
        lambda r: "deceasedDateTime" in r or r.get("deceasedBoolean"),
    ),
    (
        "Patient?family=s",
        "Patient",
        lambda r: any(n["family"].lower().startswith("s") for n in r["name"]),
    ),
    (
        "Patient?address-city:contains=bo",
        "Patient",
        lambda r: any("bo" in a.get("city", "").lower() for a in r["address"]),
    ),
    (
        "Observation?code=http://loinc.org|8302-2",
        "Observation",
        lambda r: ("http://loinc.org", "8302-2") in codes(r["code"]),
    ),
    (
        "Observation?code=8302-2,29463-7",
        "Observation",
        lambda r: bool({c for _, c in codes(r["code"])} & {"8302-2", "29463-7"}),
    ),
    (
        "Observation?code:not=http://loinc.org|8302-2",
        "Observation",
        lambda r: ("http://loinc.org", "8302-2") not in codes(r["code"]),
    ),
    (
        "Observation?category=vital-signs&date=ge2015-01-01",
        "Observation",
        lambda r: (
            any(c == "vital-signs" for k in r["category"] for _, c in codes(k))
            and moment(r["effectiveDateTime"]) >= moment("2015-01-01T00:00:00Z")
        ),
    ),
    (
        "Observation?value-quantity=gt100||cm",
        "Observation",
        lambda r: (
            r.get("valueQuantity", {}).get("unit") == "cm" and r["valueQuantity"]["value"] > 100
        ),
    ),
    (
        "Observation?value-quantity=170||cm",
        "Observation",
        lambda r: (
            r.get("valueQuantity", {}).get("unit") == "cm"
            and Decimal("169.5") <= r["valueQuantity"]["value"] < Decimal("170.5")
        ),
    ),
    (
        "Observation?component-code-value-quantity=8480-6$gt130",
        "Observation",
        lambda r: any(
            any(c == "8480-6" for _, c in codes(p["code"])) and p["valueQuantity"]["value"] > 130
            for p in r.get("component", ())
        ),
    ),
    (
        "Observation?value-concept:missing=false",
        "Observation",
        lambda r: "valueCodeableConcept" in r,
    ),
    ("Observation?component-code:missing=true", "Observation", lambda r: "component" not in r),
    (
        "Encounter?class=EMER,AMB&status=finished",
        "Encounter",
        lambda r: r["class"]["code"] in ("EMER", "AMB") and r["status"] == "finished",
    ),
    (
        "Encounter?date=sa2018-01-01",
        "Encounter",
        lambda r: moment(r["period"]["start"]) >= moment("2018-01-02T00:00:00Z"),
    ),
    (
        "Condition?code:text=hypertension",
        "Condition",
        lambda r: any(
            t.lower().startswith("hypertension")
            for t in [
                r["code"].get("text", ""),
                *(c.get("display", "") for c in r["code"]["coding"]),
            ]
        ),
    ),
    (
        "Immunization?vaccine-code=http://hl7.org/fhir/sid/cvx|140",
        "Immunization",
        lambda r: ("http://hl7.org/fhir/sid/cvx", "140") in codes(r["vaccineCode"]),
    ),
    (
        "MedicationRequest?status=active&intent=order",
        "MedicationRequest",
        lambda r: r["status"] == "active" and r["intent"] == "order",
    ),
]


@pytest.mark.parametrize(("path", "type_", "test"), SEARCHES, ids=[s[0] for s in SEARCHES])
def test_search_counts_what_the_files_hold(loaded, path, type_, test):
    client, files = loaded
    expected = files.count(type_, test)
    assert total(client, f"/{path}&_summary=count") == expected
    found = walk(client, f"/{path}&_count=50")
    assert len({e["fullUrl"] for e in found}) == len(found) == expected


def test_chained_and_reverse_chained_searches_follow_the_files_references(loaded):
    client, files = loaded
    women = {url for url, r in files.by_type["Patient"] if r["gender"] == "female"}
    women |= {f"Patient/{r['id']}" for url, r in files.by_type["Patient"] if url in women}
    expected = files.count("Condition", lambda r: r["subject"]["reference"] in women)
    assert total(client, "/Condition?subject:Patient.gender=female&_summary=count") == expected
    assert total(client, "/Condition?patient.gender=female&_summary=count") == expected

    code, _ = Counter(
        c for _, r in files.by_type["Condition"] for _, c in codes(r["code"])
    ).most_common(1)[0]
    with_condition = {
        r["subject"]["reference"]
        for _, r in files.by_type["Condition"]
        if code in {c for _, c in codes(r["code"])}
    }
    path = f"/Patient?_has:Condition:patient:code={code}&_summary=count"
    assert total(client, path) == len(with_condition)


def test_everything_is_the_patients_whole_compartment_paged(loaded):
    client, files = loaded
    for entry in walk(client, "/Patient?_count=5")[:4]:
        patient = entry["resource"]
        mrn = next(i["value"] for i in patient["identifier"] if "type" not in i)
        bundle = next(
            b
            for b in files.bundles
            if any(
                i.get("value") == mrn
                for e in b["entry"]
                if e["resource"]["resourceType"] == "Patient"
                for i in e["resource"]["identifier"]
            )
        )
        found = walk(client, f"/Patient/{patient['id']}/$everything?_count=100")
        urls = [e["fullUrl"] for e in found]
        assert len(urls) == len(set(urls))
        expected = Counter(e["resource"]["resourceType"] for e in bundle["entry"])
        assert Counter(e["resource"]["resourceType"] for e in found) == expected
