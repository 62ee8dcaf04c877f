"""What the CapabilityStatement says, the server does: each type, interaction and parameter.

https://hl7.org/fhir/R4/capabilitystatement.html
"""

import gzip
import json
from functools import cache
from pathlib import Path

import pytest
from over_http import FHIR_JSON, outcome_of

from fhirserver.model.definitions import RESOURCE_TYPES, type_definition
from fhirserver.terminology.value_set import expansion
from fhirserver.validation.validator import Validator

EXAMPLES = (
    Path(__file__).parents[3] / "shared" / "data" / "hl7-r4-examples" / "examples-even.ndjson.gz"
)
STRICT = {"prefer": "handling=strict"}

#: A value that each type of search parameter can be searched by.
VALUES = {
    "string": "abc",
    "token": "urn:x|abc",
    "reference": "Patient/1",
    "date": "2020-01-01",
    "number": "1.5",
    "quantity": "1.5|http://unitsofmeasure.org|mg",
    "uri": "http://example.org/x",
}
#: Parameters whose value has a form of its own.
OWN_VALUES = {"near": "47.2|-1.55|10|km", "_filter": "_id eq x", "_list": "1"}

#: What invariants (and for SearchParameter this server) ask beyond the mandatory elements.
ALSO = {
    "EventDefinition": {"trigger": [{"type": "named-event", "name": "x"}]},
    "ImmunizationRecommendation": {
        "recommendation": [
            {"vaccineCode": [{"text": "x"}], "forecastStatus": {"text": "due"}},
        ]
    },
    "InsurancePlan": {"name": "x"},
    "SearchParameter": {
        "url": "http://example.org/SearchParameter/kept",
        "code": "kept",
        "base": ["Basic"],
        "type": "token",
        "expression": "Basic.code",
    },
    "StructureDefinition": {
        "type": "Basic",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Basic",
        "derivation": "constraint",
        "kind": "resource",
        "differential": {"element": [{"id": "Basic", "path": "Basic"}]},
    },
}

PRIMITIVE_VALUES = {
    "boolean": True,
    "integer": 1,
    "positiveInt": 1,
    "unsignedInt": 1,
    "decimal": 1,
    "date": "2020-01-01",
    "dateTime": "2020-01-01",
    "instant": "2020-01-01T00:00:00Z",
    "time": "12:00:00",
    "base64Binary": "aGVsbG8=",
    "code": "abc",
    "id": "abc",
    "oid": "urn:oid:1.2.3",
    "uuid": "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9",
    "string": "abc",
    "markdown": "abc",
    "uri": "urn:x",
    "url": "http://example.org",
    "canonical": "http://example.org/x",
}


@pytest.fixture(scope="module")
def statement(server):
    import httpx

    return httpx.get(f"{server.base_url}/metadata", timeout=30).json()


@pytest.fixture(scope="module")
def rest(statement):
    return statement["rest"][0]


@cache
def examples():
    """HL7's smallest example of each resource type that the validator accepts."""
    found = {}
    if EXAMPLES.exists():
        validator = Validator()
        for line in gzip.decompress(EXAMPLES.read_bytes()).splitlines():
            resource = json.loads(line)["resource"]
            size = len(line)
            known = found.get(resource["resourceType"])
            if (known is None or size < known[0]) and validator.accepts(resource):
                found[resource["resourceType"]] = (size, resource)
    return {type: resource for type, (_, resource) in found.items()}


def smallest(type):
    """A resource with its mandatory elements alone."""
    resource = {"resourceType": type}
    for element in type_definition(type).elements.values():
        if element.min and not (element.choice and _has(resource, type, element.choice)):
            value = _value(element)
            resource[element.name] = [value] if element.many else value
    return resource | ALSO.get(type, {})


def _has(value, type, choice):
    return any(
        e.choice == choice and e.name in value for e in type_definition(type).elements.values()
    )


def _value(element):
    if element.required_binding:
        return _code(element)
    if element.primitive:
        return PRIMITIVE_VALUES[element.type]
    if element.type == "Reference":
        target = element.targets[0] if element.targets else "Patient"
        target = "Patient" if target == "Resource" else target
        return {"reference": f"{target}/1"}
    if element.type == "Resource":
        return {"resourceType": "Basic", "code": {"text": "x"}}
    inner = {}
    for child in type_definition(element.type).elements.values():
        if child.min and not (child.choice and _has(inner, element.type, child.choice)):
            value = _value(child)
            inner[child.name] = [value] if child.many else value
    return inner or {"extension": [{"url": "urn:x", "valueString": "x"}]}


def _code(element):
    known = expansion(element.required_binding)
    if known is None or not known.codes:
        return {"code": "en", "url": "text/plain"}.get(element.type, "fr")
    system, codes = sorted(known.codes.items())[0]
    code = sorted(codes)[0]
    if element.primitive:
        return code
    coding = {"system": system, "code": code}
    return {"coding": [coding]} if element.type == "CodeableConcept" else coding


def test_statement_is_valid(statement):
    issues = Validator().validate(statement)
    assert [i for i in issues if i.severity in ("fatal", "error")] == []


def test_statement_names_this_server(statement, server):
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["kind"] == "instance"
    assert statement["implementation"]["url"] == server.base_url
    assert statement["software"]["name"] == "fhirserver"


def test_every_resource_type_is_there(rest):
    assert {r["type"] for r in rest["resource"]} == RESOURCE_TYPES


def test_statement_in_parts_is_short_and_marked(fhir):
    full = fhir.get("/metadata")
    short = fhir.get("/metadata?_summary=true")
    statement = short.json()
    assert len(short.content) < len(full.content) / 4
    assert statement["fhirVersion"] == "4.0.1"
    assert "searchParam" not in statement["rest"][0]["resource"][0]
    assert [tag["code"] for tag in statement["meta"]["tag"]] == ["SUBSETTED"]
    named = fhir.get("/metadata?_elements=software").json()
    assert "software" in named
    assert "rest" not in named
    assert full.headers["etag"] != short.headers["etag"]
    again = fhir.get("/metadata?_summary=true", headers={"if-none-match": short.headers["etag"]})
    assert again.status_code == 304
    outcome_of(fhir.get("/metadata?_summary=perhaps"), 400)


def test_statement_is_not_sent_again_unchanged(fhir):
    first = fhir.get("/metadata")
    again = fhir.get("/metadata", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304


def test_modes(fhir):
    normative = fhir.get("/metadata", params={"mode": "normative"}).json()
    assert {r["type"] for r in normative["rest"][0]["resource"]} < RESOURCE_TYPES
    terminology = fhir.get("/metadata", params={"mode": "terminology"}).json()
    assert terminology["resourceType"] == "TerminologyCapabilities"
    issues = Validator().validate(terminology)
    assert [i for i in issues if i.severity in ("fatal", "error")] == []
    outcome_of(fhir.get("/metadata", params={"mode": "unheardof"}), 400)


def test_formats_are_given(fhir, statement):
    for format in statement["format"]:
        assert fhir.get("/Patient", params={"_format": format}).status_code == 200, format
    for type in statement["patchFormat"]:
        response = fhir.patch("/Patient/unknown-1", content=b"[]", headers={"content-type": type})
        assert response.status_code != 415, type


def test_system_interactions_are_there(fhir, rest):
    codes = {i["code"] for i in rest["interaction"]}
    assert {"batch", "history-system", "search-system"} <= codes
    kinds = ["batch", "transaction"] if "transaction" in codes else ["batch"]
    for kind in kinds:
        body = {"resourceType": "Bundle", "type": kind}
        assert fhir.post("", json=body, headers=FHIR_JSON).status_code == 200
    assert fhir.get("/_history").status_code == 200
    assert fhir.get("?_type=Patient").status_code == 200


@pytest.mark.parametrize("type", sorted(RESOURCE_TYPES))
def test_every_interaction_of_a_type_is_done(fhir, rest, type, tag):
    (stated,) = [r for r in rest["resource"] if r["type"] == type]
    codes = {i["code"] for i in stated["interaction"]}
    resource = dict(examples().get(type) or smallest(type))
    resource.pop("id", None)
    resource.pop("meta", None)
    json_only = {"accept": "application/fhir+json"}

    done = set()
    created = fhir.post(f"/{type}", json=resource, headers=FHIR_JSON | json_only)
    assert created.status_code == 201, created.text
    path = f"/{type}/{created.json()['id']}"
    done.add("create")

    read = fhir.get(path, headers=json_only)
    assert read.status_code == 200
    assert {k: v for k, v in read.json().items() if k not in ("id", "meta")} == resource
    done.add("read")

    updated = fhir.put(path, json={**resource, "id": created.json()["id"]}, headers=FHIR_JSON)
    assert (updated.status_code, updated.headers["etag"]) == (200, 'W/"2"')
    done.add("update")

    patch = [{"op": "add", "path": "/language", "value": "fr"}]
    patched = fhir.patch(
        path, json=patch, headers={"content-type": "application/json-patch+json"} | json_only
    )
    assert patched.status_code == 200, patched.text
    assert patched.json()["language"] == "fr"
    done.add("patch")

    assert fhir.get(f"{path}/_history/1", headers=json_only).status_code == 200
    done.add("vread")
    assert len(fhir.get(f"{path}/_history").json()["entry"]) == 3
    done.add("history-instance")
    assert fhir.get(f"/{type}/_history?_count=1").json()["entry"]
    done.add("history-type")
    found = fhir.get(f"/{type}?_id={created.json()['id']}", headers=STRICT).json()
    assert [e["resource"]["id"] for e in found["entry"]] == [created.json()["id"]]
    done.add("search-type")
    assert fhir.delete(path).status_code == 204
    assert fhir.get(path, headers=json_only).status_code == 410
    done.add("delete")
    assert done == codes

    assert stated["versioning"] == "versioned"
    assert stated["readHistory"] is True
    if stated["updateCreate"]:
        body = {**resource, "id": tag}
        assert fhir.put(f"/{type}/{tag}", json=body, headers=FHIR_JSON).status_code == 201
    if stated["conditionalCreate"]:
        headers = FHIR_JSON | {"if-none-exist": f"_id={tag}"}
        assert fhir.post(f"/{type}", json=resource, headers=headers).status_code == 200
    if stated["conditionalUpdate"]:
        url = f"/{type}?_id={tag}"
        assert fhir.put(url, json=resource, headers=FHIR_JSON).status_code == 200
    if stated["conditionalDelete"] in ("single", "multiple"):
        assert fhir.delete(f"/{type}?_id={tag}").status_code == 204
        assert fhir.get(f"/{type}/{tag}", headers=json_only).status_code == 410


@pytest.mark.parametrize("type", sorted(RESOURCE_TYPES))
def test_every_search_parameter_of_a_type_is_searched_by(fhir, rest, type):
    (stated,) = [r for r in rest["resource"] if r["type"] == type]
    for parameter in stated["searchParam"]:
        name, kind = parameter["name"], parameter["type"]
        value = OWN_VALUES.get(name) or VALUES.get(kind)
        if value is None:
            # A composite's value is made of its components' values.
            value = composite_value(type, name) if kind == "composite" else "abc"
        response = fhir.get(f"/{type}", params={name: value, "_count": 1}, headers=STRICT)
        assert response.status_code == 200, (name, kind, response.text[:300])
        links = response.json()["link"]
        assert name in links[0]["url"]
        if kind != "composite" and kind != "special":
            missing = fhir.get(
                f"/{type}", params={f"{name}:missing": "true", "_count": 1}, headers=STRICT
            )
            expected = (200, 400) if name.startswith("_") else (200,)
            assert missing.status_code in expected, (name, missing.text[:300])


@pytest.mark.parametrize("type", sorted(RESOURCE_TYPES))
def test_every_include_of_a_type_is_followed(fhir, rest, type):
    (stated,) = [r for r in rest["resource"] if r["type"] == type]
    for name, values in (
        ("_include", stated["searchInclude"]),
        ("_revinclude", stated["searchRevInclude"]),
    ):
        # Many at a time: the server takes them all in one request.
        for start in range(0, len(values), 100):
            params = [(name, value) for value in values[start : start + 100]]
            response = fhir.get(f"/{type}", params=[*params, ("_count", "1")], headers=STRICT)
            assert response.status_code == 200, response.text[:300]


def composite_value(type, name):
    from fhirserver.conformance.registry import Registry

    parameter = Registry().parameter(type, name)
    return "$".join(VALUES.get(c.type, "abc") for c in parameter.components)


#: What an operation needs to be called with.
PARAMETERS = {
    name: {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "urn:t", "code": "a"}]}}],
    }
    for name in ("meta-add", "meta-delete")
}


#: Operations that answer 400 without parameters of their own.
NEED_MORE = {"explain-access", "app-activity", "/Patient/$validate", "/Patient/$summary"}


def test_every_operation_can_be_called(fhir, rest, tag):
    body = {"resourceType": "Patient", "id": tag, "active": True, "birthDate": "1980-05-05"}
    fhir.put(f"/Patient/{tag}", json=body, headers=FHIR_JSON)
    (patient,) = [r for r in rest["resource"] if r["type"] == "Patient"]
    system = {op["name"] for op in rest["operation"]}
    for name in system:
        assert fhir.options(f"/${name}").status_code == 204
    called = set()
    for operation in patient["operation"]:
        name = operation["name"]
        assert operation["definition"].startswith("http")
        allowed = set()
        for path in (f"/Patient/${name}", f"/Patient/{tag}/${name}"):
            response = fhir.options(path)
            if response.status_code == 204:
                allowed.add(path)
                methods = response.headers["allow"].split(", ")
                assert "POST" in methods
                method = "GET" if "GET" in methods else "POST"
                answer = fhir.request(method, path, json=PARAMETERS.get(name), headers=FHIR_JSON)
                needs_more = name in NEED_MORE or path in NEED_MORE
                assert answer.status_code == (400 if needs_more else 200), (path, answer.text)
        assert allowed, name
        called.add(name)
    assert {"everything", "validate", "meta"} <= called
    assert fhir.get(f"/Patient/{tag}/$everything").json()["type"] == "searchset"
    assert fhir.get(f"/Patient/{tag}/$meta").json()["resourceType"] == "Parameters"
    validated = fhir.post("/Patient/$validate", json=body, headers=FHIR_JSON).json()
    assert validated["resourceType"] == "OperationOutcome"
