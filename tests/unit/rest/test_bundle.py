"""Bundles made by joining stored bytes."""

import json
from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from fhirserver.model.version import Version
from fhirserver.rest import bundle

BASE = "http://localhost/fhir"
AT = 1_700_000_000_123_000


def version(number=1, id="1", type="Patient", method="PUT", content=True):
    body = json.dumps({"resourceType": type, "id": id}).encode() if content else None
    return Version(type, id, number, AT, method, body)


def searchset(**changes):
    given = {"matches": [], "included": [], "total": None, "links": [], "timestamp": "2026-01-01"}
    return json.loads(bundle.searchset(BASE, **{**given, **changes}))


def test_empty_searchset_has_no_entry():
    made = searchset(total=0, links=[("self", BASE)])
    assert made["type"] == "searchset"
    assert made["total"] == 0
    assert "entry" not in made


def test_matches_come_before_includes_and_outcome():
    outcome = b'{"resourceType":"OperationOutcome"}'
    made = searchset(matches=[version()], included=[version(type="Organization")], outcome=outcome)
    assert [e["search"]["mode"] for e in made["entry"]] == ["match", "include", "outcome"]
    assert made["entry"][0]["fullUrl"] == f"{BASE}/Patient/1"
    assert "total" not in made


def test_show_changes_each_resource():
    made = searchset(matches=[version()], show=lambda content: b'{"shown":true}')
    assert made["entry"][0]["resource"] == {"shown": True}


def test_history_tells_the_request_of_each_version():
    versions = [
        version(4, method="PUT"),
        version(3, method="DELETE", content=False),
        version(2, method="PATCH"),
        version(1, method="POST"),
    ]
    made = json.loads(
        bundle.history(BASE, versions=versions, total=4, links=[], timestamp="2026-01-01")
    )
    requests = [(e["request"]["method"], e["request"]["url"]) for e in made["entry"]]
    assert requests == [
        ("PUT", "Patient/1"),
        ("DELETE", "Patient/1"),
        ("PATCH", "Patient/1"),
        ("POST", "Patient"),
    ]
    assert "resource" not in made["entry"][1]
    assert [e["response"]["status"] for e in made["entry"]] == ["200", "204", "200", "201"]
    assert made["entry"][0]["response"]["etag"] == 'W/"4"'
    assert made["entry"][0]["response"]["lastModified"] == "2023-11-14T22:13:20.123Z"


def test_links_keep_the_cursor_of_this_page_and_lead_on():
    links = bundle.Links(f"{BASE}/Patient", [("name", "a b|c")], "x=1")
    made = dict(links.to("y&2"))
    assert made["self"] == f"{BASE}/Patient?name=a%20b%7Cc&_cursor=x%3D1"
    assert made["next"] == f"{BASE}/Patient?name=a%20b%7Cc&_cursor=y%262"
    assert made["first"] == f"{BASE}/Patient?name=a%20b%7Cc"


def test_only_page_has_a_self_link_only():
    assert bundle.Links(BASE, []).to(None) == [("self", BASE)]
    assert bundle.Links(BASE, []).to("x")[1] == ("next", f"{BASE}?_cursor=x")


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1))))
def test_url_gives_back_its_parameters(parameters):
    url = bundle.url_of(f"{BASE}/Patient", parameters)
    assert url.isascii()
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == parameters


@given(st.text(), st.text())
def test_any_text_in_a_response_entry_stays_json(location, status):
    made = json.loads(bundle.response_entry(status, location=location))
    assert made["response"]["status"] == status
