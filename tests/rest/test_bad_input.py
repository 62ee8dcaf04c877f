"""Bad input gets 4xx with an OperationOutcome, nothing is stored, and never a 500."""

import json
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from over_http import FHIR_JSON, outcome_of

FHIR_XML = {"content-type": "application/fhir+xml"}
DEEP = 61


def nested(depth):
    """A Patient whose extensions are nested so deep."""
    inner = '{"url":"u","valueBoolean":true}'
    for _ in range(depth // 2):
        inner = '{"url":"u","extension":[' + inner + "]}"
    return '{"resourceType":"Patient","extension":[' + inner + "]}"


BODIES = {
    "empty": b"",
    "white space": b"  \n",
    "not JSON": b"hello",
    "truncated": b'{"resourceType":"Patient","active":tr',
    "truncated in a string": b'{"resourceType":"Patient","id":"',
    "trailing": b'{"resourceType":"Patient"}{}',
    "array": b"[]",
    "string": b'"Patient"',
    "number": b"1",
    "null": b"null",
    "duplicate key": b'{"resourceType":"Patient","active":true,"active":false}',
    "duplicate key inside": b'{"resourceType":"Patient","name":[{"family":"a","family":"b"}]}',
    "NaN": b'{"resourceType":"Observation","status":"final","code":{"text":"x"},'
    b'"valueQuantity":{"value":NaN}}',
    "Infinity": b'{"resourceType":"Observation","status":"final","code":{"text":"x"},'
    b'"valueQuantity":{"value":Infinity}}',
    "huge exponent": b'{"resourceType":"Observation","status":"final","code":{"text":"x"},'
    b'"valueQuantity":{"value":1e999999999}}',
    "lone surrogate": b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}',
    "raw surrogate": b'{"resourceType":"Patient","name":[{"family":"\xed\xa0\x80"}]}',
    "not UTF-8": b'{"resourceType":"Patient","name":[{"family":"\xff"}]}',
    "UTF-16": '{"resourceType":"Patient"}'.encode("utf-16"),
    "NUL": b'{"resourceType":"Patient","name":[{"family":"a\\u0000b"}]}',
    "raw NUL": b'{"resourceType":"Patient","name":[{"family":"a\x00b"}]}',
    "too deep": nested(130).encode(),
    "absurdly deep": b'{"resourceType":"Patient","extension":' + b"[" * 100_000,
    "deep braces": b'{"a":' * 50_000,
    "no resourceType": b'{"active":true}',
    "other resourceType": b'{"resourceType":"Group","type":"person","actual":true}',
    "lower case": b'{"resourceType":"patient"}',
    "resourceType null": b'{"resourceType":null}',
    "resourceType list": b'{"resourceType":["Patient"]}',
    "null member": b'{"resourceType":"Patient","active":null}',
    "unknown member": b'{"resourceType":"Patient","unheardOf":1}',
    "empty object": b'{"resourceType":"Patient","maritalStatus":{}}',
    "empty array": b'{"resourceType":"Patient","name":[]}',
    "empty string": b'{"resourceType":"Patient","name":[{"family":""}]}',
    "no such day": b'{"resourceType":"Patient","birthDate":"2024-02-30"}',
    "no leap year": b'{"resourceType":"Patient","birthDate":"2023-02-29"}',
    "date as number": b'{"resourceType":"Patient","birthDate":20240101}',
    "boolean as text": b'{"resourceType":"Patient","active":"true"}',
    "list for one": b'{"resourceType":"Patient","active":[true]}',
    "one for list": b'{"resourceType":"Patient","name":{"family":"x"}}',
    "no such code": b'{"resourceType":"Patient","gender":"alien"}',
    "two of a choice": b'{"resourceType":"Patient","deceasedBoolean":true,'
    b'"deceasedDateTime":"2020"}',
    "operator": b'{"resourceType":"Patient","identifier":[{"value":{"$ne":null}}]}',
    "operator key": b'{"resourceType":"Patient","$where":"1"}',
    "operator for id": b'{"resourceType":"Patient","id":{"$gt":""}}',
    "script": b'{"resourceType":"Patient","text":{"status":"generated","div":'
    b'"<div xmlns=\\"http://www.w3.org/1999/xhtml\\"><script>alert(1)</script></div>"}}',
    "event attribute": b'{"resourceType":"Patient","text":{"status":"generated","div":'
    b'"<div xmlns=\\"http://www.w3.org/1999/xhtml\\" onload=\\"x()\\">a</div>"}}',
    "javascript link": b'{"resourceType":"Patient","text":{"status":"generated","div":'
    b'"<div xmlns=\\"http://www.w3.org/1999/xhtml\\"><a href=\\"\\u0001javascript:x()\\">a</a>'
    b'</div>"}}',
}

XML_BODIES = {
    "not XML": b"hello",
    "truncated": b'<Patient xmlns="http://hl7.org/fhir"><active value="true"/>',
    "no namespace": b'<Patient><active value="true"/></Patient>',
    "other namespace": b'<Patient xmlns="urn:x"><active value="true"/></Patient>',
    "DOCTYPE": b'<!DOCTYPE Patient><Patient xmlns="http://hl7.org/fhir"/>',
    "external entity": b'<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b'<Patient xmlns="http://hl7.org/fhir"><name><family value="&x;"/></name></Patient>',
    "laughs": b'<!DOCTYPE p [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    b'<Patient xmlns="http://hl7.org/fhir"><name><family value="&b;"/></name></Patient>',
    "unknown element": b'<Patient xmlns="http://hl7.org/fhir"><unheardOf value="1"/></Patient>',
    "unknown attribute": b'<Patient xmlns="http://hl7.org/fhir"><active v="true"/></Patient>',
    "text": b'<Patient xmlns="http://hl7.org/fhir">hello</Patient>',
    "other type": b'<Group xmlns="http://hl7.org/fhir"><type value="person"/></Group>',
    "no such day": b'<Patient xmlns="http://hl7.org/fhir">'
    b'<birthDate value="2024-02-30"/></Patient>',
    "too deep": b'<Patient xmlns="http://hl7.org/fhir">'
    + b'<extension url="u">' * 500
    + b"</extension>" * 500
    + b"</Patient>",
}

SEARCHES = [
    "identifier[$gt]=",
    "identifier[$ne]=x",
    "name:exakt=x",
    "name:below=x",
    "birthdate=2024-02-30",
    "birthdate=yesterday",
    "birthdate=gt",
    "birthdate=xx2024",
    "_lastUpdated=never",
    "gender:missing=maybe",
    "_count=-1",
    "_count=many",
    "_count=99999999999999999999",
    "_sort=unheardof",
    "_total=perhaps",
    "_summary=perhaps",
    "_contained=perhaps",
    "_include=",
    "_include=Unheardof:x",
    "_include=Patient:unheardof",
    "_revinclude=Observation",
    "_has:Observation:unheardof:code=x",
    "_has:Unheardof:subject:code=x",
    "_has=x",
    "general-practitioner.unheardof=x",
    "name.x=y",
    "identifier:of-type=a|b",
    "_filter=(",
    "_filter=name%20eq",
    "_cursor=foreign",
    "_id=%FF",
    "name=%FF%FE",
    "name=a%00b",
    "_format=nonsense",
    "_pretty=perhaps",
]

HARMLESS_SEARCHES = [
    "name=" + "(a%2B)%2B%24" * 20 + "!",
    "name:contains=.*.*.*.*.*.*.*.*.*x",
    "name=%25%25%25%5F%5F",
    "name='%20OR%201=1--",
    "name=%22%20OR%20%22",
    "name=%5C",
    "identifier=%5C",
    "identifier=a%5C%7Cb",
    "identifier=%7C",
    "name=" + "x" * 5000,
    "_id=" + ",".join(f"x{n}" for n in range(500)),
    "name=%F0%9F%98%80",
    "name=",
    "=x",
    "&&&",
    "name",
    "_text=%22",
    "_content=*",
    "birthdate=2020-01-01T00:00:00+02:00",
]


def count(fhir, type="Patient"):
    """How many resources of the type there are."""
    return fhir.get(f"/{type}", params={"_summary": "count"}).json()["total"]


@pytest.mark.parametrize("name", BODIES)
def test_bad_json_is_refused_and_nothing_is_stored(fhir, tag, name):
    type = "Observation" if b"Observation" in BODIES[name] else "Patient"
    before = count(fhir, type)
    outcome_of(fhir.post(f"/{type}", content=BODIES[name], headers=FHIR_JSON), (400, 413, 422))
    outcome_of(fhir.put(f"/{type}/{tag}", content=BODIES[name], headers=FHIR_JSON), (400, 413, 422))
    assert count(fhir, type) == before
    assert fhir.get(f"/{type}/{tag}").status_code == 404


@pytest.mark.parametrize("name", XML_BODIES)
def test_bad_xml_is_refused_and_nothing_is_stored(fhir, name):
    before = count(fhir)
    outcome_of(fhir.post("/Patient", content=XML_BODIES[name], headers=FHIR_XML), (400, 413, 422))
    assert count(fhir) == before


@pytest.mark.parametrize("name", BODIES)
def test_bad_bundle_is_refused(fhir, name):
    outcome_of(fhir.post("", content=BODIES[name], headers=FHIR_JSON), (400, 413, 422))


@pytest.mark.parametrize("query", SEARCHES)
def test_bad_search_is_a_bad_request(fhir, query):
    headers = {"prefer": "handling=strict"}
    expected = 406 if query.startswith("_format") else (400, 404)
    outcome_of(fhir.get(f"/Patient?{query}", headers=headers), expected)


@pytest.mark.parametrize("query", ["identifier[$gt]=", "identifier[$ne]=x", "$where=1"])
def test_operators_in_a_search_are_a_bad_request_without_strict_handling_too(fhir, query):
    outcome_of(fhir.get(f"/Patient?{query}"), 400)


@pytest.mark.parametrize("query", HARMLESS_SEARCHES)
def test_odd_search_is_answered(fhir, query):
    response = fhir.get(f"/Patient?{query}")
    assert response.status_code in (200, 400), response.text
    assert response.elapsed.total_seconds() < 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/Unheardof", 404),
        ("/Unheardof/1", 404),
        ("/patient", 404),
        ("/PATIENT/1", 404),
        ("/Resource", 404),
        ("/DomainResource/1", 404),
        ("/Patient/a_b", 400),
        ("/Patient/" + "x" * 65, 400),
        ("/Patient/a%20b", 400),
        ("/Patient/a%2Fb", 400),
        ("/Patient/%00", 400),
        ("/Patient/%FF", 400),
        ("/Patient/..%2F..%2Fetc", 400),
        ("/Patient/1/_history/a_b", 400),
        ("/Patient//1", (400, 404)),
        ("/Patient/1/Unheardof", 404),
        ("/Observation/1/Patient", 404),
        ("/Patient/1/_history/1/more", 404),
        ("/$unheardof", 404),
        ("/Patient/$unheardof", 404),
        ("/Observation/1/$everything", 404),
        ("/_unheardof", 404),
    ],
)
def test_what_is_no_address_is_not_found(fhir, path, status):
    outcome_of(httpx.get(str(fhir.base_url).rstrip("/") + path), status)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/Patient/1", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("PUT", "/metadata", "GET, HEAD, OPTIONS"),
        ("POST", "/Patient/_history", "GET, HEAD, OPTIONS"),
        ("GET", "/Patient/_search", "POST, OPTIONS"),
        ("DELETE", "/Patient/1/_history/1", "GET, HEAD, OPTIONS"),
        ("PUT", "/", "GET, HEAD, POST, OPTIONS"),
        ("DELETE", "/", "GET, HEAD, POST, OPTIONS"),
        ("TRACE", "/Patient/1", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("GET", "/$reindex", "POST, OPTIONS"),
    ],
)
def test_wrong_method_on_a_known_address_names_the_right_ones(fhir, method, path, allowed):
    response = fhir.request(method, path)
    outcome_of(response, 405)
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize("type", ["text/plain", "application/pdf", "", "application/fhir+turtle"])
def test_body_of_another_type_is_unsupported(fhir, type):
    response = fhir.post(
        "/Patient", content=b'{"resourceType":"Patient"}', headers={"content-type": type}
    )
    outcome_of(response, 415)


def test_body_in_another_charset_is_unsupported(fhir):
    headers = {"content-type": "application/fhir+json; charset=iso-8859-1"}
    outcome_of(fhir.post("/Patient", content=b'{"resourceType":"Patient"}', headers=headers), 415)


@pytest.mark.parametrize(
    "value", ["application/pdf", "text/turtle", "application/fhir+json; fhirVersion=3.0"]
)
def test_representation_that_cannot_be_given_is_not_acceptable(fhir, value):
    before = count(fhir)
    outcome_of(fhir.get("/Patient", headers={"accept": value}), 406)
    headers = FHIR_JSON | {"accept": value}
    outcome_of(fhir.post("/Patient", json={"resourceType": "Patient"}, headers=headers), 406)
    assert count(fhir) == before


async def test_body_over_the_limit_is_refused(in_process):
    client = await in_process(max_body_bytes=2000)
    body = json.dumps({"resourceType": "Patient", "name": [{"text": "x" * 3000}]})
    outcome_of(await client.post("/Patient", content=body, headers=FHIR_JSON), 413)

    async def stream():
        for _ in range(1000):
            yield b" " * 100

    outcome_of(await client.post("/Patient", content=stream(), headers=FHIR_JSON), 413)
    small = await client.post("/Patient", json={"resourceType": "Patient"}, headers=FHIR_JSON)
    assert small.status_code == 201


async def test_bundle_of_too_many_entries_is_refused(in_process):
    client = await in_process(max_bundle_entries=3)
    entry = {
        "resource": {"resourceType": "Patient"},
        "request": {"method": "POST", "url": "Patient"},
    }
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry] * 4}
    outcome_of(await client.post("", json=bundle, headers=FHIR_JSON), 413)


async def test_url_over_the_limit_is_refused(in_process):
    client = await in_process(max_url_bytes=1024)
    outcome_of(await client.get("/Patient?name=" + "x" * 2000), 414)


# --- anything at all ---------------------------------------------------------------------------

json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["resourceType", "id", "meta", "name", "family", "$ne", "value", "entry"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
SLOW_OK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SLOW_OK
@given(value=json_value, path=st.sampled_from(["/Patient", "", "/Bundle", "/Patient/$validate"]))
def test_any_json_is_answered_without_a_server_error(fhir, value, path):
    body = json.dumps(value).encode()
    assert fhir.post(path, content=body, headers=FHIR_JSON).status_code < 500


@SLOW_OK
@given(body=st.binary(max_size=200), kind=st.sampled_from(["json", "xml"]))
def test_any_bytes_are_answered_without_a_server_error(fhir, body, kind):
    headers = {"content-type": f"application/fhir+{kind}"}
    assert fhir.post("/Patient", content=body, headers=headers).status_code < 500


@SLOW_OK
@given(
    query=st.text(
        alphabet="nameidrthgs_cou.:=&|,$\\%()<>!'\"* +-0123456789é\U0001f600", max_size=60
    )
)
def test_any_query_is_answered_without_a_server_error(fhir, query):
    for raw in (query, quote(query, safe="=&"), quote(query, safe="=&%.:|,$*()<>!+")):
        ascii_only = quote(raw, safe="=&%.:|,$*()<>!+\"'\\").replace(" ", "+")
        url = httpx.URL(f"{fhir.base_url}Patient").copy_with(query=ascii_only.encode())
        assert fhir.get(url).status_code < 500
