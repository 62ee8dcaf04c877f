"""FHIR semantics that other servers got wrong, clause by clause: requests and what must come back.

https://hl7.org/fhir/R4/search.html, https://hl7.org/fhir/R4/http.html. A step is a request, the
status it is answered with, and what the answer holds: a path of names and numbers into its JSON,
`#` for a length, `@` for a header. In texts `TAG` is a name no other case uses, `<x>` what an
earlier step kept as x.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pytest
from over_http import FHIR_JSON

LOINC = "http://loinc.org"
HTML = 'xmlns="http://www.w3.org/1999/xhtml"'


@dataclass(frozen=True)
class Step:
    request: str
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    has: dict[str, Any] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    keep: dict[str, str] = field(default_factory=dict)


def _patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": "urn:t", "value": "TAG"}], **more}


def _observation(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{"system": "urn:t", "value": "TAG"}],
        "code": {"text": "x"},
        **more,
    }


def _coded(*codes: str) -> dict[str, Any]:
    return {"coding": [{"system": LOINC, "code": code} for code in codes]}


def _entry(method: str, url: str, resource: Any = None, full_url: str = "", **request: str) -> Any:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    return {"fullUrl": full_url, **made} if full_url else made


def _bundle(kind: str, *entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def _narrative(inner: str, attributes: str = "") -> dict[str, Any]:
    div = f"<div {HTML}{attributes}>{inner}</div>"
    return _patient(text={"status": "generated", "div": div})


def put(resource: Any, id: str = "TAG") -> Step:
    type = resource["resourceType"]
    return Step(f"PUT {type}/{id}", 201, {**resource, "id": id})


def finds(request: str, *ids: str) -> Step:
    """A search that finds exactly so many."""
    has: dict[str, Any] = {"entry#": len(ids)}
    has |= {f"entry.{place}.resource.id": id for place, id in enumerate(ids)}
    return Step(f"GET {request}", 200, has=has)


OUTCOME = {"resourceType": "OperationOutcome"}
MINE = "identifier=urn:t|TAG"
URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"

SEARCH: dict[str, list[Step]] = {
    "a code with codings A and B is not found by code:not=A": [
        put(_observation(code=_coded("A", "B"))),
        put(_observation(code=_coded("C")), "TAG-c"),
        put(_observation(), "TAG-none"),
        finds(f"Observation?{MINE}&code:not=A&_sort=_id", "TAG-c", "TAG-none"),
        finds(f"Observation?{MINE}&code:not=A,B&_sort=_id", "TAG-c", "TAG-none"),
        finds(f"Observation?{MINE}&code:not=A,C", "TAG-none"),
    ],
    "the four forms of a token": [
        put(_patient(identifier=[{"system": "urn:TAG", "value": "v"}]), "TAG"),
        put(_patient(identifier=[{"value": "v-TAG"}]), "TAG-2"),
        finds("Patient?identifier=urn:TAG|", "TAG"),
        finds("Patient?identifier=|v-TAG", "TAG-2"),
        finds("Patient?identifier=v-TAG", "TAG-2"),
        finds("Patient?identifier=urn:TAG|v", "TAG"),
        finds("Patient?identifier=urn:TAG|w"),
    ],
    "escaped separators are literals, in the system too": [
        put(_patient(identifier=[{"system": "urn:T,A|B$C\\TAG", "value": "v,w"}])),
        finds("Patient?identifier=urn:T\\,A\\|B\\$C\\\\TAG|v\\,w", "TAG"),
        finds("Patient?identifier=urn:T%5C%2CA%5C%7CB%5C%24C%5C%5CTAG%7Cv%5C%2Cw", "TAG"),
        Step("GET Patient?identifier=TAG\\", 200, has={"entry#": 0}),
        Step("GET Patient?name=TAG%5C", 200, has={"entry#": 0}),
        Step("GET Observation?code-value-quantity=TAG%5C", 400, has=OUTCOME),
    ],
    ":of-type needs three parts": [
        put(_patient(identifier=[{"type": _coded("MR"), "value": "TAG"}])),
        finds(f"Patient?identifier:of-type={LOINC}|MR|TAG", "TAG"),
        finds(f"Patient?identifier:of-type={LOINC}|SB|TAG"),
        Step("GET Patient?identifier:of-type=MR|TAG", 400, has=OUTCOME),
        Step("GET Patient?identifier:of-type=TAG", 400, has=OUTCOME),
    ],
    ":missing on every type": [
        put(_observation()),
        put(
            _observation(
                subject={"reference": "Patient/x"},
                valueQuantity={"value": 1},
                effectiveDateTime="2020",
                note=[{"text": "n"}],
                method=_coded("m"),
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
        put(_patient(name=[{"family": "Évrard-TAG", "given": ["Maëlle"]}])),
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
    "a stored instant against a day": [
        put(_observation(effectiveDateTime="2020-01-01T10:00:00Z")),
        finds(f"Observation?{MINE}&date=gt2020-01-01"),
        finds(f"Observation?{MINE}&date=ge2020-01-01", "TAG"),
        finds(f"Observation?{MINE}&date=eq2020-01-01", "TAG"),
        finds(f"Observation?{MINE}&date=sa2020-01-01"),
        finds(f"Observation?{MINE}&date=ne2020-01-01"),
        finds(f"Observation?{MINE}&date=le2020-01-01", "TAG"),
        finds(f"Observation?{MINE}&date=lt2020-01-01"),
    ],
    "a stored year against a month": [
        put(_observation(effectiveDateTime="2020")),
        finds(f"Observation?{MINE}&date=gt2020-06-01", "TAG"),
        finds(f"Observation?{MINE}&date=sa2020-06-01"),
        finds(f"Observation?{MINE}&date=eb2020-06-01"),
        finds(f"Observation?{MINE}&date=eq2020-06"),
        finds(f"Observation?{MINE}&date=ne2020-06", "TAG"),
    ],
    "offsets": [
        put(_observation(effectiveDateTime="2020-01-01T23:30:00-05:00")),
        finds(f"Observation?{MINE}&date=2020-01-02T04:30Z", "TAG"),
        finds(f"Observation?{MINE}&date=2020-01-02T06:30:00%2B02:00", "TAG"),
        finds(f"Observation?{MINE}&date=2020-01-02T06:30:00+02:00", "TAG"),
        finds(f"Observation?{MINE}&date=2020-01-01T20:30:00-08:00", "TAG"),
    ],
    "the digits of a quantity are its precision": [
        put(_observation(valueQuantity={"value": 99.5}), "TAG"),
        put(_observation(valueQuantity={"value": 100.5}), "TAG-2"),
        put(_observation(valueQuantity={"value": 60.2, "code": "mg", "system": "urn:u"}), "TAG-3"),
        put(_observation(valueQuantity={"value": 5.4, "unit": "mg"}), "TAG-4"),
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
            _observation(
                component=[
                    {"code": _coded("8480-6"), "valueQuantity": {"value": 140}},
                    {"code": _coded("8462-4"), "valueQuantity": {"value": 160}},
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
        put(_patient(birthDate="1980-01-01")),
        put(_observation(subject={"reference": "Patient/TAG"}, effectiveDateTime="2020"), "TAG-1"),
        put(_observation(subject={"reference": "Patient/TAG"}, effectiveDateTime="2021"), "TAG-2"),
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
        put(_patient()),
        put(_observation(subject={"reference": "Patient/TAG"}, effectiveDateTime="2020"), "TAG-1"),
        put(_observation(subject={"reference": "Patient/TAG"}, effectiveDateTime="2021"), "TAG-2"),
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
        put(_patient(birthDate="1980")),
        put(_patient(), "TAG-2"),
        put(_patient(birthDate="1970"), "TAG-3"),
        finds(f"Patient?{MINE}&_sort=birthdate", "TAG-3", "TAG", "TAG-2"),
        finds(f"Patient?{MINE}&_sort=-birthdate", "TAG", "TAG-3", "TAG-2"),
    ],
    "_count=0 and _summary=count give the total alone": [
        put(_patient()),
        put(_patient(), "TAG-2"),
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
        put(_patient()),
        put(_patient(), "TAG-2"),
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
        put(_patient(name=[{"family": "TAG", "given": ["Ann", "Bo"]}])),
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
        put(_observation(valueString="x", text={"status": "empty", "div": f"<div {HTML}>a</div>"})),
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
            _bundle("batch", _entry("GET", "Observation/TAG?_summary=true")),
            has={"entry.0.resource.meta.tag.0.code": "SUBSETTED"},
            lacks=("entry.0.resource.text",),
        ),
    ],
}

REST: dict[str, list[Step]] = {
    "If-None-Exist": [
        Step("POST Patient", 201, _patient(), {"if-none-exist": MINE}, keep={"id": "id"}),
        Step(
            "POST Patient",
            200,
            _patient(),
            {"if-none-exist": MINE},
            {"@etag": 'W/"1"', "@location": "*/Patient/<id>/_history/1", "id": "<id>"},
        ),
        Step(
            "POST Patient",
            200,
            _patient(),
            {"if-none-exist": MINE, "prefer": "return=minimal"},
            {"@etag": 'W/"1"', "text": ""},
        ),
        Step("POST Patient", 201, _patient()),
        Step("POST Patient", 412, _patient(), {"if-none-exist": MINE}, OUTCOME),
    ],
    "conditional update": [
        Step(f"PUT Patient?{MINE}", 201, _patient(), keep={"id": "id"}),
        Step(
            f"PUT Patient?{MINE}",
            200,
            _patient(active=True),
            has={"id": "<id>", "meta.versionId": "2"},
        ),
        Step(f"PUT Patient?{MINE}", 400, _patient(id="TAG-other"), has=OUTCOME),
        Step("POST Patient", 201, _patient()),
        Step(f"PUT Patient?{MINE}", 412, _patient(), has=OUTCOME),
    ],
    "a stale If-Match is refused by every write": [
        put(_patient()),
        Step("PUT Patient/TAG", 200, _patient(id="TAG"), {"if-match": 'W/"1"'}),
        Step("PUT Patient/TAG", 412, _patient(id="TAG"), {"if-match": 'W/"1"'}, OUTCOME),
        Step("PUT Patient/TAG", 412, _patient(id="TAG"), {"if-match": 'W/"9"'}, OUTCOME),
        Step(
            "PATCH Patient/TAG",
            412,
            b'[{"op":"add","path":"/active","value":true}]',
            {"if-match": 'W/"1"', "content-type": "application/json-patch+json"},
            OUTCOME,
        ),
        Step("DELETE Patient/TAG", 412, headers={"if-match": 'W/"1"'}, has=OUTCOME),
        Step("PUT Patient/TAG", 400, _patient(id="TAG"), {"if-match": "two"}, OUTCOME),
        Step("PUT Patient/TAG", 412, _patient(id="TAG"), {"if-none-match": "*"}, OUTCOME),
        Step("GET Patient/TAG", 304, headers={"if-none-match": 'W/"2"'}),
        Step("GET Patient/TAG", 200, headers={"if-none-match": 'W/"1"'}),
        Step("GET Patient/TAG", 200, has={"meta.versionId": "2"}),
        Step(
            "PUT Patient/TAG",
            200,
            _patient(id="TAG"),
            {"if-match": 'W/"1", W/"2"'},
            {"@etag": 'W/"3"'},
        ),
        Step("PUT Patient/TAG", 412, _patient(id="TAG"), {"if-match": 'W/"1", W/"2"'}, OUTCOME),
        Step("PUT Patient/TAG", 200, _patient(id="TAG"), {"if-match": "*"}),
        Step("PUT Patient/TAG-none", 412, _patient(id="TAG-none"), {"if-match": "*"}, OUTCOME),
    ],
    "a deleted resource": [
        put(_patient()),
        Step("DELETE Patient/TAG", 204),
        Step("DELETE Patient/TAG", 204),
        Step("GET Patient/TAG", 410, has={**OUTCOME, "@etag": 'W/"2"'}),
        Step("GET Patient/TAG/_history/2", 410, has={**OUTCOME, "@etag": 'W/"2"'}),
        Step("GET Patient/TAG/_history/1", 200, has={"meta.versionId": "1"}),
        Step("GET Patient/TAG/_history/3", 404, has=OUTCOME),
        Step("PUT Patient/TAG", 201, _patient(id="TAG"), has={"meta.versionId": "3"}),
        Step(
            "GET Patient/TAG/_history",
            200,
            has={
                "entry#": 3,
                "total": 3,
                "entry.0.resource.meta.versionId": "3",
                "entry.0.request.method": "PUT",
                "entry.1.request.method": "DELETE",
                "entry.1.request.url": "Patient/TAG",
                "entry.2.request.method": "PUT",
            },
            lacks=("entry.1.resource",),
        ),
        Step("GET Patient/TAG/_history?gender=male", 400, has=OUTCOME),
        Step(
            "GET Patient/TAG/_history?_since=2020-01-01T00:00:00.123%2B02:00",
            200,
            has={"entry#": 3},
        ),
        Step(
            "GET Patient/TAG/_history?_since=2020-01-01T00:00:00.123+02:00", 200, has={"entry#": 3}
        ),
        Step("GET Patient/TAG/_history?_since=2999-01-01T00:00:00Z", 200, has={"entry#": 0}),
    ],
    "the tenth version comes before the ninth": [
        put(_patient()),
        *(Step("PUT Patient/TAG", 200, _patient(id="TAG")) for _ in range(9)),
        Step(
            "GET Patient/TAG/_history?_count=2",
            200,
            has={
                "total": 10,
                "entry.0.resource.meta.versionId": "10",
                "entry.1.resource.meta.versionId": "9",
            },
        ),
    ],
    "a wrong body": [
        Step("PUT Patient/TAG", 400, _patient(id="other"), has=OUTCOME),
        Step("PUT Patient/TAG", 400, _patient(), has=OUTCOME),
        Step("PUT Patient/TAG", 400, _observation(id="TAG"), has=OUTCOME),
        Step("PUT Patient/TAG", 400, _patient(id="TAG", active=None), has=OUTCOME),
        Step("PUT Patient/TAG", 400, _patient(id="TAG", unheard=1), has=OUTCOME),
        Step(
            "PUT Patient/TAG", 400, {**_patient(id="TAG"), "resourceType": "patient"}, has=OUTCOME
        ),
        Step(
            "PUT Patient/TAG",
            400,
            b'{"resourceType":"Patient","id":"TAG","id":"TAG"}',
            has=OUTCOME,
        ),
        Step("GET Patient/TAG", 404, has=OUTCOME),
    ],
    "a narrative with something to run": [
        Step("POST Patient", 400, _narrative("<script>x()</script>"), has=OUTCOME),
        Step("POST Patient", 400, _narrative("a", ' onload="x()"'), has=OUTCOME),
        Step("POST Patient", 400, _narrative('<a href="javascript:x()">a</a>'), has=OUTCOME),
        Step("POST Patient", 400, _narrative('<a href="\u0001javascript:x()">a</a>'), has=OUTCOME),
        Step("POST Patient", 400, _narrative('<a href="&#1;javascript:x()">a</a>'), has=OUTCOME),
        Step("POST Patient", 400, _narrative('<a href=" java&#10;script:x()">a</a>'), has=OUTCOME),
    ],
    "a conditional reference is resolved by any write": [
        put(_patient()),
        Step(
            "POST Observation",
            201,
            _observation(subject={"reference": f"Patient?{MINE}"}),
            has={"subject.reference": "Patient/TAG"},
            keep={"id": "id"},
        ),
        Step(
            "PUT Observation/<id>",
            200,
            _observation(id="<id>", subject={"reference": f"Patient?{MINE}"}, valueString="v"),
            has={"subject.reference": "Patient/TAG", "valueString": "v"},
        ),
        Step(
            f"PUT Observation?{MINE}",
            200,
            _observation(subject={"reference": f"Patient?{MINE}", "display": "P"}),
            has={"subject.reference": "Patient/TAG", "id": "<id>"},
        ),
        Step(
            "PATCH Observation/<id>",
            200,
            b'[{"op":"replace","path":"/subject","value":{"reference":"Patient?_id=TAG"}}]',
            {"content-type": "application/json-patch+json"},
            {"subject.reference": "Patient/TAG"},
        ),
        Step(
            "POST ",
            200,
            _bundle(
                "batch",
                _entry(
                    "PUT",
                    "Observation/TAG-b",
                    _observation(id="TAG-b", subject={"reference": f"Patient?{MINE}"}),
                ),
            ),
            has={"entry.0.response.status": "201*"},
        ),
        Step("GET Observation/TAG-b", 200, has={"subject.reference": "Patient/TAG"}),
        Step(
            "PUT Observation/TAG-n",
            412,
            _observation(id="TAG-n", subject={"reference": "Patient?identifier=TAG-none"}),
            has={**OUTCOME, "issue.0.code": "not-found"},
        ),
        Step(
            "PUT Observation/TAG-n",
            400,
            _observation(id="TAG-n", subject={"reference": "Patient?unheard=TAG"}),
            has=OUTCOME,
        ),
        Step(
            "PUT Observation/TAG-n",
            400,
            _observation(id="TAG-n", subject={"reference": "Patient?_id=TAG"}, unheard=1),
            has=OUTCOME,
        ),
        put(_patient(), "TAG-2"),
        Step(
            "PUT Observation/TAG-n",
            412,
            _observation(id="TAG-n", subject={"reference": f"Patient?{MINE}"}),
            has={**OUTCOME, "issue.0.code": "multiple-matches"},
        ),
        Step("GET Observation/TAG-n", 404),
    ],
    "$validate tells of every error in its outcome": [
        Step(
            "POST Patient/$validate",
            200,
            b'<Patient xmlns="http://hl7.org/fhir"><unheard value="1"/></Patient>',
            {"content-type": "application/fhir+xml"},
            {**OUTCOME, "issue.0.severity": "error", "issue.0.expression.0": "Patient.unheard"},
        ),
        Step(
            "POST Patient/$validate",
            200,
            b'<Patient xmlns="http://hl7.org/fhir"><birthDate value="2000"/>'
            b'<active value="true"/></Patient>',
            {"content-type": "application/fhir+xml"},
            {**OUTCOME, "issue.0.severity": "error", "issue.0.expression.0": "Patient.active"},
        ),
        Step(
            "POST Patient/$validate",
            200,
            _patient(unheard=1),
            has={**OUTCOME, "issue.0.severity": "error", "issue.0.expression.0": "Patient.unheard"},
        ),
        Step(
            "POST Observation/$validate",
            200,
            _observation(subject={"reference": "Patient?identifier=x"}),
            has={**OUTCOME, "issue.0.severity": "warning"},
            lacks=("issue.1",),
        ),
        Step(
            "POST Patient/$validate",
            400,
            b"<Patient",
            {"content-type": "application/fhir+xml"},
            OUTCOME,
        ),
        Step("POST Patient/$validate", 400, b'{"resourceType":"Patient",', has=OUTCOME),
        Step(
            "POST Patient",
            400,
            b'<Patient xmlns="http://hl7.org/fhir"><birthDate value="2000"/>'
            b'<active value="true"/></Patient>',
            {"content-type": "application/fhir+xml"},
            OUTCOME,
        ),
    ],
    "a preference that was heeded is told": [
        Step(
            "PUT Patient/TAG",
            201,
            _patient(id="TAG"),
            {"prefer": "return=minimal"},
            {"@preference-applied": "return=minimal", "text": ""},
        ),
        Step(
            "PUT Patient/TAG",
            200,
            _patient(id="TAG"),
            {"prefer": "return=representation"},
            {"@preference-applied": "return=representation", "resourceType": "Patient"},
        ),
        Step(
            "PUT Observation/TAG",
            201,
            _observation(id="TAG"),
            {"prefer": "return=OperationOutcome"},
            {
                **OUTCOME,
                "@preference-applied": "return=OperationOutcome",
                "issue.0.severity": "information",
                "issue.1.severity": "warning",  # dom-6: a resource should have a narrative
            },
        ),
        Step(
            "POST ",
            200,
            _bundle("batch", _entry("PUT", "Observation/TAG", _observation(id="TAG"))),
            {"prefer": "return=OperationOutcome"},
            {"entry.0.response.outcome.issue.1.severity": "warning"},
        ),
        Step(
            "GET Patient?_id=TAG",
            200,
            headers={"prefer": "handling=strict"},
            has={"@preference-applied": "handling=strict", "entry#": 1},
        ),
        Step("DELETE Patient/TAG", 204, headers={"prefer": "return=minimal"}),
    ],
    "errors carry an OperationOutcome": [
        Step("GET Patient/TAG", 404, has=OUTCOME),
        Step("GET Unheard/TAG", 404, has=OUTCOME),
        Step("GET patient/TAG", 404, has=OUTCOME),
        Step("DELETE metadata", 405, has={**OUTCOME, "@allow": "GET*"}),
        Step("GET Patient?_format=pdf", 406, has=OUTCOME),
        Step("GET Patient", 406, headers={"accept": "application/pdf"}, has=OUTCOME),
        Step(
            "GET Patient",
            406,
            headers={"accept": "application/fhir+json; fhirVersion=3.0"},
            has=OUTCOME,
        ),
        Step(
            "GET metadata",
            200,
            headers={"accept": "application/fhir+json; fhirVersion=4.0"},
            has={"@content-type": "application/fhir+json*fhirVersion=4.0*"},
        ),
        Step("POST Patient", 415, b"x", {"content-type": "text/plain"}, OUTCOME),
    ],
    "Binary is its content unless the resource is asked for": [
        Step(
            "PUT Binary/TAG",
            201,
            {
                "resourceType": "Binary",
                "id": "TAG",
                "contentType": "application/pdf",
                "data": base64.b64encode(b"%PDF-1").decode(),
            },
        ),
        Step(
            "GET Binary/TAG",
            200,
            headers={"accept": "application/pdf"},
            has={"text": "%PDF-1", "@content-type": "application/pdf"},
        ),
        Step(
            "GET Binary/TAG",
            200,
            headers={"accept": "application/fhir+json"},
            has={"resourceType": "Binary", "contentType": "application/pdf"},
        ),
        Step(
            "PUT Binary/TAG-2",
            201,
            {
                "resourceType": "Binary",
                "id": "TAG-2",
                "contentType": "application/fhir+json",
                "data": base64.b64encode(b'{"resourceType":"Bundle","type":"document"}').decode(),
            },
        ),
        Step("GET Binary/TAG-2", 200, has={"resourceType": "Bundle", "type": "document"}),
        Step(
            "GET Binary/TAG-2",
            200,
            headers={"accept": "*/*"},
            has={"resourceType": "Bundle", "type": "document"},
        ),
    ],
}

TRANSACTION: dict[str, list[Step]] = {
    "entries run DELETE, POST, PUT, GET and answer in their order": [
        put(_patient(), "TAG-gone"),
        Step(
            "POST ",
            200,
            _bundle(
                "transaction",
                _entry("GET", f"Patient?{MINE}&_sort=_id"),
                _entry("PUT", "Patient/TAG-put", _patient(id="TAG-put")),
                _entry("POST", "Patient", _patient(), ifNoneExist=MINE),
                _entry("DELETE", "Patient/TAG-gone"),
            ),
            has={
                "entry.0.resource.entry#": 2,
                "entry.0.response.status": "200*",
                "entry.1.response.status": "201*",
                "entry.1.response.etag": 'W/"1"',
                "entry.1.response.lastModified": "20*",
                "entry.1.response.location": "*/Patient/TAG-put/_history/1",
                "entry.2.response.status": "201*",
                "entry.3.response.status": "204*",
            },
        ),
    ],
    "one failure and nothing is stored": [
        Step(
            "POST ",
            400,
            _bundle(
                "transaction",
                _entry("PUT", "Patient/TAG", _patient(id="TAG")),
                _entry("POST", "Patient", _patient(gender="alien")),
            ),
            has=OUTCOME,
        ),
        Step("GET Patient/TAG", 404),
        Step("GET Patient/TAG/_history", 404),
        Step(
            "POST ",
            400,
            _bundle(
                "transaction",
                _entry("PUT", "Patient/TAG", _patient(id="TAG")),
                _entry("PUT", "Patient/TAG", _patient(id="TAG")),
            ),
            has=OUTCOME,
        ),
        Step(
            "POST ",
            400,
            b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":null,'
            b'"request":{"method":"POST","url":"Patient"}}]}',
            has=OUTCOME,
        ),
        Step("POST ", 400, _bundle("transaction", None), has=OUTCOME),
        finds(f"Patient?{MINE}"),
    ],
    "urn:uuid is rewritten where it is a link, and nowhere else": [
        Step(
            "POST ",
            200,
            _bundle(
                "transaction",
                _entry(
                    "POST",
                    "DocumentReference",
                    {
                        "resourceType": "DocumentReference",
                        "status": "current",
                        "identifier": [{"system": "urn:ietf:rfc:3986", "value": URN}],
                        "subject": {"reference": URN},
                        "content": [{"attachment": {"url": URN}}],
                        "text": {
                            "status": "generated",
                            "div": f'<div {HTML}><a href="{URN}">a</a>'
                            f'<img src="{URN}" alt="b"/></div>',
                        },
                        "extension": [
                            {"url": "urn:x", "valueCanonical": URN},
                            {"url": "urn:y", "valueUri": URN},
                        ],
                    },
                    "urn:uuid:2dfe0e4b-9c0a-4e7e-8a3f-6f2a0b1f5d11",
                ),
                _entry(
                    "POST",
                    "Patient",
                    _patient(
                        link=[{"other": {"reference": "urn:uuid:1"}, "type": "seealso"}],
                    ),
                    URN,
                ),
                _entry(
                    "POST",
                    "Patient",
                    _patient(link=[{"other": {"reference": URN}, "type": "seealso"}]),
                    "urn:uuid:1",
                ),
            ),
            keep={"doc": "entry.0.response.location", "pat": "entry.1.response.location"},
        ),
        Step(
            "GET <doc>",
            200,
            has={
                "subject.reference": "Patient/*",
                "content.0.attachment.url": "Patient/*",
                "text.div": '*<a href="Patient/*<img src="Patient/*',
                "identifier.0.value": URN,
                "extension.0.valueCanonical": URN,
                "extension.1.valueUri": "Patient/*",
            },
        ),
        Step("GET <pat>", 200, has={"link.0.other.reference": "Patient/*"}),
    ],
    "a link to one version is one afterwards": [
        put(_patient(), "TAG-put"),
        Step(
            "POST ",
            200,
            _bundle(
                "transaction",
                _entry("POST", "Patient", _patient(), "http://TAG.example/fhir/Patient/1"),
                _entry(
                    "PUT",
                    "Patient/TAG-put",
                    _patient(id="TAG-put"),
                    "http://TAG.example/fhir/Patient/TAG-put",
                ),
                _entry(
                    "POST",
                    "Observation",
                    _observation(
                        subject={"reference": "http://TAG.example/fhir/Patient/1/_history/7"},
                        performer=[{"reference": "Patient/TAG-put/_history/7"}],
                        focus=[{"reference": "http://TAG.example/fhir/Patient/9/_history/7"}],
                    ),
                    "http://TAG.example/fhir/Observation/1",
                ),
            ),
            has={"entry.1.response.etag": 'W/"2"'},
            keep={"made": "entry.2.response.location"},
        ),
        Step(
            "GET <made>",
            200,
            has={
                "subject.reference": "Patient/*-*/_history/1",
                "performer.0.reference": "Patient/TAG-put/_history/2",
                "focus.0.reference": "http://TAG.example/fhir/Patient/9/_history/7",
            },
        ),
    ],
    "a link to what is not in the Bundle is left untouched": [
        Step(
            "POST ",
            200,
            _bundle(
                "transaction",
                _entry("POST", "Patient", _patient(), URN),
                _entry(
                    "POST",
                    "Observation",
                    _observation(
                        subject={"reference": "urn:uuid:7c4f9a10-0000-4000-8000-000000000000"},
                        performer=[{"reference": "Practitioner/TAG-elsewhere"}],
                    ),
                ),
            ),
            keep={"made": "entry.1.response.location"},
        ),
        Step(
            "GET <made>",
            200,
            has={
                "subject.reference": "urn:uuid:7c4f9a10-0000-4000-8000-000000000000",
                "performer.0.reference": "Practitioner/TAG-elsewhere",
            },
        ),
    ],
    "a conditional reference selects one or fails": [
        put(_patient()),
        Step(
            "POST ",
            200,
            _bundle(
                "transaction",
                _entry(
                    "POST", "Observation", _observation(subject={"reference": f"Patient?{MINE}"})
                ),
            ),
            keep={"made": "entry.0.response.location"},
        ),
        Step("GET <made>", 200, has={"subject.reference": "Patient/TAG"}),
        put(_patient(), "TAG-2"),
        Step(
            "POST ",
            412,
            _bundle(
                "transaction",
                _entry(
                    "PUT",
                    "Observation/TAG-0",
                    _observation(id="TAG-0", subject={"reference": f"Patient?{MINE}"}),
                ),
            ),
            has=OUTCOME,
        ),
        Step(
            "POST ",
            412,
            _bundle(
                "transaction",
                _entry(
                    "PUT",
                    "Observation/TAG-0",
                    _observation(id="TAG-0", subject={"reference": "Patient?identifier=TAG-x"}),
                ),
            ),
            has=OUTCOME,
        ),
        Step("GET Observation/TAG-0", 404),
    ],
    "what a condition finds is what the others point to": [
        put(_patient()),
        Step(
            "POST ",
            200,
            _bundle(
                "transaction",
                _entry("POST", "Patient", _patient(), URN, ifNoneExist=MINE),
                _entry("POST", "Observation", _observation(subject={"reference": URN})),
            ),
            has={"entry.0.response.status": "200*", "entry.0.response.location": "*Patient/TAG/*"},
            keep={"made": "entry.1.response.location"},
        ),
        Step("GET <made>", 200, has={"subject.reference": "Patient/TAG"}),
        Step(
            "POST ",
            200,
            _bundle(
                "transaction",
                _entry("PUT", f"Patient?{MINE}", _patient(active=True), URN),
                _entry("POST", "Observation", _observation(subject={"reference": URN})),
            ),
            has={"entry.0.response.status": "200*", "entry.0.response.etag": 'W/"2"'},
            keep={"made": "entry.1.response.location"},
        ),
        Step("GET <made>", 200, has={"subject.reference": "Patient/TAG"}),
    ],
    "entries of a batch stand alone": [
        Step(
            "POST ",
            200,
            _bundle(
                "batch",
                _entry("POST", "Patient", _patient(), URN),
                _entry(
                    "PUT", "Observation/TAG", _observation(id="TAG", subject={"reference": URN})
                ),
                _entry("POST", "Patient", _patient(gender="alien")),
                _entry("GET", "Patient/TAG-none"),
            ),
            has={
                "entry.0.response.status": "201*",
                "entry.0.response.location": "*/Patient/*/_history/1",
                "entry.0.response.etag": 'W/"1"',
                "entry.0.response.lastModified": "20*",
                "entry.1.response.status": "201*",
                "entry.2.response.status": "400*",
                "entry.2.response.outcome.resourceType": "OperationOutcome",
                "entry.3.response.status": "404*",
                "entry.3.response.outcome.resourceType": "OperationOutcome",
            },
        ),
        Step("GET Observation/TAG", 200, has={"subject.reference": URN}),
    ],
}

_MISSING = object()


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return value


def _found(response: Any, path: str) -> Any:
    if path == "text":
        return response.text
    if path.startswith("@"):
        return response.headers.get(path[1:], _MISSING)
    if path.endswith("#"):
        found = _at(response.json(), path[:-1])
        return 0 if found is _MISSING else len(found)
    return _at(response.json(), path)


def _agrees(found: Any, expected: Any) -> bool:
    if isinstance(found, str) and isinstance(expected, str) and "*" in expected:
        return fnmatchcase(found, expected.replace("[", "[[]").replace("?", "[?]"))
    return bool(found == expected)


def walk(fhir: Any, tag: str, steps: list[Step]) -> None:
    """Take the steps; fail at the first whose answer is another."""
    kept = {"TAG": tag}

    def filled(text: str) -> str:
        return re.sub(r"TAG|<(\w+)>", lambda m: kept.get(m[1] or "TAG", m[0]), text)

    for step in steps:
        method, _, url = filled(step.request).partition(" ")
        if not url.startswith("http"):
            url = f"{str(fhir.base_url).rstrip('/')}/{url}".rstrip("/")
        body = (
            step.body
            if isinstance(step.body, bytes) or step.body is None
            else json.dumps(step.body).encode()
        )
        content = None if body is None else filled(body.decode()).encode()
        headers = {} if body is None else dict(FHIR_JSON)
        headers |= {name: filled(value) for name, value in step.headers.items()}
        response = fhir.request(method, url, content=content, headers=headers)
        told = f"{method} {url} -> {response.status_code} {response.text[:1500]}"
        assert response.status_code == step.status, told
        for path, expected in step.has.items():
            wanted = filled(expected) if isinstance(expected, str) else expected
            assert _agrees(_found(response, path), wanted), f"{path} is not {wanted}: {told}"
        for path in step.lacks:
            assert _at(response.json(), path) is _MISSING, f"{path}: {told}"
        for name, path in step.keep.items():
            kept[name] = _found(response, path)


@pytest.mark.parametrize("clause", SEARCH)
def test_search(fhir, tag, clause):
    walk(fhir, tag, SEARCH[clause])


@pytest.mark.parametrize("clause", REST)
def test_rest(fhir, tag, clause):
    walk(fhir, tag, REST[clause])


@pytest.mark.parametrize("clause", TRANSACTION)
def test_transaction(fhir, tag, clause):
    rest = fhir.get("/metadata").json()["rest"][0]
    if (
        clause != "entries of a batch stand alone"
        and {"code": "transaction"} not in rest["interaction"]
    ):
        pytest.skip("this store has no transactions, and says so")
    walk(fhir, tag, TRANSACTION[clause])
