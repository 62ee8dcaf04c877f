"""The HTML pages."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import html

from fhirserver.model import json
from fhirserver.rest.page import front_page, language_of, page

BASE = "https://sante.example/fhir"
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&\x00\u202e"

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {
        "versionId": "3",
        "lastUpdated": "2026-11-24T06:00:00.123Z",
        "profile": ["https://interop.example/StructureDefinition/patient"],
        "tag": [{"code": "t", "display": "Tagged"}],
    },
    "text": {
        "status": "generated",
        "div": '<div><p onclick="x()">Jeanne <a href="Organization/o1">O</a></p></div>',
    },
    "contained": [{"resourceType": "Organization", "id": "o"}],
    "name": [{"given": ["Jeanne", "Marie"], "family": "Martin"}],
    "birthDate": "1950-01-02",
    "identifier": [{"system": "urn:oid:1.2.250", "value": "1"}],
    "managingOrganization": {"reference": "Organization/o1"},
    "generalPractitioner": [
        {"reference": "https://elsewhere.example/Practitioner/2"},
        {"reference": "#o"},
        {"reference": f"{BASE}/Practitioner/3/_history/2"},
    ],
    "photo": [{"url": "https://photos.example/1.png"}],
}


def shown(resource, **options):
    options = {"base_url": BASE, "self_url": f"{BASE}/Patient/p1", **options}
    return page(resource, **options)


def hrefs(made) -> list[str]:
    return html.fromstring(made.body.decode()).xpath("//a/@href")


def text(made) -> str:
    return " ".join(html.fromstring(made.body.decode()).text_content().split())


def test_a_resource_is_told_in_words_narrative_and_json():
    made = shown(PATIENT)
    document = html.fromstring(made.body.decode())
    assert document.xpath("string(//h1)") == "Patient · Jeanne Marie Martin · 1950-01-02"
    assert document.xpath("string(//title)") == document.xpath("string(//h1)")
    assert "Jeanne O" in document.xpath("string(//div[@class='narrative'])")
    assert json.decode(document.xpath("string(//pre)").encode()) == PATIENT
    for fact in ("p1", "3", "2026-11-24T06:00:00.123Z", "Tagged"):
        assert fact in document.xpath("string(//dl)")


def test_references_versions_and_canonicals_can_be_followed():
    found = hrefs(shown(PATIENT))
    for url in (
        f"{BASE}/Organization/o1",
        "https://elsewhere.example/Practitioner/2",
        f"{BASE}/Practitioner/3/_history/2",
        "https://photos.example/1.png",
        f"{BASE}/StructureDefinition?url=https%3A%2F%2Finterop.example%2FStructureDefinition%2Fpatient",
        f"{BASE}/Patient/p1/_history",
        f"{BASE}/Patient/p1/$everything",
        f"{BASE}/Patient/p1?_format=json",
        f"{BASE}/Patient/p1?_format=xml",
        f"{BASE}/Patient",
    ):
        assert url in found, url
    assert found.count(f"{BASE}/Organization/o1") == 2  # in the narrative and in the JSON
    assert not [url for url in found if "urn:oid" in url]


def test_decimals_are_shown_with_their_digits():
    body = b'{"resourceType":"Observation","valueQuantity":{"value":1.00,"unit":"mg"}}'
    assert "1.00 mg" in text(shown(body))
    assert '"value": 1.00' in text(shown(body))


def bundle(**changes):
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 7,
        "link": [
            {"relation": "self", "url": f"{BASE}/Patient?name=a"},
            {"relation": "next", "url": f"{BASE}/Patient?name=a&_cursor=x%7Cy"},
        ],
        "entry": [
            {"fullUrl": f"{BASE}/Patient/p1", "resource": PATIENT, "search": {"mode": "match"}},
            {
                "fullUrl": f"{BASE}/Organization/o1",
                "resource": {"resourceType": "Organization", "id": "o1", "name": "CHU"},
                "search": {"mode": "include"},
            },
            {
                "resource": {
                    "resourceType": "OperationOutcome",
                    "issue": [{"severity": "warning", "code": "x", "diagnostics": "ignored: y"}],
                },
                "search": {"mode": "outcome"},
            },
        ],
        **changes,
    }


def test_a_search_is_a_table_of_its_entries_with_links_to_other_pages():
    made = shown(bundle(), self_url=f"{BASE}/Patient?name=a")
    document = html.fromstring(made.body.decode())
    rows = [" ".join(row.text_content().split()) for row in document.xpath("//tbody/tr")]
    assert rows[0].startswith("Patient/p1")
    assert "Jeanne Marie Martin" in rows[0]
    assert "CHU" in rows[1]
    assert "included" in rows[1]
    assert "ignored: y" in rows[2]
    assert "In all: 7" in document.xpath("string(//caption)")
    assert {f"{BASE}/Patient?name=a&_cursor=x%7Cy", f"{BASE}/Patient/p1"} <= set(hrefs(made))


def test_an_empty_search_says_so():
    assert "Nothing was found" in text(shown(bundle(entry=[], total=0)))


def test_a_history_links_each_version():
    made = shown(
        bundle(
            type="history",
            entry=[
                {
                    "fullUrl": f"{BASE}/Patient/p1",
                    "request": {"method": "DELETE", "url": "Patient/p1"},
                    "response": {"status": "204", "location": f"{BASE}/Patient/p1/_history/4",
                                 "lastModified": "2026-11-24T07:00:00Z"},
                },
                {
                    "fullUrl": f"{BASE}/Patient/p1",
                    "resource": PATIENT,
                    "request": {"method": "PUT", "url": "Patient/p1"},
                    "response": {"status": "200", "location": f"{BASE}/Patient/p1/_history/3"},
                },
            ],
        )
    )  # fmt: skip
    found = hrefs(made)
    assert f"{BASE}/Patient/p1/_history/4" in found
    assert f"{BASE}/Patient/p1/_history/3" in found
    assert "deleted" in text(made)


def test_an_outcome_is_told_issue_by_issue():
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": "error", "code": "value", "diagnostics": "No such date",
             "expression": ["Patient.birthDate"]},
        ],
    }  # fmt: skip
    told = text(shown(outcome, status=400))
    for part in ("(400)", "error", "value", "No such date", "Patient.birthDate"):
        assert part in told


def test_pages_speak_french_too():
    made = shown(PATIENT, language="fr")
    assert b'<html lang="fr">' in made.body
    assert "Toutes les versions" in text(made)
    assert (b"content-language", b"fr") in made.headers
    assert b'<html lang="en">' in shown(PATIENT, language="de").body


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("fr", "fr"), ("fr-FR,fr;q=0.9,en;q=0.8", "fr"), ("en-GB,fr;q=0.5", "en"),
        ("de,fr;q=0.3", "fr"), ("de", "en"), ("en;q=0.1, fr;q=0.2", "fr"), ("fr;q=0", "en"),
        ("*", "en"), ("fr;q=x", "en"), (";;,,", "en"), ("FR", "fr"),
    ],
)  # fmt: skip
def test_the_language_is_the_one_the_browser_prefers(header, language):
    assert language_of(header) == language


def test_the_front_page_lists_types_with_counts():
    made = front_page(base_url=BASE, counts={"Patient": 12345, "Basic": 0, "Observation": None})
    told = text(made)
    assert "Patient 12,345" in told
    assert {f"{BASE}/Patient", f"{BASE}/Basic", f"{BASE}/metadata"} <= set(hrefs(made))
    assert "Nothing is stored yet" in text(front_page(base_url=BASE, counts={"Basic": 0}))


def test_the_policy_allows_the_pages_own_style_and_nothing_else():
    made = shown(PATIENT)
    policy = dict(made.headers)[b"content-security-policy"].decode()
    style = re.search(r"<style>(.*?)</style>", made.body.decode(), re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize("made", [
    shown(PATIENT), shown(bundle()), shown(PATIENT, language="fr"),
    front_page(base_url=BASE, counts={"Patient": 1}),
])  # fmt: skip
def test_pages_are_accessible_by_structure(made):
    document = html.fromstring(made.body.decode())
    assert document.get("lang")
    assert document.xpath("//meta[@name='viewport']")
    assert len(document.xpath("//h1")) == 1
    assert len(document.xpath("//main")) == 1
    assert document.xpath("//a[@class='skip']/@href") == ["#content"]
    ids = document.xpath("//@id")
    assert len(ids) == len(set(ids))
    levels = [int(h.tag[1]) for h in document.xpath("//h1|//h2|//h3")]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for nav in document.xpath("//nav"):
        assert nav.get("aria-label")
    for table in document.xpath("//table[caption]"):
        assert table.xpath(".//th[@scope='col']")
        assert table.xpath(".//th[@scope='row']")
    for labelled in document.xpath("//@aria-labelledby"):
        assert labelled in ids
    assert all(a.text_content().strip() for a in document.xpath("//a"))


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_have_the_contrast_of_wcag_aa_in_both_schemes():
    style = re.search(r"<style>(.*?)</style>", shown(PATIENT).body.decode(), re.DOTALL)[1]
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in style.split("@media")[:2]]
    for scheme in schemes:
        for name in ("ink", "quiet", "link", "visited", "string", "number", "key"):
            for ground in ("paper", "soft"):
                lighter, darker = sorted(
                    (luminance(scheme[name]), luminance(scheme[ground])), reverse=True
                )
                assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (name, ground)


SAFE = re.compile(r"(https?://|/|#)")


def refuse_active(made) -> None:
    """Fail if anything in the page would run, or load from anywhere."""
    document = html.fromstring(made.body.decode())
    for element in document.iter():
        if not isinstance(element.tag, str):
            raise AssertionError(f"a comment: {element}")
        assert element.tag not in (
            "script",
            "iframe",
            "object",
            "embed",
            "svg",
            "form",
            "base",
            "link",
        )
        assert element.tag != "style" or element.getparent().tag == "head"
        for name, value in element.attrib.items():
            assert not name.startswith("on"), (element.tag, name)
            if name == "href":
                assert SAFE.match(value), value
            assert name not in ("src", "srcset") or value.startswith("data:image/")
    assert document.xpath("count(//h1)") == 1
    assert not document.xpath("//img[not(ancestor::div[@class='narrative'])]")


def poisoned(value):
    """The resource with every text and every key made hostile, as far as its shape allows."""
    if isinstance(value, dict):
        return {name: v if name == "resourceType" else poisoned(v) for name, v in value.items()} | {
            HOSTILE: HOSTILE
        }
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return value + HOSTILE if isinstance(value, str) else value


def test_hostile_text_anywhere_stays_text():
    for resource in (PATIENT, bundle(), {"resourceType": HOSTILE, "id": HOSTILE}, {}):
        hostile = poisoned(resource)
        refuse_active(shown(hostile))
        refuse_active(shown(hostile, self_url=f"{BASE}/{HOSTILE}?a={HOSTILE}"))
        refuse_active(shown(hostile, base_url=f"https://x/{HOSTILE}", language=HOSTILE))


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JAVASCRIPT:x", "data:text/html,x", " javascript:x",
        "https://a\"onclick='x'", "vbscript:x",
    ],
)  # fmt: skip
def test_hostile_addresses_are_no_links(url):
    hostile = bundle(
        link=[{"relation": "next", "url": url}],
        entry=[{"fullUrl": url, "resource": {"resourceType": "Basic", "id": url},
                "response": {"location": url}}],
    )  # fmt: skip
    refuse_active(shown(hostile))
    for kind in ({"photo": [{"url": url}]}, {"managingOrganization": {"reference": url}}):
        refuse_active(shown({"resourceType": "Patient", "id": url, **kind}))


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([HOSTILE, "x", "Patient/1", "#a"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["resourceType", "id", "meta", "text", "div", "entry", "link", "url",
                         "relation", "issue", "fullUrl", "resource", "response", "request",
                         "search", "name", "status", "code", "valueQuantity", "value", "tag",
                         "profile", "lastUpdated", "location", "mode", "coding", "type", "total"]),
        inner, max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


members_of_a_resource = st.dictionaries(
    st.sampled_from(["id", "meta", "text", "entry", "link", "issue", "name", "code", "status",
                     "valueString", "type", "total"]),
    junk,
)  # fmt: skip


@given(
    st.sampled_from(["Patient", "Bundle", "OperationOutcome", "Observation", 3, None]),
    members_of_a_resource,
)
@example("Patient", {"meta": {"tag": True, "security": {"code": "R"}, "profile": 3}})
def test_resources_of_any_shape_give_a_safe_page(type_, members):
    refuse_active(shown({**members, "resourceType": type_}))


def test_a_page_of_a_very_large_resource_links_its_json_instead():
    large = {"resourceType": "Binary", "id": "b", "data": "A" * 3_000_000}
    made = shown(large, self_url=f"{BASE}/Binary/b")
    assert len(made.body) < 100_000
    assert f"{BASE}/Binary/b?_format=json" in hrefs(made)


def test_no_external_host_is_named_but_in_links():
    body = shown(bundle()).body.decode()
    attributes = re.findall(r'(?:src|action|data|poster)="([^"]*)"', body)
    assert not [value for value in attributes if urlsplit(value).netloc]
