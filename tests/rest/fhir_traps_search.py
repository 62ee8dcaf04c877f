"""Clauses of search (https://hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

from fhir_steps import (
    HTML,
    LOINC,
    MINE,
    OUTCOME,
    Step,
    bundle,
    coded,
    entry,
    finds,
    observation,
    patient,
    put,
)
from over_http import FHIR_JSON

SEARCH: dict[str, list[Step]] = {
    "a code with codings A and B is not found by code:not=A": [
        put(observation(code=coded("A", "B"))),
        put(observation(code=coded("C")), "TAG-c"),
        put(observation(), "TAG-none"),
        finds(f"Observation?{MINE}&code:not=A&_sort=_id", "TAG-c", "TAG-none"),
        finds(f"Observation?{MINE}&code:not=A,B&_sort=_id", "TAG-c", "TAG-none"),
        finds(f"Observation?{MINE}&code:not=A,C", "TAG-none"),
    ],
    "the four forms of a token": [
        put(patient(identifier=[{"system": "urn:TAG", "value": "v"}]), "TAG"),
        put(patient(identifier=[{"value": "v-TAG"}]), "TAG-2"),
        finds("Patient?identifier=urn:TAG|", "TAG"),
        finds("Patient?identifier=|v-TAG", "TAG-2"),
        finds("Patient?identifier=v-TAG", "TAG-2"),
        finds("Patient?identifier=urn:TAG|v", "TAG"),
        finds("Patient?identifier=urn:TAG|w"),
    ],
    "escaped separators are literals, in the system too": [
        put(patient(identifier=[{"system": "urn:T,A|B$C\\TAG", "value": "v,w"}])),
        finds("Patient?identifier=urn:T\\,A\\|B\\$C\\\\TAG|v\\,w", "TAG"),
        finds("Patient?identifier=urn:T%5C%2CA%5C%7CB%5C%24C%5C%5CTAG%7Cv%5C%2Cw", "TAG"),
        Step("GET Patient?identifier=TAG\\", 200, has={"entry#": 0}),
        Step("GET Patient?name=TAG%5C", 200, has={"entry#": 0}),
        Step("GET Observation?code-value-quantity=TAG%5C", 400, has=OUTCOME),
    ],
    ":of-type needs three parts": [
        put(patient(identifier=[{"type": coded("MR"), "value": "TAG"}])),
        finds(f"Patient?identifier:of-type={LOINC}|MR|TAG", "TAG"),
        finds(f"Patient?identifier:of-type={LOINC}|SB|TAG"),
        Step("GET Patient?identifier:of-type=MR|TAG", 400, has=OUTCOME),
        Step("GET Patient?identifier:of-type=TAG", 400, has=OUTCOME),
    ],
    ":missing on every type": [
        put(observation()),
        put(
            observation(
                subject={"reference": "Patient/x"},
                valueQuantity={"value": 1},
                effectiveDateTime="2020",
                note=[{"text": "n"}],
                method=coded("m"),
            ),
            "TAG-2",
        ),
        *(
            step
            for code in ("subject", "patient", "value-quantity", "date", "method")
            for step in (
                finds(f"Observation?{MINE}&{code}:missing=true", "TAG"),
                finds(f"Observation?{MINE}&{code}:missing=false", "TAG-2"),
            )
        ),
        Step("GET Observation?code-value-quantity:missing=true", 400, has=OUTCOME),
        Step("GET Observation?subject:missing=perhaps", 400, has=OUTCOME),
    ],
    "a string is found by its start, blind to case and accents": [
        put(patient(name=[{"family": "Évrard-TAG", "given": ["Maëlle"]}])),
        finds(f"Patient?{MINE}&name=eVRARD", "TAG"),
        finds(f"Patient?{MINE}&name=rard"),
        finds(f"Patient?{MINE}&name:contains=RARD-", "TAG"),
        finds(f"Patient?{MINE}&given:exact=Maelle"),
        finds(f"Patient?{MINE}&given:exact=Maëlle", "TAG"),
    ],
    "uri:below stops at the end of a path segment": [
        Step(
            "PUT ValueSet/TAG",
            201,
            {
                "resourceType": "ValueSet",
                "id": "TAG",
                "status": "draft",
                "url": "http://TAG.example/fhir/ValueSet/1",
            },
        ),
        finds("ValueSet?url:below=http://TAG.example/fhir", "TAG"),
        finds("ValueSet?url:below=http://TAG.example/fhir/ValueSet/1", "TAG"),
        finds("ValueSet?url:below=http://TAG.example/fh"),
        finds("ValueSet?url:above=http://TAG.example/fhir/ValueSet/1/2", "TAG"),
        finds("ValueSet?url:above=http://TAG.example/fhir/ValueSet/12"),
    ],
    "a profile with a version is found without it too": [
        put(observation(meta={"profile": ["http://TAG.example/p|1.0"]})),
        finds("Observation?_profile=http://TAG.example/p", "TAG"),
        finds("Observation?_profile=http://TAG.example/p|1.0", "TAG"),
        finds("Observation?_profile=http://TAG.example/p|2.0"),
    ],
    "a stored instant against a day": [
        put(observation(effectiveDateTime="2020-01-01T10:00:00Z")),
        finds(f"Observation?{MINE}&date=gt2020-01-01"),
        finds(f"Observation?{MINE}&date=ge2020-01-01", "TAG"),
        finds(f"Observation?{MINE}&date=eq2020-01-01", "TAG"),
        finds(f"Observation?{MINE}&date=sa2020-01-01"),
        finds(f"Observation?{MINE}&date=ne2020-01-01"),
        finds(f"Observation?{MINE}&date=le2020-01-01", "TAG"),
        finds(f"Observation?{MINE}&date=lt2020-01-01"),
    ],
    "a stored year against a month": [
        put(observation(effectiveDateTime="2020")),
        finds(f"Observation?{MINE}&date=gt2020-06-01", "TAG"),
        finds(f"Observation?{MINE}&date=sa2020-06-01"),
        finds(f"Observation?{MINE}&date=eb2020-06-01"),
        finds(f"Observation?{MINE}&date=eq2020-06"),
        finds(f"Observation?{MINE}&date=ne2020-06", "TAG"),
    ],
    "offsets": [
        put(observation(effectiveDateTime="2020-01-01T23:30:00-05:00")),
        finds(f"Observation?{MINE}&date=2020-01-02T04:30Z", "TAG"),
        finds(f"Observation?{MINE}&date=2020-01-02T06:30:00%2B02:00", "TAG"),
        finds(f"Observation?{MINE}&date=2020-01-02T06:30:00+02:00", "TAG"),
        finds(f"Observation?{MINE}&date=2020-01-01T20:30:00-08:00", "TAG"),
    ],
    "the digits of a quantity are its precision": [
        put(observation(valueQuantity={"value": 99.5}), "TAG"),
        put(observation(valueQuantity={"value": 100.5}), "TAG-2"),
        put(observation(valueQuantity={"value": 60.2, "code": "mg", "system": "urn:u"}), "TAG-3"),
        put(observation(valueQuantity={"value": 5.4, "unit": "mg"}), "TAG-4"),
        finds(f"Observation?{MINE}&value-quantity=100", "TAG"),
        finds(f"Observation?{MINE}&value-quantity=100.00"),
        finds(f"Observation?{MINE}&value-quantity=gt60&value-quantity=lt61", "TAG-3"),
        finds(f"Observation?{MINE}&value-quantity=5.4||mg", "TAG-4"),
        finds(f"Observation?{MINE}&value-quantity=60.2||mg", "TAG-3"),
        finds(f"Observation?{MINE}&value-quantity=60.2|urn:u|mg", "TAG-3"),
        finds(f"Observation?{MINE}&value-quantity=60.2|urn:v|mg"),
    ],
    "decimals keep their digits": [
        Step(
            "PUT Observation/TAG",
            201,
            b'{"resourceType":"Observation","id":"TAG","status":"final","code":{"text":"x"},'
            b'"valueQuantity":{"value":1.00}}',
        ),
        Step("GET Observation/TAG", 200, has={"text": '*"value":1.00}*'}),
        Step("GET Observation?_id=TAG", 200, has={"text": '*"value":1.00}*'}),
        Step("GET Observation/TAG?_format=xml", 200, has={"text": '*value="1.00"*'}),
    ],
    "both components of a composite in one element": [
        put(
            observation(
                component=[
                    {"code": coded("8480-6"), "valueQuantity": {"value": 140}},
                    {"code": coded("8462-4"), "valueQuantity": {"value": 160}},
                ]
            )
        ),
        finds(f"Observation?{MINE}&component-code-value-quantity=8480-6$gt150"),
        finds(f"Observation?{MINE}&component-code-value-quantity=8462-4$gt150", "TAG"),
        finds(f"Observation?{MINE}&component-code-value-quantity=8480-6$gt150,8480-6$lt150", "TAG"),
        Step("GET Observation?component-code-value-quantity=8480-6", 400, has=OUTCOME),
        Step("GET Observation?component-code-value-quantity=8480-6$x", 400, has=OUTCOME),
    ],
    "a chain keeps prefix, sort and identity": [
        put(patient(birthDate="1980-01-01")),
        put(observation(subject={"reference": "Patient/TAG"}, effectiveDateTime="2020"), "TAG-1"),
        put(observation(subject={"reference": "Patient/TAG"}, effectiveDateTime="2021"), "TAG-2"),
        finds(f"Observation?{MINE}&subject:Patient.birthdate=gt1990-01-01"),
        finds(
            f"Observation?{MINE}&subject:Patient.birthdate=lt1990-01-01&_sort=-date",
            "TAG-2",
            "TAG-1",
        ),
        finds("Patient?_has:Observation:subject:_id=TAG-1&_id=TAG", "TAG"),
        finds(
            "Patient?_has:Observation:subject:date=2020&_has:Observation:subject:_id=TAG-2&_id=TAG",
            "TAG",
        ),
        finds(
            "Patient?_has:Observation:subject:date=2020&_has:Observation:subject:_id=TAG-3&_id=TAG"
        ),
    ],
    "what is included is no match": [
        put(patient()),
        put(observation(subject={"reference": "Patient/TAG"}, effectiveDateTime="2020"), "TAG-1"),
        put(observation(subject={"reference": "Patient/TAG"}, effectiveDateTime="2021"), "TAG-2"),
        Step(
            f"GET Observation?{MINE}&_include=Observation:subject&_include=Observation:patient"
            "&_total=accurate",
            200,
            has={
                "total": 2,
                "entry#": 3,
                "entry.0.search.mode": "match",
                "entry.2.search.mode": "include",
                "entry.2.resource.id": "TAG",
            },
        ),
        Step(
            f"GET Observation?{MINE}&_include=Observation:subject&_count=1&_sort=date",
            200,
            has={"entry#": 2, "link.1.relation": "next", "link.1.url": "*_include=Observation*"},
            keep={"next": "link.1.url"},
        ),
        Step(
            "GET <next>",
            200,
            has={"entry#": 2, "entry.0.resource.id": "TAG-2", "entry.1.search.mode": "include"},
        ),
    ],
    "resources without the value sorted by are kept": [
        put(patient(birthDate="1980")),
        put(patient(), "TAG-2"),
        put(patient(birthDate="1970"), "TAG-3"),
        finds(f"Patient?{MINE}&_sort=birthdate", "TAG-3", "TAG", "TAG-2"),
        finds(f"Patient?{MINE}&_sort=-birthdate", "TAG", "TAG-3", "TAG-2"),
    ],
    "_count=0 and _summary=count give the total alone": [
        put(patient()),
        put(patient(), "TAG-2"),
        Step(f"GET Patient?{MINE}&_count=0", 200, has={"total": 2}, lacks=("entry",)),
        Step(f"GET Patient?{MINE}&_summary=count", 200, has={"total": 2}, lacks=("entry",)),
        Step(
            f"GET Patient?{MINE}&_count=1&_total=accurate",
            200,
            has={"total": 2, "entry#": 1},
            keep={"next": "link.1.url"},
        ),
        Step("GET <next>", 200, has={"total": 2, "entry#": 1}),
    ],
    "a single page tells its total unasked": [
        put(patient()),
        put(patient(), "TAG-2"),
        Step(f"GET Patient?{MINE}", 200, has={"total": 2}),
        Step("GET Patient?_id=TAG-none", 200, has={"total": 0}),
        Step(f"GET Patient?{MINE}&_revinclude=Observation:subject", 200, has={"total": 2}),
        Step(f"GET Patient?{MINE}&_total=none", 200, lacks=("total",)),
        Step(f"GET Patient?{MINE}&_count=1", 200, lacks=("total",), keep={"next": "link.1.url"}),
        Step("GET <next>", 200, has={"entry#": 1}, lacks=("total",)),
    ],
    "the self link holds what was applied, percent-encoded": [
        Step(
            "GET Patient?identifier=urn:t|TAG&unheard=1&_format=json",
            200,
            has={
                "link.0.relation": "self",
                "link.0.url": "*/Patient?identifier=urn%3At%7CTAG",
                "entry#": 1,
                "entry.0.search.mode": "outcome",
                "entry.0.resource.issue.0.severity": "warning",
            },
        ),
        Step("GET Patient?unheard=1", 400, headers={"prefer": "handling=strict"}, has=OUTCOME),
        Step("GET Patient?name:unheard=1", 400, has=OUTCOME),
        Step("GET Patient?Identifier=TAG", 400, headers={"prefer": "handling=strict"}),
        Step("GET Patient?_cursor=foreign", 400, has=OUTCOME),
    ],
    "a search by POST": [
        put(patient(name=[{"family": "TAG", "given": ["Ann", "Bo"]}])),
        Step(
            "POST Patient/_search",
            200,
            b"given=Ann&given=Bo&family=TAG",
            {"content-type": "application/x-www-form-urlencoded"},
            {"entry#": 1, "link.0.url": "*/Patient?given=Ann&given=Bo&family=TAG"},
            keep={"self": "link.0.url"},
        ),
        Step("GET <self>", 200, has={"entry#": 1}),
        Step(
            "POST Patient/_search",
            200,
            b"given=Ann&given=Cy&family=TAG",
            {"content-type": "application/x-www-form-urlencoded"},
            {"entry#": 0},
        ),
        Step("POST Patient/_search", 415, b"{}", FHIR_JSON, OUTCOME),
    ],
    "a part says that it is one": [
        put(observation(valueString="x", text={"status": "empty", "div": f"<div {HTML}>a</div>"})),
        Step(
            "GET Observation?_id=TAG&_elements=value",
            200,
            has={
                "entry.0.resource.meta.tag.0.code": "SUBSETTED",
                "entry.0.resource.status": "final",
                "entry.0.resource.code.text": "x",
                "entry.0.resource.valueString": "x",
            },
            lacks=("entry.0.resource.identifier",),
        ),
        Step(
            "GET Observation/TAG?_summary=text",
            200,
            has={
                "meta.tag.0.code": "SUBSETTED",
                "status": "final",
                "code.text": "x",
                "text.status": "empty",
            },
            lacks=("identifier",),
        ),
        Step(
            "POST ",
            200,
            bundle("batch", entry("GET", "Observation/TAG?_summary=true")),
            has={"entry.0.resource.meta.tag.0.code": "SUBSETTED"},
            lacks=("entry.0.resource.text",),
        ),
    ],
}
