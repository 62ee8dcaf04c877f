"""Formats, parts of resources and headers over HTTP, on each engine.

https://hl7.org/fhir/R4/http.html#mime-type
"""

import gzip

import pytest
from lxml import etree
from over_http import FHIR_JSON, outcome_of

from fhirserver.model import xml

NAMESPACE = "{http://hl7.org/fhir}"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def path(fhir, tag):
    """A stored Patient with a narrative, a contact and a decimal."""
    patient = {
        "resourceType": "Patient",
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>Zoé &amp; Cie</p></div>',
        },
        "identifier": [{"system": "urn:test", "value": tag}],
        "active": True,
        "name": [{"family": "Zoé", "given": ["Ana"]}],
        "contact": [{"name": {"text": "Ami"}}],
        "photo": [{"contentType": "image/png", "title": "x"}],
    }
    response = fhir.post("/Patient", json=patient, headers=FHIR_JSON)
    assert response.status_code == 201, response.text
    return f"/Patient/{response.json()['id']}"


@pytest.mark.parametrize(
    ("accept", "type"),
    [
        ("application/fhir+xml", "application/fhir+xml"),
        ("application/xml", "application/xml"),
        ("text/xml", "text/xml"),
        ("application/fhir+json;q=0.1, application/fhir+xml;q=0.2", "application/fhir+xml"),
    ],
)
def test_resource_in_xml(fhir, path, accept, type):
    response = fhir.get(path, headers={"accept": accept})
    assert response.headers["content-type"].startswith(type)
    root = etree.fromstring(response.content)
    assert root.tag == NAMESPACE + "Patient"
    assert root.find(f"{NAMESPACE}name/{NAMESPACE}family").get("value") == "Zoé"
    assert response.headers["etag"] == 'W/"1"'
    assert int(response.headers["content-length"]) == len(response.content)


def test_xml_written_is_read_as_json(fhir, tag):
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><!-- a comment -->'
        '<Patient xmlns="http://hl7.org/fhir"><active value="true"/>'
        f'<name><family value="{tag}"/></name></Patient>'
    ).encode()
    response = fhir.post(
        "/Patient",
        content=body,
        headers={
            "content-type": "application/fhir+xml",
            "accept": "application/fhir+json",
        },
    )
    assert response.status_code == 201, response.text
    assert response.json()["name"] == [{"family": tag}]
    assert response.json()["active"] is True


@pytest.mark.parametrize(
    ("format", "type"),
    [
        ("xml", "application/fhir+xml"),
        ("application/fhir+xml", "application/fhir+xml"),
        ("json", "application/fhir+json"),
    ],
)
def test_format_parameter_chooses(fhir, path, format, type):
    response = fhir.get(path, params={"_format": format}, headers={"accept": "text/turtle"})
    assert response.headers["content-type"].startswith(type)


def test_bundle_and_errors_come_in_xml_too(fhir, path, tag):
    xml = {"accept": "application/fhir+xml"}
    bundle = etree.fromstring(fhir.get("/Patient?_count=1", headers=xml).content)
    assert bundle.tag == NAMESPACE + "Bundle"
    missing = fhir.get(f"/Patient/{tag}", headers=xml)
    assert missing.status_code == 404
    assert etree.fromstring(missing.content).tag == NAMESPACE + "OperationOutcome"
    statement = etree.fromstring(fhir.get("/metadata", headers=xml).content)
    assert statement.tag == NAMESPACE + "CapabilityStatement"


def test_pretty_is_indented_and_the_same(fhir, path):
    plain, pretty = fhir.get(path), fhir.get(path, params={"_pretty": "true"})
    assert b"\n" not in plain.content
    assert b"\n  " in pretty.content
    assert plain.json() == pretty.json()


def test_pretty_works_in_xml(fhir, path):
    pretty = fhir.get(path, params={"_format": "xml", "_pretty": "true"})
    plain = fhir.get(path, params={"_format": "xml"})
    assert "\n  <" in pretty.text
    assert "\n  <" not in plain.text
    assert xml.decode(pretty.content) == xml.decode(plain.content)


def test_browser_gets_a_page(fhir, path):
    for address in (path, "/Patient?_count=2", f"{path}/_history", "/metadata"):
        response = fhir.get(address, headers={"accept": BROWSER})
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/html")
        assert "content-security-policy" in response.headers
        assert response.text.lstrip().lower().startswith("<!doctype html")


def test_browser_gets_a_front_page_at_the_base(fhir, path):
    response = fhir.get("", headers={"accept": BROWSER})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "Patient" in response.text
    assert "metadata" in response.text


def test_browser_gets_errors_as_a_page(fhir, tag):
    response = fhir.get(f"/Patient/{tag}", headers={"accept": BROWSER})
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")


def test_page_escapes_what_was_asked(fhir):
    response = fhir.get("/Patient?x=%3Cscript%3Ealert(1)%3C/script%3E", headers={"accept": BROWSER})
    assert "<script>alert" not in response.text


# --- parts -------------------------------------------------------------------------------------


def test_summary_of_a_read(fhir, path):
    whole = fhir.get(path).json()
    summary = fhir.get(path, params={"_summary": "true"}).json()
    assert "contact" not in summary
    assert summary["name"] == whole["name"]
    assert "SUBSETTED" in [t["code"] for t in summary["meta"]["tag"]]
    text = fhir.get(path, params={"_summary": "text"}).json()
    assert set(text) == {"resourceType", "id", "meta", "text"}
    data = fhir.get(path, params={"_summary": "data"}).json()
    assert "text" not in data
    assert "contact" in data
    assert fhir.get(path, params={"_summary": "false"}).json() == whole


def test_elements_of_a_read(fhir, path):
    part = fhir.get(path, params={"_elements": "name,active"}).json()
    assert set(part) == {"resourceType", "id", "meta", "name", "active"}
    assert "SUBSETTED" in [t["code"] for t in part["meta"]["tag"]]


def test_parts_in_a_search(fhir, path):
    id = path.rpartition("/")[2]
    bundle = fhir.get("/Patient", params={"_id": id, "_elements": "active"}).json()
    (entry,) = bundle["entry"]
    assert set(entry["resource"]) == {"resourceType", "id", "meta", "active"}
    bundle = fhir.get("/Patient", params={"_id": id, "_summary": "count"}).json()
    assert bundle["total"] == 1
    assert "entry" not in bundle


@pytest.mark.parametrize(
    "query", ["_summary=perhaps", "_summary=count", "_summary=text&_elements=x"]
)
def test_wrong_part_is_a_bad_request(fhir, path, query):
    outcome_of(fhir.get(f"{path}?{query}"), 400)


def test_strict_handling_refuses_unknown_parameters_of_a_read(fhir, path):
    assert fhir.get(f"{path}?unheardof=1").status_code == 200
    headers = {"prefer": "handling=strict"}
    outcome_of(fhir.get(f"{path}?unheardof=1", headers=headers), 400)


# --- the rest of HTTP --------------------------------------------------------------------------


def test_request_id_comes_back(fhir, path):
    assert fhir.get(path, headers={"x-request-id": "abc-7"}).headers["x-request-id"] == "abc-7"
    assert fhir.get("/Patient?_count=1").headers["x-request-id"]
    odd = fhir.get("/Patient?_count=1", headers={"x-request-id": "<b>"})
    assert odd.headers["x-request-id"] != "<b>"


def test_browser_application_of_another_origin_may_call(fhir, path):
    origin = {"origin": "https://app.example.fr"}
    response = fhir.get(path, headers=origin)
    assert response.headers["access-control-allow-origin"] == "*"
    for name in ("ETag", "Location", "Content-Location", "Last-Modified", "X-Request-Id"):
        assert name in response.headers["access-control-expose-headers"]
    preflight = fhir.options(
        path,
        headers=origin
        | {
            "access-control-request-method": "PUT",
            "access-control-request-headers": "content-type,if-match",
        },
    )
    assert preflight.status_code == 204
    assert preflight.headers.get_list("access-control-allow-origin") == ["*"]
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "If-Match" in preflight.headers["access-control-allow-headers"]
    failed = fhir.get("/Unheardof", headers=origin)
    assert failed.headers["access-control-allow-origin"] == "*"


def test_gzip_body_is_read(fhir, tag):
    body = gzip.compress(b'{"resourceType":"Patient","name":[{"family":"%b"}]}' % tag.encode())
    response = fhir.post("/Patient", content=body, headers=FHIR_JSON | {"content-encoding": "gzip"})
    assert response.status_code == 201
    bad = fhir.post("/Patient", content=b"{}", headers=FHIR_JSON | {"content-encoding": "br"})
    outcome_of(bad, 415)


async def test_large_answer_is_compressed_when_set(in_process):
    client = await in_process(gzip_from=500)
    response = await client.get("/metadata", headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert response.json()["resourceType"] == "CapabilityStatement"
    plain = await client.get("/metadata", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers


# --- where the server says it is ---------------------------------------------------------------


async def test_links_follow_the_host_header(in_process):
    client = await in_process()
    response = await client.post("/Patient", json={"resourceType": "Patient"}, headers=FHIR_JSON)
    assert response.headers["location"].startswith("http://testserver/fhir/Patient/")
    other = await client.get("/Patient", headers={"host": "sante.example.fr"})
    assert other.json()["link"][0]["url"] == "http://sante.example.fr/fhir/Patient"
    assert other.json()["entry"][0]["fullUrl"].startswith("http://sante.example.fr/fhir/Patient/")


async def test_base_url_setting_wins(in_process):
    client = await in_process(base_url="https://sante.example.fr/fhir")
    response = await client.post("/Patient", json={"resourceType": "Patient"}, headers=FHIR_JSON)
    assert response.headers["location"].startswith("https://sante.example.fr/fhir/Patient/")


async def test_trusted_proxy_tells_the_outside_address(in_process):
    client = await in_process()
    headers = {"x-forwarded-proto": "https", "x-forwarded-host": "a.fr", "x-forwarded-prefix": "/s"}
    response = await client.get("/Patient", headers=headers)
    assert response.json()["link"][0]["url"] == "https://a.fr/s/fhir/Patient"
    client = await in_process(trusted_proxies="10.0.0.1")
    response = await client.get("/Patient", headers=headers)
    assert response.json()["link"][0]["url"] == "http://testserver/fhir/Patient"


async def test_host_that_is_none_is_refused(in_process):
    client = await in_process()
    outcome_of(await client.get("/Patient", headers={"host": "evil.fr/x?"}), 400)


# --- beside the API ----------------------------------------------------------------------------


def test_health_checks_and_welcome_page(fhir, server):
    root = server.base_url.removesuffix("/fhir")
    assert fhir.get(f"{root}/healthz").json() == {"status": "ok"}
    assert fhir.get(f"{root}/readyz").json() == {"status": "ready"}
    assert "fhir/metadata" in fhir.get(f"{root}/").text
    assert fhir.get(f"{root}/unheardof").status_code == 404


# --- Binary ------------------------------------------------------------------------------------

PDF = b"%PDF-1.7\n\x00\xff binary"


def test_binary_is_sent_as_its_content_unless_a_fhir_format_is_named(fhir):
    created = fhir.post(
        "/Binary",
        content=PDF,
        headers={
            "content-type": "application/pdf",
            "x-security-context": "Patient/1",
        },
    )
    assert created.status_code == 201, created.text
    path = f"/Binary/{created.headers['location'].split('/')[-3]}"
    for accept in ("application/pdf", "*/*", "application/*"):
        response = fhir.get(path, headers={"accept": accept})
        assert response.content == PDF
        assert response.headers["content-type"] == "application/pdf"
        assert response.headers["etag"] == 'W/"1"'
    for accept in ("application/fhir+json", "application/fhir+json, application/pdf;q=0.5"):
        resource = fhir.get(path, headers={"accept": accept}).json()
        assert resource["resourceType"] == "Binary"
        assert resource["contentType"] == "application/pdf"
        assert resource["securityContext"] == {"reference": "Patient/1"}
    assert fhir.get(path, params={"_format": "json"}).json()["resourceType"] == "Binary"
    outcome_of(fhir.get(path, headers={"accept": "image/png"}), 406)


def test_binary_with_active_content_runs_nothing(fhir, tag):
    content = b"<script>alert(1)</script>"
    fhir.put(f"/Binary/{tag}", content=content, headers={"content-type": "text/html"})
    response = fhir.get(f"/Binary/{tag}", headers={"accept": BROWSER})
    assert response.content == content
    assert "sandbox" in response.headers["content-security-policy"]
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.headers["x-content-type-options"] == "nosniff"


def test_binary_resource_is_taken_as_a_resource(fhir):
    body = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="}
    for type in ("application/fhir+json", "application/json"):
        created = fhir.post("/Binary", json=body, headers={"content-type": type})
        assert created.status_code == 201
        path = f"/Binary/{created.headers['location'].split('/')[-3]}"
        assert fhir.get(path).content == b"hello"


def test_plain_json_is_taken_as_content(fhir):
    created = fhir.post("/Binary", json={"a": 1}, headers={"content-type": "application/json"})
    assert created.status_code == 201
    path = f"/Binary/{created.headers['location'].split('/')[-3]}"
    assert fhir.get(path, headers={"accept": "application/json"}).json() == {"a": 1}
